"""GET /openapi.json: the API's description. wire/openapi.py builds it from the route table."""

import asyncio
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from railtrack import MLFLOW_VERSION
from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.wire.openapi import openapi_document
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import ROUTES, endpoint


@endpoint("GET", "/openapi.json", access=SIGNED_IN)
async def openapi(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return this document."""
    return BytesResponse(await asyncio.to_thread(_encoded, ctx.settings.server.static_prefix))


def api_description(prefix: str = "") -> dict[str, Any]:
    """Return the OpenAPI document of every endpoint. `prefix`: what all paths begin with, such as "/mlflow"."""
    return openapi_document(
        ROUTES.values(),
        title="Railtrack",
        version=version("railtrack"),
        description=(
            f"The REST API of MLflow {MLFLOW_VERSION} as Railtrack serves it. Integers may also be sent as strings. "
            "null is the same as an absent field. Unknown fields are ignored. "
            "The web interface uses the paths under /ajax-api."
        ),
        server=prefix or "/",
    )


@cache
def _encoded(prefix: str) -> bytes:
    return msgspec.json.encode(api_description(prefix))
