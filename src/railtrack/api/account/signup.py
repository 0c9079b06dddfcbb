"""The page on which an administrator creates a user. MLflow has it at the same paths."""

from railtrack.api.account import html
from railtrack.api.account.forms import SessionForm, checked_form, reauthenticate, reauthentication, session_of
from railtrack.api.users.queries import check_administrator, new_user
from railtrack.auth import ACCESS
from railtrack.auth.sessions import csrf_token
from railtrack.auth.unauthenticated import WrongPassword
from railtrack.context import Context
from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint


@endpoint("GET", "/signup", access=ACCESS, only_with_login=True)
async def signup_page(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return the form for a new user."""
    await check_administrator(ctx)
    return await _page(ctx, session_of(ctx, http))


@endpoint("POST", "users/create-ui", access=ACCESS, only_with_login=True)
async def create_user_by_form(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Create a user, after the administrator's own password was entered again."""
    await check_administrator(ctx)
    form = await checked_form(ctx, http)
    username = form.fields.get("username", "")
    try:
        await reauthenticate(ctx, form)
        await new_user(ctx, username, form.fields.get("password", ""))
    except WrongPassword:
        return await _page(ctx, form, username=username, error="Your own password is wrong.", status=400)
    except ApiError as error:
        if error.status >= 500:
            raise
        return await _page(ctx, form, username=username, error=error.message, status=error.status)
    return await _page(ctx, form, notice=f"Created the user {username}.")


async def _page(
    ctx: Context, form: SessionForm, *, username: str = "", error: str = "", notice: str = "", status: int = 200
) -> BytesResponse:
    prefix = ctx.settings.server.static_prefix
    content = html.signup_form(
        prefix,
        csrf_token(form.session),
        username=username[:255],
        error=error,
        notice=notice,
        reauthentication=(await reauthentication(ctx, form)).fields(prefix),
    )
    return html.page("Create a user", content, status=status)
