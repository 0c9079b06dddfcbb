"""What this server supports: server-info for clients and the UI, and MLflow's /version."""

import msgspec

from railtrack import MLFLOW_VERSION
from railtrack.auth import PUBLIC, SIGNED_IN
from railtrack.context import Context
from railtrack.wire.request import HttpRequest, Request
from railtrack.wire.response import BytesResponse, Response
from railtrack.wire.routing import endpoint


class Features(msgspec.Struct):
    gateway: bool = False
    scheduled_issue_detection: bool = False


class ServerInfo(msgspec.Struct):
    """Feature flags. The UI hides the pages, and clients avoid the transfers, whose flag is false."""

    store_type: str = "SqlStore"
    workspaces_enabled: bool = False
    trace_archival_enabled: bool = False
    multipart_uploads_enabled: bool = False
    multipart_downloads_enabled: bool = False
    artifact_serving_enabled: bool = True
    skill_content_max_size: int = 25 * 1024 * 1024
    skill_content_max_files: int = 10_000
    presigned_upload_run_id_supported: bool = False
    presigned_upload_model_id_supported: bool = False
    model_artifact_presigned_downloads_supported: bool = False
    features_enabled: Features = msgspec.field(default_factory=Features)
    tracking_auth: str = ""
    artifacts_presigned_only: bool = False


@endpoint("GET", "server-info", access=PUBLIC, api="3.0")
async def server_info(ctx: Context, http: HttpRequest) -> ServerInfo:
    """Return the feature flags. Direct transfers are on only if a probe has succeeded: clients have no fallback."""
    proxied = ctx.settings.artifacts.is_served and await ctx.artifacts.direct_destination() is not None
    direct = await ctx.artifacts.direct_root() is not None and not ctx.settings.s3.upload_headers
    artifacts = ctx.settings.artifacts
    return ServerInfo(
        artifact_serving_enabled=artifacts.is_served,
        model_artifact_presigned_downloads_supported=direct or proxied,
        tracking_auth=ctx.settings.auth.tracking_auth,
        artifacts_presigned_only=artifacts.is_presigned_only,
        multipart_uploads_enabled=proxied,
        multipart_downloads_enabled=proxied,
        presigned_upload_run_id_supported=direct,
        presigned_upload_model_id_supported=direct,
    )


@endpoint("GET", "/version", access=PUBLIC)
async def version(ctx: Context, http: HttpRequest) -> Response:
    """Return the version of MLflow whose API this server implements, as text."""
    return BytesResponse(MLFLOW_VERSION.encode(), "text/html; charset=utf-8")


class ListWorkspaces(Request):
    pass


class Workspaces(msgspec.Struct):
    workspaces: list[dict[str, str]] = msgspec.field(default_factory=list)


@endpoint("GET", "workspaces", access=SIGNED_IN, api="3.0")
async def list_workspaces(ctx: Context, req: ListWorkspaces) -> Workspaces:
    """Return no workspaces: this version does not serve them. The UI's dialogs for users and roles request the list."""
    return Workspaces()
