"""Forms of the account pages: only from a browser's session, with its CSRF token. Also the form of the login page."""

import re
import secrets
from typing import NamedTuple

from railtrack.api.account import html
from railtrack.auth.authenticator import Authenticator
from railtrack.auth.identity import Identity
from railtrack.auth.oidc.accounts import id_token_of_session
from railtrack.auth.oidc.provider import CALLBACK_PATH
from railtrack.auth.sessions import (
    cookie_name,
    cookie_value,
    csrf_token,
    find_session,
    is_csrf_token,
    session_hash,
    set_cookie,
)
from railtrack.auth.users import User, find_user_by_id
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.errors import ApiError, invalid, permission_denied
from railtrack.wire.browser import NEXT_LIMIT
from railtrack.wire.forms import form_fields
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, Header
from railtrack.wire.routing import no_such_endpoint

FORM_COOKIE = "/login"
"""Extends the name of the session's cookie."""
FORM_COOKIE_S = 3600
FRESH_LOGIN_MS = 10 * 60 * 1000
"""How long after a login at the provider a user without password may make lasting changes."""
_FORM_VALUE = re.compile(r"[\w-]{43}", re.ASCII)
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path on this server: browsers read `//host` and `/\\host` as another one."""


class SessionForm(NamedTuple):
    """A submitted form, and who submitted it. `session`: the value of the cookie."""

    authenticator: Authenticator
    identity: Identity
    session: str
    fields: dict[str, str]


async def checked_form(ctx: Context, http: HttpRequest) -> SessionForm:
    """Return the form. Raise PERMISSION_DENIED without a session, or without its CSRF token."""
    form = session_of(ctx, http)._replace(fields=await form_fields(http))
    if not is_csrf_token(form.session, form.fields.get("csrf", "")):
        raise ApiError("PERMISSION_DENIED", "The form is not of this session. Reload the page, and submit it again.")
    return form


def session_of(ctx: Context, http: HttpRequest) -> SessionForm:
    """Return who requests this by a session, without fields. Raise PERMISSION_DENIED for another kind of login."""
    authenticator = required_authenticator(ctx)
    if ctx.identity is None or ctx.identity.via != "session":
        if ctx.identity is not None and ctx.identity.via == "proxy":
            raise permission_denied(
                f"The proxy has logged you in as {ctx.identity.username}. This page is for logins on the login page. "
                f"An administrator creates tokens by: railtrack tokens create {ctx.identity.username} NAME"
            )
        raise permission_denied("This page needs a browser that is logged in on the login page.")
    return SessionForm(authenticator, ctx.identity, authenticator.session(http), {})


def required_authenticator(ctx: Context) -> Authenticator:
    """Raise ENDPOINT_NOT_FOUND on a server without login."""
    if ctx.authenticator is None:
        raise no_such_endpoint(ctx.http.path)
    return ctx.authenticator


def session_cookie(
    authenticator: Authenticator, http: HttpRequest, session: str, *, max_age_s: int | None = None
) -> Header:
    return b"set-cookie", authenticator.cookie(http, session, max_age_s=max_age_s).encode()


class Reauthentication(NamedTuple):
    """How a user proves again who it is: by its password, or without one by a recent login at the provider."""

    user: User
    is_fresh: bool

    def fields(self, prefix: str, element: str = "current-password") -> str:
        """Return the HTML for a form that makes a lasting change."""
        has_password = self.user.password_hash is not None
        return html.reauthentication(prefix, element, has_password=has_password, is_fresh=self.is_fresh)


async def reauthentication(ctx: Context, form: SessionForm) -> Reauthentication:
    """Raise PERMISSION_DENIED if the user has just been deleted."""
    user = await find_user_by_id(ctx.db, form.identity.user_id)
    if user is None:
        raise permission_denied()
    hashed = session_hash(form.session)
    began_at_provider = await id_token_of_session(ctx.db, hashed) is not None
    session = await find_session(ctx.db, hashed) if began_at_provider else None
    return Reauthentication(user, session is not None and session.created_ms > now_ms() - FRESH_LOGIN_MS)


async def reauthenticate(ctx: Context, form: SessionForm) -> User:
    """Return the user if the form has its password: an unlocked screen is not enough for lasting changes."""
    user, is_fresh = await reauthentication(ctx, form)
    if user.password_hash is None:
        if not is_fresh:
            raise invalid("Your last login was too long ago. Log in again first.")
        return user
    address = form.authenticator.address(ctx.http)
    return await form.authenticator.passwords.check(user.username, form.fields.get("current", ""), address=address)


def login_form(
    ctx: Context,
    authenticator: Authenticator,
    next_path: str = "",
    username: str = "",
    *,
    error: str = "",
    status: int = 200,
) -> BytesResponse:
    """Return the login page with its cookie, of which the form has the CSRF token. Tabs share the cookie."""
    settings = ctx.settings
    prefix, secret = settings.server.static_prefix, browser_secret(ctx, authenticator)
    next_path = local_path(next_path, prefix)
    button = html.provider_button(prefix, next_path, settings.oidc.label) if settings.oidc.is_enabled else ""
    form = ""
    if settings.auth.password_form or username or ctx.http.query.get("form") == ["password"]:
        form = html.login_form(prefix, csrf_token(secret), next_path, username=username[:255])
    cookie = form_cookie_header(ctx, authenticator, secret)
    return html.page("Log in", html.login_page(form, button, error), status=status, headers=(cookie,))


def browser_secret(ctx: Context, authenticator: Authenticator, *, only_existing: bool = False) -> str:
    """Return the value of the login page's cookie, or a new one. It proves that a login was begun in this browser."""
    value = cookie_value(ctx.http.header(b"cookie"), _form_cookie(ctx, authenticator))
    if _FORM_VALUE.fullmatch(value):
        return value
    return "" if only_existing else secrets.token_urlsafe(32)


def form_cookie_header(
    ctx: Context, authenticator: Authenticator, value: str, *, max_age_s: int = FORM_COOKIE_S
) -> Header:
    return b"set-cookie", set_cookie(_form_cookie(ctx, authenticator), value, max_age_s=max_age_s).encode()


def _form_cookie(ctx: Context, authenticator: Authenticator) -> str:
    return cookie_name(ctx.settings.server.static_prefix + FORM_COOKIE, is_tls=authenticator.is_tls(ctx.http))


def local_path(path: str, prefix: str) -> str:
    """Return the path if it is one of this server, else that of the web interface."""
    is_local = len(path) <= NEXT_LIMIT * 3 and _LOCAL_PATH.fullmatch(path) and path.startswith(f"{prefix}/")
    return path if is_local else f"{prefix}/"


def redirect_uri(ctx: Context, authenticator: Authenticator) -> str:
    """Return where the provider returns the browser to. The provider accepts only what is registered there."""
    if ctx.settings.oidc.redirect_uri:
        return ctx.settings.oidc.redirect_uri
    return authenticator.public_url(ctx.http) + ctx.settings.server.static_prefix + CALLBACK_PATH
