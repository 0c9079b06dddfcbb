"""Health checks for platforms: /health for the process, /ready for the database and the artifact store."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Annotated
from weakref import WeakKeyDictionary

import msgspec

from railtrack.artifacts import ArtifactStores
from railtrack.auth import PUBLIC
from railtrack.context import Context
from railtrack.db import Db, database_unavailable
from railtrack.errors import ApiError
from railtrack.logs.throttle import ThrottledLog
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, BytesResponse, Response
from railtrack.wire.routing import endpoint

log = logging.getLogger("railtrack")

PROBE_CACHE_S = 3.0
PROBE_TIMEOUT_S = 5.0
LOG_INTERVAL_S = 30.0
"""Monitoring asks every few seconds; the log gets the reason of a failure this often."""
OK, UNAVAILABLE = "ok", "unavailable"


class Health(msgspec.Struct):
    status: str


@endpoint("GET", "/health", access=PUBLIC)
async def health(ctx: Context, http: HttpRequest) -> Annotated[Response, Health]:
    """Confirm that the process responds. This checks nothing else: a restart by the platform repairs no database."""
    return BytesResponse(b'{"status": "ok"}', JSON)


class Readiness(msgspec.Struct):
    """The state of each dependency: "ok" or "unavailable"."""

    database: str
    artifact_store: str


@endpoint("GET", "/ready", access=PUBLIC)
async def ready(ctx: Context, http: HttpRequest) -> Annotated[Response, Readiness]:
    """Return 200 if requests can be served, 503 if not. Results are cached for a few seconds.

    The response names what is unavailable. The reason, which may contain addresses and names, is only logged, because
    this endpoint needs no authentication.
    """
    database, artifact_store = await asyncio.gather(
        _state(ctx.db, "the database", lambda: _probe_database(ctx.db)),
        _state(ctx.artifacts, "the artifact store", ctx.artifacts.probe),
    )
    status = 200 if database == artifact_store == OK else 503
    return BytesResponse(msgspec.json.encode(Readiness(database, artifact_store)), JSON, status)


async def _probe_database(db: Db) -> None:
    if db.is_away:  # a statement would wait until it is back
        raise database_unavailable("trying to reconnect")
    await db.fetch_value("SELECT 1")


class _Probe:
    """The last probe of a dependency, running or finished."""

    def __init__(self, dependency_name: str) -> None:
        self.expires = -math.inf
        self.state: asyncio.Task[str]
        self._name = dependency_name
        self._log = ThrottledLog(interval_s=LOG_INTERVAL_S)

    def start(self, probe: Callable[[], Awaitable[object]]) -> None:
        self.expires = time.monotonic() + PROBE_CACHE_S
        self.state = asyncio.create_task(self._run(probe))

    async def _run(self, probe: Callable[[], Awaitable[object]]) -> str:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await probe()
        except ApiError as error:
            self._log.warning("Not ready: %s: %s (%r)", self._name, error.message, error.__cause__)
        except TimeoutError:
            self._log.warning("Not ready: %s: no response within %d s", self._name, PROBE_TIMEOUT_S)
        except Exception:
            log.exception("A readiness probe of %s failed unexpectedly", self._name)
        else:
            return OK
        return UNAVAILABLE


_probes: WeakKeyDictionary[Db | ArtifactStores, _Probe] = WeakKeyDictionary()


async def _state(dependency: Db | ArtifactStores, name: str, probe: Callable[[], Awaitable[object]]) -> str:
    last = _probes.get(dependency)
    if last is None:
        last = _probes[dependency] = _Probe(name)
    if last.expires < time.monotonic():
        last.start(probe)
    return await asyncio.shield(last.state)
