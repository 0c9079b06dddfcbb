"""Health checks for platforms: /health for the process, /ready for the database and the artifact store."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from railtrack.artifacts import ArtifactStores
from railtrack.auth import PUBLIC
from railtrack.context import Context
from railtrack.db import Db
from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, BytesResponse, Response
from railtrack.wire.routing import endpoint

log = logging.getLogger("railtrack")

PROBE_CACHE_S = 3.0
PROBE_TIMEOUT_S = 5.0


class Health(msgspec.Struct):
    status: str


@endpoint("GET", "/health", access=PUBLIC)
async def health(ctx: Context, http: HttpRequest) -> Annotated[Response, Health]:
    """Confirm that the process responds. This checks nothing else: a restart by the platform repairs no database."""
    return BytesResponse(b'{"status": "ok"}', JSON)


class Readiness(msgspec.Struct):
    """The state of each dependency: "ok" or the error."""

    database: str
    artifact_store: str


@endpoint("GET", "/ready", access=PUBLIC)
async def ready(ctx: Context, http: HttpRequest) -> Annotated[Response, Readiness]:
    """Return 200 if requests can be served, 503 if not. Results are cached for a few seconds."""
    database, artifact_store = await asyncio.gather(
        _state(ctx.db, lambda: ctx.db.fetch_value("SELECT 1")),
        _state(ctx.artifacts, ctx.artifacts.probe),
    )
    status = 200 if database == artifact_store == "ok" else 503
    return BytesResponse(msgspec.json.encode(Readiness(database, artifact_store)), JSON, status)


class _Probe(NamedTuple):
    expires: float
    state: "asyncio.Task[str]"


_probes: WeakKeyDictionary[Db | ArtifactStores, _Probe] = WeakKeyDictionary()
"""The last probe of each dependency, running or finished."""


async def _state(dependency: Db | ArtifactStores, probe: Callable[[], Awaitable[object]]) -> str:
    cached = _probes.get(dependency)
    if cached is None or cached.expires < time.monotonic():
        cached = _Probe(time.monotonic() + PROBE_CACHE_S, asyncio.create_task(_run(probe)))
        _probes[dependency] = cached
    return await asyncio.shield(cached.state)


async def _run(probe: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await probe()
    except ApiError as error:
        return error.message
    except TimeoutError:
        return f"no response within {PROBE_TIMEOUT_S:.0f} s"
    except Exception:
        log.exception("A readiness probe failed unexpectedly")
        return "failed; the server's log has the error"
    return "ok"
