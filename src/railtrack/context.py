"""What a handler may use: the database, the artifact stores, the webhooks, the settings and the HTTP request."""

import msgspec

from railtrack.artifacts import ArtifactStores, Location
from railtrack.auth import Access, Policy
from railtrack.auth.audit import AuditLog
from railtrack.auth.authenticator import Authenticator
from railtrack.auth.grants import EVERYTHING, GrantsCache, ReadFilter
from railtrack.auth.identity import Identity
from railtrack.auth.oidc.provider import Provider
from railtrack.config.settings import Settings
from railtrack.db import Db, Tx
from railtrack.db.group_commit import E, GroupCommit, GroupCommits, WriteGroup
from railtrack.prometheus.counters import WorkerCounters
from railtrack.webhooks.delivery import Webhooks
from railtrack.wire.request import HttpRequest, Request
from railtrack.wire.routing import Route
from railtrack.wire.subrequests import Application, SubrequestClient
from railtrack.wire.targets import named_resource


class Context(msgspec.Struct, frozen=True):
    """Created for every request.

    `counters` is None unless a setting enables metrics. `policy` and `authenticator` are None on a server that is open
    to everyone, and so are `identity` and `grants`; `identity` is None for public endpoints, too. `provider` is None
    without single sign-on.
    """

    db: Db
    group_commits: GroupCommits
    artifacts: ArtifactStores
    webhooks: Webhooks
    settings: Settings
    http: HttpRequest
    counters: WorkerCounters | None = None
    policy: Policy | None = None
    authenticator: Authenticator | None = None
    identity: Identity | None = None
    grants: GrantsCache | None = None
    audit_log: AuditLog | None = None
    provider: Provider | None = None
    application: Application | None = None

    def subrequests(self) -> SubrequestClient:
        """Return a client for requests of the caller to this server."""
        assert self.application is not None, "only contexts of tests are without it"
        return SubrequestClient(self.application, self.http, self.settings.server.static_prefix)

    def grouped(self, write: WriteGroup[E]) -> GroupCommit[E]:
        """Return the group commit that writes with `write`: `await ctx.grouped(write_entries).submit(entry)`."""
        return self.group_commits.of(write)

    def access_changed(self) -> None:
        """Make a committed change of grants effective in this worker at once; in others it takes two seconds."""
        if self.authenticator is not None:
            self.authenticator.state.expire()

    async def audit(self, tx: Tx, resource_type: str, resource_id: str, detail: str = "") -> None:
        """Record in the audit log that the caller makes this change. Call this in its transaction.

        Without a change of the database, such as the deletion of a file, call it before the change.
        """
        route = self.http.route
        if self.audit_log is not None and self.identity is not None and isinstance(route, Route):
            await self.audit_log.record(tx, self.identity, self.http, route.name, resource_type, resource_id, detail)

    def denied(self, route: Route, request: Request | HttpRequest) -> None:
        """Record in the audit log that the caller was denied this request."""
        if self.audit_log is not None and self.identity is not None:
            resource_type, resource_id = named_resource(route, request)
            self.audit_log.denied(self.identity, self.http, route.name, resource_type, resource_id)

    async def check_artifact(self, access: Access, location: Location) -> Location:
        """Return the location. Raise PERMISSION_DENIED unless the caller has the access to the artifact there."""
        if self.policy is not None:
            await self.policy.check_artifact(access, self, location)
        return location

    async def check_source_file(self, access: Access, source: Location, file: Location) -> Location:
        """Return the location of a file below the source of a model version that the caller has access to."""
        if self.policy is not None:
            await self.policy.check_source_file(access, self, source, file)
        return file

    async def is_denied(self, part: str) -> bool:
        """Return whether the caller is denied all resources of the type `part`, whose ids others must not show."""
        return self.policy is not None and await self.policy.is_denied(self, part)

    async def read_filter(self, resource_type: str, part: str = "") -> ReadFilter:
        """Return which resources of a type the caller may read: none of them if it is denied every `part`."""
        return EVERYTHING if self.policy is None else await self.policy.read_filter(self, resource_type, part)
