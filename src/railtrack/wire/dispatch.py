"""Serve one request: guard, route, authenticate, decode, call the handler, respond.

The only module that catches ApiError.
"""

import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Protocol

from railtrack.auth import ACCOUNT, METRICS_READ, PUBLIC
from railtrack.auth.authenticator import Authenticator
from railtrack.auth.identity import Identity
from railtrack.auth.metrics_token import has_metrics_token
from railtrack.auth.unauthenticated import PasswordChangeRequired, Unauthenticated
from railtrack.errors import ApiError
from railtrack.logs.throttle import ThrottledLog
from railtrack.wire.browser import ACCOUNT_PATH, is_navigation, redirect, unauthenticated_response
from railtrack.wire.call import CallContext, call
from railtrack.wire.compression import compress, is_compressible
from railtrack.wire.cors import VARY
from railtrack.wire.csrf import BrowserGuard
from railtrack.wire.forwarded import ProxiedClients
from railtrack.wire.request import ClientGone, HttpRequest, Receive, Scope
from railtrack.wire.response import (
    BytesResponse,
    Header,
    Send,
    StreamResponse,
    encode_response,
    error_response,
    hold_response,
    is_small,
    send_response,
)
from railtrack.wire.routing import Route, Routes

log = logging.getLogger("railtrack")

WORKSPACE = "default"
"""The only workspace of this server."""
NO_SNIFFING: Header = (b"x-content-type-options", b"nosniff")
FRAMEABLE_PATH = "/static-files/lib/notebook-trace-renderer/"
"""Files that MLflow's client shows in a frame of a notebook, which has another origin."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

MakeContext = Callable[[HttpRequest, Identity | None], CallContext]


class RequestObserver(Protocol):
    """Is called when a request begins and when it ends."""

    def began(self) -> None: ...

    def ended(self, http: HttpRequest, request_id: str, seconds: float) -> None: ...


class Dispatcher:
    """Responds to every HTTP request. `make_context` creates the context of a handler.

    Without an authenticator, everyone may send every request. Without a guard, every host and origin is allowed.
    """

    def __init__(
        self,
        routes: Routes,
        guard: BrowserGuard | None,
        make_context: MakeContext,
        observers: Sequence[RequestObserver] = (),
        authenticator: Authenticator | None = None,
        proxied_clients: ProxiedClients | None = None,
        session_guard: BrowserGuard | None = None,
        *,
        frame_options: str = "",
        metrics_token: str = "",
    ) -> None:
        """`session_guard`: for logins that browsers send by themselves, also without `guard`; `frame_options`: the
        X-Frame-Options header of every response, "" for none; `metrics_token`: for /metrics.
        """
        self._routes = routes
        self._guard = guard
        self._session_guard = session_guard
        self._headers: tuple[Header, ...] = (NO_SNIFFING,)
        if guard and not guard.origins.allows_any:
            self._headers += (VARY,)  # a response has another Access-Control-Allow-Origin for each origin
        self._unframed_headers = self._headers
        if frame_options:
            self._headers += ((b"x-frame-options", frame_options.encode()),)
        self._frameable_path = routes.prefix + FRAMEABLE_PATH
        self._make_context = make_context
        self._authenticator = authenticator
        self._metrics_token = metrics_token
        self._proxied_clients = proxied_clients
        self._observers = observers
        self._new_ids = _new_ids()
        self._server_errors = ThrottledLog()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        http = HttpRequest(scope, receive)
        serve = self._serve_observed if self._observers else self._serve
        return serve(http, self._request_id(http), send)

    async def _serve_observed(self, http: HttpRequest, request_id: str, send: Send) -> None:
        began = time.perf_counter()
        for observer in self._observers:
            observer.began()
        try:
            await self._serve(http, request_id, send)
        finally:
            seconds = time.perf_counter() - began
            for observer in self._observers:
                observer.ended(http, request_id, seconds)

    async def _serve(self, http: HttpRequest, request_id: str, send: Send) -> None:
        try:
            response = await self._respond(http, request_id)
            if is_compressible(response):
                response = await compress(http, response)
            is_frameable = http.path.startswith(self._frameable_path)
            common = self._unframed_headers if is_frameable else self._headers
            headers = (*common, (b"x-request-id", request_id.encode()))
            if self._guard and (origin := http.header(b"origin")):
                headers += self._guard.origins.headers(origin)
            await send_response(http, response, send, headers)
        except ClientGone:
            log.debug("request %s: the client closed the connection", request_id)
        finally:
            http.release()
            if self._proxied_clients and http.counted_client:
                self._proxied_clients.leave(http)

    async def _respond(self, http: HttpRequest, request_id: str) -> BytesResponse | StreamResponse:
        try:
            if self._proxied_clients:
                self._proxied_clients.enter(http)
            if self._guard:
                self._guard.check(http)
                if http.method == "OPTIONS" and (preflight := self._guard.origins.preflight(http)):
                    return preflight
            if workspace := http.header(b"x-mlflow-workspace"):
                _check_workspace(workspace, http)
            identity = None
            if self._authenticator is None:
                route = http.route = self._routes.find(http)
            else:
                route, identity = await self._authenticate(http, self._authenticator)
            if route.is_read:
                http.cancel_on_disconnect()
            context = self._make_context(http, identity)
            request = http if route.decoder is None else await route.decoder.decode(http)
            response = encode_response(await call(route, context, request))
            if not is_small(response):
                await hold_response(http, response)
            return response
        except Unauthenticated as error:
            return unauthenticated_response(http, error, self._routes.prefix)
        except PasswordChangeRequired as error:
            return redirect(self._routes.prefix + ACCOUNT_PATH) if is_navigation(http) else error_response(error)
        except ApiError as error:
            if error.is_transient or error.status >= 500:
                self._server_errors.warning("request %s: %s (%r)", request_id, error, error.__cause__)
            return error_response(error)
        except ClientGone:
            raise
        except Exception:
            log.exception("request %s: %s %s failed", request_id, http.method, http.raw_path[:500].decode("latin-1"))
            return error_response(
                ApiError("INTERNAL_ERROR", f"Internal error. See the server's log for request {request_id}.")
            )

    async def _authenticate(self, http: HttpRequest, authenticator: Authenticator) -> tuple[Route, Identity | None]:
        """Return the route, and who requests it unless it is public.

        Without a login, an unknown path is a 401 as well: nobody learns which paths exist.
        """
        try:
            route = http.route = self._routes.find(http)
        except ApiError:
            await authenticator.identify(http)
            raise
        if route.access.is_public:
            return route, None
        if route.access == METRICS_READ and has_metrics_token(http, self._metrics_token):
            return replace(route, access=PUBLIC), None
        identity = await authenticator.identify(http)
        if self._session_guard and identity.via in ("session", "proxy"):
            self._session_guard.check_session(http)
        if identity.must_change_password and route.access != ACCOUNT:
            raise PasswordChangeRequired(identity.username, self._routes.prefix)
        return route, identity

    def _request_id(self, http: HttpRequest) -> str:
        """Return the X-Request-ID of the client or proxy if it is safe to log, else a new id."""
        sent = http.header(b"x-request-id")
        return sent if sent and REQUEST_ID.fullmatch(sent) else next(self._new_ids)


def _check_workspace(name: str, http: HttpRequest) -> None:
    """Raise FEATURE_DISABLED for a workspace that doesn't exist here: everything is in the default one.

    To ignore the header would read and write what belongs to another workspace. As in MLflow, server-info is exempt: by
    it clients learn that there are no workspaces.
    """
    if name.strip() not in ("", WORKSPACE) and not http.path.endswith("/mlflow/server-info"):
        raise ApiError(
            "FEATURE_DISABLED",
            f"Workspaces are not enabled on this server, so there is no workspace {name[:100]!r}. Leave the header "
            f"X-MLFLOW-WORKSPACE out, or set it to {WORKSPACE!r}.",
        )


def _new_ids() -> Iterator[str]:
    """Yield ids that are unique across processes: a random prefix and a counter."""
    prefix = os.urandom(8).hex()
    for number in count(1):
        yield f"{prefix}-{number:x}"
