"""Login at an OpenID Connect provider: where the login page's button leads to, and where the provider returns to."""

import logging
import re

from railtrack.api.account.forms import (
    browser_secret,
    form_cookie_header,
    local_path,
    login_form,
    redirect_uri,
    required_authenticator,
    session_cookie,
)
from railtrack.auth import PUBLIC
from railtrack.auth.audit import session_credential
from railtrack.auth.authenticator import Authenticator
from railtrack.auth.oidc.accounts import (
    NotAllowed,
    log_in_provider_user,
    mark_session,
    needed_claims,
    provider_user,
)
from railtrack.auth.oidc.attempt import LoginAttempt, begin_attempt, resume_attempt
from railtrack.auth.oidc.provider import CALLBACK_PATH, Login, LoginFailed, Provider, ProviderError
from railtrack.auth.oidc.provider import LOGIN_PATH as PROVIDER_PATH
from railtrack.auth.sessions import create_session, end_session, session_hash
from railtrack.auth.throttle import throttle_key
from railtrack.context import Context
from railtrack.errors import ApiError
from railtrack.logs.throttle import ThrottledLog
from railtrack.wire.browser import LOGIN_PATH, redirect
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint, no_such_endpoint

log = logging.getLogger("railtrack")
failures = ThrottledLog()

CODE_LIMIT = 4096
_ERROR = re.compile(r"[a-z_]{1,64}")
TRY_AGAIN = "The login was not begun in this browser, or took too long. Try again."


@endpoint("GET", PROVIDER_PATH, access=PUBLIC, only_with_login=True)
async def begin_login(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Redirect the browser to the provider. `fresh`: the provider shall ask for the password again."""
    authenticator, provider = _required(ctx)
    query = http.query
    next_path, fragment = query.get("next", [""])[0], query.get("fragment", [""])[0]
    return_path = local_path(next_path, ctx.settings.server.static_prefix)
    if fragment.startswith("#"):  # the web interface keeps its route there
        return_path = local_path(return_path + fragment, ctx.settings.server.static_prefix)
    secret = browser_secret(ctx, authenticator)
    attempt = begin_attempt(secret, return_path)
    try:
        url = await provider.authorization_url(attempt, redirect_uri(ctx, authenticator), is_fresh="fresh" in query)
    except ProviderError as error:
        return _provider_failed(ctx, authenticator, next_path, error)
    return redirect(url, (form_cookie_header(ctx, authenticator, secret),))


@endpoint("GET", CALLBACK_PATH, access=PUBLIC, only_with_login=True)
async def finish_login(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Exchange the provider's code, begin a session, and redirect to where the browser came from."""
    authenticator, provider = _required(ctx)
    query = {name: values[0] if len(values) == 1 else "" for name, values in http.query.items()}
    if not query:  # the provider returns here after its logout, too
        return redirect(ctx.settings.server.static_prefix + LOGIN_PATH)
    attempt = resume_attempt(browser_secret(ctx, authenticator, only_existing=True), query.get("state", ""))
    if attempt is None:
        return login_form(ctx, authenticator, error=TRY_AGAIN, status=400)
    if "code" not in query:
        code = query.get("error", "")
        reason = f": {code}" if _ERROR.fullmatch(code) else ""
        message = f"The provider did not log you in{reason}."
        return login_form(ctx, authenticator, attempt.return_path, error=message, status=403)
    address = authenticator.address(http)
    try:
        authenticator.passwords.throttle.check_address(throttle_key(address))
        login = await _exchange(provider, query, attempt, redirect_uri(ctx, authenticator))
        return await _begin_session(ctx, authenticator, login, attempt)
    except LoginFailed as error:
        authenticator.passwords.throttle.addresses.increment(throttle_key(address))
        failures.warning("A login at the provider failed: %s", error)
        _record_failure(ctx, address, str(error))
        return login_form(
            ctx, authenticator, attempt.return_path, error="The login is not valid. Try again.", status=400
        )
    except NotAllowed as error:
        log.info("A login at the provider was rejected: %s", error)
        _record_failure(ctx, address, str(error))
        return login_form(ctx, authenticator, attempt.return_path, error=str(error), status=403)
    except ProviderError as error:
        return _provider_failed(ctx, authenticator, attempt.return_path, error)
    except ApiError as error:
        if error.status != 429:
            raise
        return login_form(ctx, authenticator, attempt.return_path, error=error.message, status=429)


async def _exchange(provider: Provider, query: dict[str, str], attempt: LoginAttempt, redirect_uri: str) -> Login:
    code = query["code"]
    if not 0 < len(code) <= CODE_LIMIT:
        raise LoginFailed("the code is missing or too long")
    if "iss" in query and query["iss"] != (await provider.metadata()).issuer:  # RFC 9207
        raise LoginFailed("another provider returned the browser")
    return await provider.log_in(code, attempt, redirect_uri, needed_claims(provider.settings))


async def _begin_session(
    ctx: Context, authenticator: Authenticator, login: Login, attempt: LoginAttempt
) -> BytesResponse:
    """Begin a session with a new id, and end the browser's old one. The state is valid once: its cookie ends, too."""
    http, old = ctx.http, authenticator.session(ctx.http)
    settings = ctx.settings.oidc
    found = provider_user(login.claims, settings)
    address, user_agent = authenticator.address(http), http.header(b"user-agent")
    async with ctx.db.write() as tx:
        user, changes = await log_in_provider_user(tx, found, settings)
        if old:
            await end_session(tx, session_hash(old))
        session = await create_session(tx, user.user_id, address=address, user_agent=user_agent)
        await mark_session(tx, session_hash(session), login.id_token)
        if ctx.audit_log is not None:
            credential = session_credential(session_hash(session))
            await ctx.audit_log.record_login(
                tx, user.user_id, user.username, address, credential, detail=", ".join(changes)
            )
    authenticator.state.expire()
    prefix = ctx.settings.server.static_prefix
    target = f"{prefix}/account" if user.must_change_password else local_path(attempt.return_path, prefix)
    ended = form_cookie_header(ctx, authenticator, "", max_age_s=0)
    return redirect(target, (session_cookie(authenticator, http, session), ended))


def _record_failure(ctx: Context, address: str, reason: str) -> None:
    if ctx.audit_log is not None:
        ctx.audit_log.login_failed(None, "", address, "provider", reason)


def _provider_failed(ctx: Context, authenticator: Authenticator, next_path: str, error: ProviderError) -> BytesResponse:
    """Return the login page, without details of the provider, which are in the log."""
    failures.warning("Single sign-on failed: %s", error)
    message = "The provider of single sign-on cannot log you in now. Try again later, or ask an administrator."
    return login_form(ctx, authenticator, next_path, error=message, status=error.status)


def _required(ctx: Context) -> tuple[Authenticator, Provider]:
    """Raise ENDPOINT_NOT_FOUND on a server without single sign-on."""
    authenticator = required_authenticator(ctx)
    if ctx.provider is None:
        raise no_such_endpoint(ctx.http.path)
    return authenticator, ctx.provider
