"""The page where users change their password, and create and end tokens and sessions."""

from railtrack.api.account import html
from railtrack.api.account.forms import (
    SessionForm,
    checked_form,
    reauthenticate,
    reauthentication,
    session_cookie,
    session_of,
)
from railtrack.auth import ACCOUNT, SIGNED_IN
from railtrack.auth.passwords import check_new_password
from railtrack.auth.sessions import create_session, csrf_token, end_session, list_sessions, session_hash
from railtrack.auth.tokens import create_token, list_tokens, revoke_token
from railtrack.auth.unauthenticated import WrongPassword
from railtrack.auth.users import set_password
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.errors import ApiError, invalid
from railtrack.wire.browser import redirect
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint

DAY_MS = 24 * 60 * 60 * 1000
LIFETIMES_DAYS = {"30": 30, "90": 90, "365": 365, "0": None}
ID_DIGITS = 18


@endpoint("GET", "/account", access=ACCOUNT)
async def account_page(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return the page of the user's password, tokens and sessions."""
    return await _page(ctx, session_of(ctx, http))


@endpoint("POST", "/account/password", access=ACCOUNT)
async def change_password(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Change the password. This ends all sessions of the user, and begins a new one for this browser."""
    form = await checked_form(ctx, http)
    new = form.fields.get("new", "")
    try:
        user = await reauthenticate(ctx, form)
        if new != form.fields.get("again", ""):
            raise invalid("The two new passwords are different.")
        if new == form.fields.get("current"):
            raise invalid("The new password is the current one.")
        check_new_password(user.username, new)
    except ApiError as error:
        return await _page(ctx, form, error=error)
    password_hash = await form.authenticator.passwords.hash(new)
    address, user_agent = form.authenticator.address(http), http.header(b"user-agent")
    async with ctx.db.write() as tx:
        await set_password(tx, user, password_hash)
        await ctx.audit(tx, "user", user.username)
        session = await create_session(tx, user.user_id, address=address, user_agent=user_agent)
    form.authenticator.state.expire()
    page = "/" if user.must_change_password else "/account"
    return redirect(ctx.settings.server.static_prefix + page, (session_cookie(form.authenticator, http, session),))


@endpoint("POST", "/account/tokens", access=SIGNED_IN)
async def create_own_token(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Create a token, after the password was entered again, and show it once."""
    form = await checked_form(ctx, http)
    fields = form.fields
    scope = fields.get("scope", "")
    if scope in ("experiment", "registered_model"):
        scope = f"{scope}:{fields.get('target', '').strip()}"
    try:
        if fields.get("days", "") not in LIFETIMES_DAYS:
            raise invalid("Invalid lifetime of the token.")
        days = LIFETIMES_DAYS[fields["days"]]
        user = await reauthenticate(ctx, form)
        expires_ms = None if days is None else now_ms() + days * DAY_MS
        async with ctx.db.write() as tx:
            token = await create_token(
                tx, user.user_id, fields.get("name", "").strip(), scope=scope, expires_ms=expires_ms
            )
            created, *_ = await list_tokens(tx, user.user_id)
            await ctx.audit(tx, "token", str(created.token_id), f"{created.name}, scope {created.scope}")
    except ApiError as error:
        return await _page(ctx, form, error=error)
    return await _page(ctx, form, token=token)


@endpoint("POST", "/account/tokens/revoke", access=ACCOUNT)
async def revoke_own_token(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Revoke one of the user's tokens."""
    form = await checked_form(ctx, http)
    token_id = form.fields.get("token_id", "")
    if not token_id.isascii() or not token_id.isdigit() or len(token_id) > ID_DIGITS:
        raise invalid("Invalid token_id.")
    async with ctx.db.write() as tx:
        if await revoke_token(tx, int(token_id), form.identity.user_id):
            await ctx.audit(tx, "token", token_id)
    form.authenticator.state.expire()
    return redirect(f"{ctx.settings.server.static_prefix}/account")


@endpoint("POST", "/account/sessions/end", access=ACCOUNT)
async def end_own_session(ctx: Context, http: HttpRequest) -> BytesResponse:
    """End one of the user's sessions."""
    form = await checked_form(ctx, http)
    async with ctx.db.write() as tx:
        ended = form.fields.get("session", "")[:64]
        if await end_session(tx, ended, form.identity.user_id):
            await ctx.audit(tx, "session", ended[:8])
    form.authenticator.state.expire()
    return redirect(f"{ctx.settings.server.static_prefix}/account")


async def _page(ctx: Context, form: SessionForm, *, error: ApiError | None = None, token: str = "") -> BytesResponse:
    """Return the page, with an error or a new token. Raise errors that are not the user's."""
    message = ""
    if error is not None:
        if error.status not in (400, 401, 429):
            raise error
        message = "The current password is wrong." if isinstance(error, WrongPassword) else error.message
    prefix, csrf, identity = ctx.settings.server.static_prefix, csrf_token(form.session), form.identity
    links = [html.audit_link(prefix)] if identity.is_admin and not identity.must_change_password else []
    title = f"Account of {identity.username}"
    content = [html.account_header(prefix, csrf, title, *links), html.error_line(message)]
    if identity.must_change_password:
        content += ["<p>Choose a new password first.</p>", html.password_form(prefix, csrf)]
    else:
        again = await reauthentication(ctx, form)
        async with ctx.db.read() as tx:
            tokens = await list_tokens(tx, identity.user_id)
            sessions = await list_sessions(tx, identity.user_id)
        content += [
            html.new_token_notice(token) if token else "",
            html.tokens_section(prefix, csrf, tokens, now_ms(), again.fields(prefix, "token-password")),
            html.sessions_section(prefix, csrf, sessions, session_hash(form.session)),
            html.password_form(prefix, csrf) if again.user.password_hash else "",
        ]
    # 403 instead of 401: the browser is logged in.
    status = 200 if error is None else (403 if error.status == 401 else error.status)
    return html.page("Account", f"<main>{''.join(content)}</main>", status=status)
