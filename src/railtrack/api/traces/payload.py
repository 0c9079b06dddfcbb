"""get-trace-artifact: the spans of a trace, or a file attached to one of them, for the web interface."""

from collections.abc import AsyncGenerator
from uuid import UUID

from railtrack.api.artifacts.queries import download
from railtrack.api.traces.queries import content_groups, has_stored_spans, load_info, load_records
from railtrack.artifacts.paths import file_key
from railtrack.auth import TRACE_READ
from railtrack.context import Context
from railtrack.errors import ApiError, bad_request, invalid, not_found
from railtrack.tracing.attribute_keys import ARTIFACT_LOCATION_TAG
from railtrack.wire.list_response import buffered_or_streamed
from railtrack.wire.request import Request
from railtrack.wire.response import BytesResponse, FileResponse, Header, Response, StreamResponse
from railtrack.wire.routing import endpoint

FILE_NAME = "traces.json"
HEADERS: tuple[Header, ...] = (
    (b"content-disposition", f"attachment; filename={FILE_NAME}".encode()),
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
)


class GetTraceArtifact(Request):
    request_id: str = ""
    path: str = ""

    @property
    def trace_id(self) -> str:
        """Return the id by its current name."""
        return self.request_id


@endpoint("GET", "get-trace-artifact", access=TRACE_READ, ajax_only=True)
@endpoint("GET", "get-trace-artifact", access=TRACE_READ, api="3.0", ajax_only=True)
async def get_trace_artifact(ctx: Context, req: GetTraceArtifact) -> FileResponse:
    """Return the spans of a trace as a JSON file, or an attachment, whose id is `path`."""
    if not req.request_id:
        raise bad_request('Request must include the "request_id" query parameter.')
    path = f"attachments/{_attachment_id(req.path)}" if req.path else FILE_NAME
    if not req.path and not await load_records(ctx.db, [req.request_id]):
        raise not_found(f"Trace with ID {req.request_id[:250]} is not found.")
    info = await load_info(ctx.db, req.request_id)
    if not req.path and has_stored_spans(info):
        return await _spans_file(ctx, req.request_id)
    location = info.tags.get(ARTIFACT_LOCATION_TAG)
    if not location:
        raise not_found(f"Trace data not found for path={path}")
    try:
        return await download(ctx.http, ctx.artifacts.locate(location, path))
    except ApiError as error:
        if error.code == "RESOURCE_DOES_NOT_EXIST" and not req.path:
            raise not_found(f"Trace data not found for path={path}") from None
        raise


def _attachment_id(path: str) -> str:
    """Return the path. Raise unless it is the id of an attachment."""
    file_key(path)
    try:
        UUID(path)
    except ValueError:
        raise invalid(f"Invalid attachment path: '{path[:250]}'. Attachment path must be a valid UUID.") from None
    return path


async def _spans_file(ctx: Context, trace_id: str) -> Response:
    response = await buffered_or_streamed(ctx.http, _pieces(ctx, trace_id))
    if isinstance(response, BytesResponse):
        return BytesResponse(response.body, "text/plain", headers=HEADERS)
    assert isinstance(response, StreamResponse)
    return StreamResponse(response.chunks, "text/plain", headers=HEADERS)


async def _pieces(ctx: Context, trace_id: str) -> AsyncGenerator[bytes, None]:
    """Yield the stored texts as they are, as one JSON object."""
    before = b'{"spans":['
    async for contents in content_groups(ctx.db, ctx.http, trace_id):
        yield before + ",".join(contents).encode()
        before = b","
    yield before.replace(b",", b"") + b"]}"
