"""One request through the house: route, guard, decode, permission, handler, answer. The only catcher of ApiError."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Protocol

from railtrack.errors import ApiError
from railtrack.logs.throttle import ThrottledLog
from railtrack.wire.call import CallContext, call
from railtrack.wire.compression import compress, is_worth_it
from railtrack.wire.csrf import BrowserGuard
from railtrack.wire.request import ClientGone, HttpRequest, Receive, Scope
from railtrack.wire.response import (
    BytesResponse,
    Header,
    Send,
    StreamResponse,
    encode_response,
    error_response,
    send_response,
)
from railtrack.wire.routing import Route, Routes

log = logging.getLogger("railtrack")

SECURITY_HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

MakeContext = Callable[[HttpRequest, Route], CallContext]


class Watch(Protocol):
    """Is told of every request: when it comes, and when it has ended, after `seconds`."""

    def began(self) -> None: ...

    def ended(self, http: HttpRequest, request_id: str, seconds: float) -> None: ...


class Dispatcher:
    """Answers every HTTP request; `make_context` gives a handler what it may use."""

    def __init__(
        self, routes: Routes, guard: BrowserGuard, make_context: MakeContext, watches: Sequence[Watch] = ()
    ) -> None:
        self._routes = routes
        self._guard = guard
        self._make_context = make_context
        self._watches = watches
        self._new_ids = _new_ids()
        self._server_errors = ThrottledLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        request_id = self._request_id(http)
        if not self._watches:
            return await self._serve(http, request_id, send)
        began = time.perf_counter()
        for watch in self._watches:
            watch.began()
        try:
            await self._serve(http, request_id, send)
        finally:
            seconds = time.perf_counter() - began
            for watch in self._watches:
                watch.ended(http, request_id, seconds)

    async def _serve(self, http: HttpRequest, request_id: str, send: Send) -> None:
        try:
            reply = await self._answer(http, request_id)
            if is_worth_it(reply):
                reply = await compress(http, reply)
            headers = (*SECURITY_HEADERS, (b"x-request-id", request_id.encode()))
            await send_response(http, reply, send, headers)
        except ClientGone:
            log.debug("request %s: the client has gone", request_id)
        finally:
            http.release()

    async def _answer(self, http: HttpRequest, request_id: str) -> BytesResponse | StreamResponse:
        try:
            self._guard.check(http)
            route = http.route = self._routes.find(http)
            context = self._make_context(http, route)
            request = http if route.decoder is None else await route.decoder.decode(http)
            return encode_response(await call(route, context, request))
        except ApiError as error:
            if error.is_transient or error.status >= 500:
                self._server_errors.warning("request %s: %s (%r)", request_id, error, error.__cause__)
            return error_response(error)
        except ClientGone:
            raise
        except Exception:
            log.exception("request %s: %s %s failed", request_id, http.method, http.raw_path[:500].decode("latin-1"))
            return error_response(
                ApiError("INTERNAL_ERROR", f"Internal error; the server's log tells more of request {request_id}.")
            )

    def _request_id(self, http: HttpRequest) -> str:
        """The client's or proxy's own id where it is harmless to log, else a new one."""
        given = http.header(b"x-request-id")
        return given if given and REQUEST_ID.fullmatch(given) else next(self._new_ids)


def _new_ids() -> Iterator[str]:
    """Ids that no other process makes: a random beginning and a count."""
    beginning = os.urandom(8).hex()
    for number in count(1):
        yield f"{beginning}-{number:x}"
