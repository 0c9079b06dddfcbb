"""Constant responses that the interface requests on every page, for features that this server doesn't have."""

from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint


@endpoint("GET", "gateway-proxy", access=SIGNED_IN, ajax_only=True)
async def gateway_endpoints(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return no endpoints: there is no AI gateway."""
    return BytesResponse(b'{"endpoints":[]}')


@endpoint("GET", "ui-telemetry", access=SIGNED_IN, api="3.0", ajax_only=True)
async def telemetry_settings(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Report that telemetry is off."""
    return BytesResponse(b'{"disable_ui_telemetry":true,"disable_ui_events":[],"ui_rollout_percentage":0}')


@endpoint("POST", "ui-telemetry", access=SIGNED_IN, api="3.0", ajax_only=True)
async def telemetry(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Discard the events."""
    return BytesResponse(b'{"status":"disabled"}')


@endpoint("GET", "skills", access=SIGNED_IN, api="3.0")
async def list_skills(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return no skills: this server has no registry of them."""
    return BytesResponse(b'{"skills":[],"next_page_token":null}')


@endpoint("GET", "assistant/config", access=SIGNED_IN, api="3.0", ajax_only=True)
async def assistant_config(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Report that the assistant has no providers."""
    return BytesResponse(
        b'{"providers":{},"projects":{},"remote_access_allowed":false,"can_edit_server_settings":true}'
    )


@endpoint("GET", "assistant/providers", access=SIGNED_IN, api="3.0", ajax_only=True)
async def assistant_providers(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return no providers for the assistant."""
    return BytesResponse(b'{"providers":[]}')
