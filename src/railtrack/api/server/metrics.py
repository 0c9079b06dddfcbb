"""/metrics for Prometheus, unless the setting is off. The counters are in railtrack/prometheus/."""

import asyncio

from railtrack.auth import METRICS_READ
from railtrack.auth.metrics_token import has_metrics_token
from railtrack.context import Context
from railtrack.errors import ApiError
from railtrack.prometheus.exposition import MEDIA_TYPE, exposition
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint, no_such_endpoint


@endpoint("GET", "/metrics", access=METRICS_READ)
async def metrics(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return the counters of all workers. Without a login, the token of the setting is required if there is one."""
    token = ctx.settings.metrics.token
    if ctx.authenticator is None and token and not has_metrics_token(http, token):
        raise ApiError("UNAUTHENTICATED", "/metrics requires the token of RAILTRACK_METRICS_TOKEN, as Bearer.")
    if ctx.counters is None:
        raise no_such_endpoint(http.path)
    ctx.counters.publish()
    return BytesResponse(await asyncio.to_thread(exposition, ctx.counters.counters), MEDIA_TYPE)
