"""Forms of the account pages: only from a browser's session, with its CSRF token."""

from typing import NamedTuple

from railtrack.auth.authenticator import Authenticator
from railtrack.auth.identity import Identity
from railtrack.auth.sessions import is_csrf_token
from railtrack.context import Context
from railtrack.errors import ApiError
from railtrack.wire.forms import form_fields
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import Header
from railtrack.wire.routing import no_such_endpoint


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
        raise ApiError("PERMISSION_DENIED", "This page needs a browser that is logged in on the login page.")
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
