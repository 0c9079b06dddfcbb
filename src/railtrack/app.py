"""The composition root: open the database and the artifact stores, collect the endpoints, build the ASGI application.

The only module that imports all parts.
"""

import asyncio
import gc
import logging
from collections.abc import Awaitable
from typing import Any

from railtrack.api import endpoints
from railtrack.artifacts import ArtifactStores
from railtrack.auth import Policy
from railtrack.auth.audit import AuditLog
from railtrack.auth.authenticator import Authenticator
from railtrack.auth.grants import GrantsCache
from railtrack.auth.identity import Identity
from railtrack.auth.levels import Level
from railtrack.auth.oidc.provider import Provider
from railtrack.auth.policy import PermissionPolicy
from railtrack.byte_budget import BUDGET
from railtrack.config.settings import Settings
from railtrack.context import Context
from railtrack.db import Db
from railtrack.db.group_commit import GroupCommits
from railtrack.db.open import add_missing_indexes, open_database
from railtrack.db.read_replica import ReadReplica, RecentWrites
from railtrack.db.retry import retry_counters
from railtrack.db.url import parse_database_url
from railtrack.prometheus.counters import Counters, Sample, WorkerCounters
from railtrack.webhooks.delivery import Webhooks
from railtrack.webhooks.encryption import SecretCipher
from railtrack.webhooks.sender import WebhookSender
from railtrack.wire.access_log import AccessLog
from railtrack.wire.allowed_hosts import AllowedHosts
from railtrack.wire.cors import AllowedOrigins
from railtrack.wire.csrf import BrowserGuard
from railtrack.wire.disabled import without_artifact_proxy, without_tracking
from railtrack.wire.dispatch import Dispatcher, RequestObserver
from railtrack.wire.forwarded import ProxiedClients, TrustedProxies, client_network
from railtrack.wire.request import HttpRequest, Receive, Scope
from railtrack.wire.response import Send
from railtrack.wire.routing import Route, Routes
from railtrack.wire.trusted_header import TrustedHeader

log = logging.getLogger("railtrack")

PUBLISH_INTERVAL_S = 1.0


class App:
    """The ASGI application of one process. Threads and sockets are opened on first use, after the fork."""

    def __init__(self, settings: Settings, policy: Policy | None = None) -> None:
        self._settings = settings
        self._policy = policy
        routes = _served_endpoints(settings)
        prefix = settings.server.static_prefix
        self._routes = Routes.of(routes, prefix)
        self._proxies = proxies = TrustedProxies(settings.server.trusted_proxies, has_tls=settings.tls.is_enabled)
        self._browser_guard = _browser_guard(settings, proxies)
        self._counters = Counters(list(routes.values())) if settings.metrics.is_exposed else None
        self._worker_counters: WorkerCounters | None = None
        self._dispatch: Dispatcher | None = None
        self._db: Db | None = None
        self._artifacts = ArtifactStores(settings)
        self._webhooks: Webhooks | None = None
        self._authenticator: Authenticator | None = None
        self._audit_log: AuditLog | None = None
        self._replicated = frozenset(
            route.path for route in routes.values() if route.is_read and route.name in REPLICATED
        )
        self._recent_writes = RecentWrites() if settings.database.replica_uri else None
        self._replica: ReadReplica | None = None

    def client_of(self, peer: str) -> str:
        """Return what the addresses of the peer have in common, or "" if it is a trusted proxy."""
        return "" if self._proxies.trusts(peer) else client_network(peer)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            assert self._dispatch is not None, "the server runs lifespan.startup first"
            return self._dispatch(scope, receive, send)
        return self._run_lifespan(scope.get("state", {}).get("slot", 0), receive, send)

    async def _run_lifespan(self, slot: int, receive: Receive, send: Send) -> None:
        """Open at startup, close at shutdown. In between, add missing indexes to the database and publish counters."""
        tasks = []
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.open(slot)
                url = parse_database_url(self._settings.database.uri)
                tasks = [asyncio.create_task(add_missing_indexes(url)), asyncio.create_task(self._publish())]
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                for task in tasks:
                    task.cancel()
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def open(self, slot: int = 0) -> None:
        """Create what requests need. Connections open on first use. `slot`: of this worker's counters."""
        url = parse_database_url(self._settings.database.uri)
        self._db = db = open_database(url, connections=self._settings.server.threads)
        group_commits = GroupCommits(db)
        self._webhooks = webhooks = _webhooks(db, self._settings)
        webhooks.start()

        authenticator = grants = provider = None
        if self._settings.needs_login:
            if self._settings.audit.enabled:
                self._audit_log = AuditLog(db, self._proxies, self._settings.audit, cleans_up=slot == 0)
                self._audit_log.start()
            authenticator = Authenticator(
                db,
                self._proxies,
                header=_trusted_header(self._settings),
                prefix=self._settings.server.static_prefix,
                audit_log=self._audit_log,
            )
            grants = GrantsCache(db, authenticator.state, Level[self._settings.auth.default_permission])
            if self._settings.oidc.is_enabled:
                provider = Provider(self._settings.oidc)
        self._authenticator, audit_log = authenticator, self._audit_log
        artifacts, settings = self._artifacts, self._settings
        policy = self._policy
        if policy is None and authenticator is not None and grants is not None:
            policy = PermissionPolicy(db, artifacts, grants, default_root=settings.artifacts.default_root)

        replica = self._replica = self._open_replica(db)

        def make_context(http: HttpRequest, identity: Identity | None) -> Context:
            return Context(
                db if replica is None else self._choose_db(db, replica, http, identity),
                group_commits,
                artifacts,
                webhooks,
                settings,
                http,
                counters,
                policy,
                authenticator,
                identity,
                grants,
                audit_log,
                provider,
                self,
            )

        counters = self._open_counters(db, group_commits, slot)
        observers: list[RequestObserver] = [counters] if counters else []
        if replica is not None:
            observers.append(_EndedWrites(replica, self._proxies))
        if self._settings.logs.access_log:
            observers.append(AccessLog(self._proxies, as_json=self._settings.logs.format == "json"))
        self._dispatch = Dispatcher(
            self._routes,
            None if settings.security.is_disabled else self._browser_guard,
            make_context,
            observers,
            authenticator,
            ProxiedClients(self._proxies, warns_of_proxies=settings.auth.mode == "auto" and not settings.needs_login),
            self._browser_guard,
            frame_options=self._settings.security.frame_options_header,
            metrics_token=self._settings.metrics.token,
        )

    def _choose_db(self, db: Db, replica: ReadReplica, http: HttpRequest, identity: Identity | None) -> Db:
        """Return the database for this request of a server with a read replica."""
        route = http.route
        assert isinstance(route, Route)
        clients = [client_network(self._proxies.client(http))]
        if identity is not None:
            clients.append(f"user {identity.user_id}")
        if not route.is_read:
            replica.wrote(clients)
            return db
        return replica.db_for(clients) if route.path in self._replicated else db

    def _open_replica(self, db: Db) -> ReadReplica | None:
        if self._recent_writes is None:
            return None
        settings = self._settings.database
        url = parse_database_url(settings.replica_uri)
        connection = open_database(url, connections=self._settings.server.threads, read_only=True)
        replica = ReadReplica(db, connection, self._recent_writes, settings.replica_max_lag_s)
        replica.start()
        return replica

    def _open_counters(self, db: Db, group_commits: GroupCommits, slot: int) -> WorkerCounters | None:
        if self._counters is None:
            return None

        def sample() -> Sample:
            writes = group_commits.totals()
            return Sample(
                *writes.queue_length,
                *db.connections(),
                BUDGET.used,
                BUDGET.limit,
                writes.rejected,
                retry_counters.retries,
                retry_counters.exhausted,
                writes.grouped,
                BUDGET.rejected,
                BUDGET.rejected_connections,
                BUDGET.evicted_connections,
                writes.groups,
            )

        self._worker_counters = WorkerCounters(self._counters, slot, sample)
        return self._worker_counters

    async def _publish(self) -> None:
        while self._worker_counters:
            self._worker_counters.publish()
            await asyncio.sleep(PUBLISH_INTERVAL_S)

    async def close(self) -> None:
        if self._worker_counters:
            self._worker_counters.close()
        self._artifacts.close()
        if self._webhooks is not None:
            await self._webhooks.stop()
        if self._authenticator is not None:
            await self._authenticator.close()
        if self._audit_log is not None:
            await self._audit_log.stop()
        if self._replica is not None:
            await self._replica.close()
        if self._db is not None:
            await self._db.close()


class _EndedWrites:
    """Records the end of changes that took longer than others, such as those with a slow body."""

    def __init__(self, replica: ReadReplica, proxies: TrustedProxies) -> None:
        self._replica = replica
        self._proxies = proxies

    def began(self) -> None:
        """Do nothing: the choice of the database records the beginning."""

    def ended(self, http: HttpRequest, request_id: str, seconds: float) -> None:
        if isinstance(http.route, Route) and not http.route.is_read:
            self._replica.wrote([client_network(self._proxies.client(http))])


REPLICATED = frozenset(
    (
        "GET experiments/get",
        "GET experiments/get-by-name",
        "GET experiments/search",
        "GET logged-models/{model_id}",
        "GET metrics/get-history",
        "GET metrics/get-history-bulk",
        "GET metrics/get-history-bulk-interval",
        "GET model-versions/get",
        "GET model-versions/search",
        "GET registered-models/alias",
        "GET registered-models/get",
        "GET registered-models/get-latest-versions",
        "GET registered-models/search",
        "GET runs/get",
        "POST /graphql",
        "POST datasets/search",
        "POST experiments/search",
        "POST experiments/search-datasets",
        "POST logged-models/search",
        "POST registered-models/get-latest-versions",
        "POST runs/search",
    )
)
"""Requests that a read replica may serve, by Route.name."""


def _served_endpoints(settings: Settings) -> dict[tuple[str, str], Route]:
    routes = endpoints()
    if not settings.needs_login:
        routes = {key: route for key, route in routes.items() if not route.only_with_login}
    if not settings.artifacts.is_served:
        routes = without_artifact_proxy(routes)
    return without_tracking(routes) if settings.artifacts.is_alone else routes


def _browser_guard(settings: Settings, proxies: TrustedProxies) -> BrowserGuard:
    return BrowserGuard(
        AllowedHosts(settings.allowed_hosts, proxies),
        AllowedOrigins(settings.security.allowed_origins),
        proxies=proxies,
        prefix=settings.server.static_prefix,
    )


def _trusted_header(settings: Settings) -> TrustedHeader | None:
    header = settings.auth_header
    if not header.is_enabled:
        return None
    return TrustedHeader(header.name, header.proxies, creates_users=header.creates_users)


def _webhooks(db: Db, settings: Settings) -> Webhooks:
    sender = WebhookSender(
        settings.webhooks.allowed_schemes,
        allow_private=settings.webhooks.allow_private_ips,
        timeout_s=float(settings.webhooks.request_timeout_s),
    )
    cipher = SecretCipher(settings.webhooks.secret_key)
    return Webhooks(db, sender, cipher, max_retries=settings.webhooks.max_retries)


def preloaded(settings: Settings) -> Any:
    """Return the application, loaded in the master process, whose memory all workers share."""
    app = App(settings)
    gc.collect()
    gc.freeze()  # a collection in a worker would write to the shared pages, and so copy them
    return app
