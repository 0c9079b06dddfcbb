"""The composition root: opens the database and the artifact stores, collects the endpoints, makes the ASGI application.

The only module that knows everyone.
"""

import asyncio
import gc
import logging
from typing import Any

from railtrack.api import endpoints
from railtrack.api.runs.write import write_entries
from railtrack.artifacts import ArtifactStores
from railtrack.config import Settings
from railtrack.context import Context
from railtrack.db import Db
from railtrack.db.group import GroupCommit
from railtrack.db.open import complete, open_database
from railtrack.db.url import parse_database_url
from railtrack.wire.dispatch import Dispatcher
from railtrack.wire.guard import BrowserGuard
from railtrack.wire.request import HttpRequest, Receive, Scope
from railtrack.wire.response import Send
from railtrack.wire.routing import Route, Routes

log = logging.getLogger("railtrack")


class App:
    """The ASGI application of one process. What holds threads or sockets opens on first use, after the fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._routes = Routes.of(endpoints())
        self._guard = BrowserGuard(loopback=settings.loopback, hosts=settings.allowed_hosts)
        self._dispatch: Dispatcher | None = None
        self._db: Db | None = None
        self._artifacts = ArtifactStores(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            assert self._dispatch is not None, "the server runs lifespan.startup first"
            await self._dispatch(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Open at start-up, close at shutdown; what the database lacks is added meanwhile."""
        completing = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.open()
                completing = asyncio.create_task(complete(parse_database_url(self._settings.backend_store_uri)))
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if completing is not None:
                    completing.cancel()
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def open(self) -> None:
        """Make what requests need; connections are made when they are first used."""
        url = parse_database_url(self._settings.backend_store_uri)
        self._db = db = open_database(url, connections=self._settings.threads)
        log_writes = GroupCommit(db, write_entries)

        def make_context(http: HttpRequest, route: Route) -> Context:
            return Context(db, log_writes, self._artifacts, self._settings, http)

        self._dispatch = Dispatcher(self._routes, self._guard, make_context)

    async def close(self) -> None:
        self._artifacts.close()
        if self._db is not None:
            await self._db.close()


def preloaded(settings: Settings) -> Any:
    """The application, loaded in the master: what it holds by then is shared by all workers' memory."""
    app = App(settings)
    gc.collect()
    gc.freeze()  # a collection in a worker would otherwise touch, and so copy, the shared pages
    return app
