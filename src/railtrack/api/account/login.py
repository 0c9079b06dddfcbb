"""The login page of browsers, and the logout. Login at a provider: oidc.py. The account page is in settings.py."""

from railtrack.api.account import html
from railtrack.api.account.forms import (
    browser_secret,
    checked_form,
    local_path,
    login_form,
    redirect_uri,
    required_authenticator,
    session_cookie,
)
from railtrack.auth import ACCOUNT, PUBLIC
from railtrack.auth.audit import session_credential
from railtrack.auth.oidc.accounts import id_token_of_session
from railtrack.auth.sessions import create_session, end_session, is_csrf_token, session_hash
from railtrack.auth.unauthenticated import WrongPassword
from railtrack.context import Context
from railtrack.errors import ApiError
from railtrack.wire.browser import LOGIN_PATH, redirect
from railtrack.wire.forms import form_fields
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint


@endpoint("GET", LOGIN_PATH, access=PUBLIC)
async def login_page(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return the login page. On a server without login, redirect to the web interface."""
    if ctx.authenticator is None:
        return redirect(f"{ctx.settings.server.static_prefix}/")
    return login_form(ctx, ctx.authenticator, http.query.get("next", [""])[0])


@endpoint("POST", LOGIN_PATH, access=PUBLIC)
async def log_in(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Check the password, begin a session, and redirect to where the browser came from."""
    authenticator = required_authenticator(ctx)
    fields = await form_fields(http)
    username, next_path = fields.get("username", ""), fields.get("next", "")
    secret = browser_secret(ctx, authenticator, only_existing=True)
    if not secret or not is_csrf_token(secret, fields.get("csrf", "")):
        message = "The page was open for too long. Try again."
        return login_form(ctx, authenticator, next_path, username, error=message, status=403)
    address = authenticator.address(http)
    try:
        user = await authenticator.passwords.check(username, fields.get("password", ""), address=address)
    except ApiError as error:
        if error.status not in (401, 429):
            raise
        message = "The user name or the password is wrong." if isinstance(error, WrongPassword) else error.message
        return login_form(ctx, authenticator, next_path, username, error=message, status=error.status)
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
    target = f"{prefix}/account" if user.must_change_password else local_path(next_path, prefix)
    return redirect(target, (session_cookie(authenticator, http, session),))


@endpoint("POST", "/logout", access=ACCOUNT)
async def log_out(ctx: Context, http: HttpRequest) -> BytesResponse:
    """End the session, and redirect to the login page, by way of the provider that began the session."""
    form = await checked_form(ctx, http)
    hashed = session_hash(form.session)
    async with ctx.db.write() as tx:
        id_token = await id_token_of_session(tx, hashed)
        await form.authenticator.end_session(tx, http, form.session)
    form.authenticator.state.expire()
    no_session = session_cookie(form.authenticator, http, "", max_age_s=0)
    if id_token is not None and ctx.provider is not None and ctx.settings.oidc.logs_out:
        url = await ctx.provider.logout_url(id_token, redirect_uri(ctx, form.authenticator))
        if url:
            return html.page("Log out", html.provider_logout(url), headers=(html.refresh(url), no_session))
    return redirect(ctx.settings.server.static_prefix + LOGIN_PATH, (no_session,))
