"""What the server says of itself: server-info and /version for clients and the UI, /health and /ready for platforms."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from railtrack import MLFLOW_VERSION
from railtrack.artifacts import ArtifactStores
from railtrack.auth import PUBLIC
from railtrack.context import Context
from railtrack.db import Db
from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, Raw, Reply
from railtrack.wire.routing import endpoint

log = logging.getLogger("railtrack")


CHECK_KEPT_S = 3.0
CHECK_LIMIT_S = 5.0


class Features(msgspec.Struct):
    gateway: bool = False


class ServerInfo(msgspec.Struct):
    """The switches that the UI reads; what is false hides a page or a way of transfer that this version lacks."""

    store_type: str = "SqlStore"
    workspaces_enabled: bool = False
    trace_archival_enabled: bool = False
    multipart_uploads_enabled: bool = False
    multipart_downloads_enabled: bool = False
    presigned_upload_run_id_supported: bool = False
    presigned_upload_model_id_supported: bool = False
    features_enabled: Features = msgspec.field(default_factory=Features)


@endpoint("GET", "server-info", access=PUBLIC, api="3.0")
async def server_info(ctx: Context, http: HttpRequest) -> Reply:
    """Newer clients go past the server with large files where that is said to work, and do not fall back."""
    proxied = await ctx.artifacts.direct_destination() is not None
    direct = await ctx.artifacts.direct_root() is not None
    return ServerInfo(
        multipart_uploads_enabled=proxied,
        multipart_downloads_enabled=proxied,
        presigned_upload_run_id_supported=direct,
        presigned_upload_model_id_supported=direct,
    )


@endpoint("GET", "/version", access=PUBLIC)
async def version(ctx: Context, http: HttpRequest) -> Reply:
    return Raw(MLFLOW_VERSION.encode(), "text/html; charset=utf-8")


@endpoint("GET", "/health", access=PUBLIC)
async def health(ctx: Context, http: HttpRequest) -> Reply:
    """The process answers. Nothing else is asked: a platform restarts what is not healthy, and a database that is
    away for a moment is not made well by that.
    """
    return Raw(b'{"status": "ok"}', JSON)


class Readiness(msgspec.Struct):
    """ "ok" or what is wrong, for each part that requests need."""

    database: str
    artifact_store: str


@endpoint("GET", "/ready", access=PUBLIC)
async def ready(ctx: Context, http: HttpRequest) -> Reply:
    """200 when requests can be served, 503 when not. Each part is asked once in a few seconds at most."""
    database, artifact_store = await asyncio.gather(
        _state(ctx.db, lambda: _ask_database(ctx.db)),
        _state(ctx.artifacts, ctx.artifacts.probe),
    )
    found = Readiness(database, artifact_store)
    status = 200 if database == artifact_store == "ok" else 503
    return Raw(msgspec.json.encode(found), JSON, status)


async def _ask_database(db: Db) -> None:
    await db.fetch_value("SELECT 1")


class _Check(NamedTuple):
    until: float
    state: "asyncio.Task[str]"


_checks: WeakKeyDictionary[Db | ArtifactStores, _Check] = WeakKeyDictionary()
"""The last check of each part, finished or under way."""


async def _state(part: Db | ArtifactStores, probe: Callable[[], Awaitable[None]]) -> str:
    check = _checks.get(part)
    if check is None or check.until < time.monotonic():
        check = _checks[part] = _Check(time.monotonic() + CHECK_KEPT_S, asyncio.create_task(_outcome(probe)))
    return await asyncio.shield(check.state)


async def _outcome(probe: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(CHECK_LIMIT_S):
            await probe()
    except ApiError as error:
        return error.message
    except TimeoutError:
        return f"no answer within {CHECK_LIMIT_S:.0f} s"
    except Exception:
        log.exception("a readiness check failed")
        return "failed; the server's log tells more"
    return "ok"
