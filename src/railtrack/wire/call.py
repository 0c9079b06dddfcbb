"""The only way to a handler, over HTTP and from GraphQL: check access, retry conflicts, run it, record denials."""

from typing import Any, Protocol

from railtrack.auth import Policy
from railtrack.db.retry import retry_on_conflict
from railtrack.errors import PERMISSION_DENIED, ApiError
from railtrack.wire.response import Response
from railtrack.wire.routing import Route


class CallContext(Protocol):
    """What a call needs of the context that it passes to the handler."""

    @property
    def policy(self) -> Policy | None:
        """None if everyone may do everything."""

    def denied(self, route: Route, request: Any) -> None:
        """Record that the caller was denied this request."""


async def call(route: Route, context: CallContext, request: Any) -> Response:
    """Run the route's handler if the caller may, and again if its transaction lost against another.

    `request` is the route's struct, or the HttpRequest itself for a handler that reads the body. Such a handler is
    not retried: the body can be read only once.
    """
    try:
        if context.policy is not None:
            await context.policy.check(route.access, context, request)
        if route.struct is None:
            return await route.handler(context, request)
        return await retry_on_conflict(route.handler, context, request)
    except ApiError as error:
        if error.code == PERMISSION_DENIED:
            context.denied(route, request)
        raise
