"""The login page of browsers, and the logout. The account page is in settings.py."""

import re
import secrets

from railtrack.api.account import html
from railtrack.api.account.forms import checked_form, required_authenticator, session_cookie
from railtrack.auth import ACCOUNT, PUBLIC
from railtrack.auth.audit import session_credential
from railtrack.auth.authenticator import Authenticator
from railtrack.auth.sessions import (
    cookie_name,
    cookie_value,
    create_session,
    csrf_token,
    end_session,
    is_csrf_token,
    session_hash,
    set_cookie,
)
from railtrack.auth.unauthenticated import WrongPassword
from railtrack.context import Context
from railtrack.errors import ApiError
from railtrack.wire.browser import LOGIN_PATH, NEXT_LIMIT, redirect
from railtrack.wire.forms import form_fields
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint

FORM_COOKIE = "/login"
"""Extends the name of the session's cookie."""
FORM_COOKIE_S = 3600
_FORM_VALUE = re.compile(r"[\w-]{43}", re.ASCII)
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path on this server: browsers read `//host` and `/\\host` as another one."""


@endpoint("GET", LOGIN_PATH, access=PUBLIC)
async def login_page(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return the login page. On a server without login, redirect to the web interface."""
    if ctx.authenticator is None:
        return redirect(f"{ctx.settings.server.static_prefix}/")
    return _login_form(ctx, ctx.authenticator, next_path=http.query.get("next", [""])[0])


@endpoint("POST", LOGIN_PATH, access=PUBLIC)
async def log_in(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Check the password, begin a session, and redirect to where the browser came from."""
    authenticator = required_authenticator(ctx)
    fields = await form_fields(http)
    username, next_path = fields.get("username", ""), fields.get("next", "")
    form_cookie = cookie_value(http.header(b"cookie"), _form_cookie(ctx, authenticator))
    if not form_cookie or not is_csrf_token(form_cookie, fields.get("csrf", "")):
        return _login_form(ctx, authenticator, next_path, username, "The page was open for too long. Try again.", 403)
    address = authenticator.address(http)
    try:
        user = await authenticator.passwords.check(username, fields.get("password", ""), address=address)
    except ApiError as error:
        if error.status not in (401, 429):
            raise
        message = "The user name or the password is wrong." if isinstance(error, WrongPassword) else error.message
        return _login_form(ctx, authenticator, next_path, username, message, error.status)
    old = authenticator.session(http)
    async with ctx.db.write() as tx:
        if old:
            await end_session(tx, session_hash(old))
        session = await create_session(tx, user.user_id, address=address, user_agent=http.header(b"user-agent"))
        if ctx.audit_log is not None:
            credential = session_credential(session_hash(session))
            await ctx.audit_log.record_login(tx, user.user_id, user.username, address, credential)
    authenticator.state.expire()
    prefix = ctx.settings.server.static_prefix
    target = f"{prefix}/account" if user.must_change_password else _local_path(next_path, prefix)
    return redirect(target, (session_cookie(authenticator, http, session),))


@endpoint("POST", "/logout", access=ACCOUNT)
async def log_out(ctx: Context, http: HttpRequest) -> BytesResponse:
    """End the session, and redirect to the login page."""
    form = await checked_form(ctx, http)
    async with ctx.db.write() as tx:
        await form.authenticator.end_session(tx, http, form.session)
    form.authenticator.state.expire()
    no_session = session_cookie(form.authenticator, http, "", max_age_s=0)
    return redirect(ctx.settings.server.static_prefix + LOGIN_PATH, (no_session,))


def _login_form(
    ctx: Context, authenticator: Authenticator, next_path: str, username: str = "", error: str = "", status: int = 200
) -> BytesResponse:
    """Return the page with its cookie, of which the form has the CSRF token. Tabs share the cookie."""
    name = _form_cookie(ctx, authenticator)
    value = cookie_value(ctx.http.header(b"cookie"), name)
    if not _FORM_VALUE.fullmatch(value):
        value = secrets.token_urlsafe(32)
    prefix = ctx.settings.server.static_prefix
    content = html.login_form(
        prefix, csrf_token(value), _local_path(next_path, prefix), username=username[:255], error=error
    )
    cookie = set_cookie(name, value, max_age_s=FORM_COOKIE_S)
    return html.page("Log in", content, status=status, headers=((b"set-cookie", cookie.encode()),))


def _form_cookie(ctx: Context, authenticator: Authenticator) -> str:
    return cookie_name(ctx.settings.server.static_prefix + FORM_COOKIE, is_tls=authenticator.is_tls(ctx.http))


def _local_path(path: str, prefix: str) -> str:
    """Return the path if it is one of this server, else that of the web interface."""
    is_local = len(path) <= NEXT_LIMIT * 3 and _LOCAL_PATH.fullmatch(path) and path.startswith(f"{prefix}/")
    return path if is_local else f"{prefix}/"
