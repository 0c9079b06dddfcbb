"""Tags of traces: set and delete one. The paths of both versions of the API do the same."""

from typing import ClassVar

from railtrack.api.traces.schemas import no_such_trace
from railtrack.auth import TRACE_EDIT
from railtrack.context import Context
from railtrack.db.retry import idempotent
from railtrack.errors import invalid, not_found
from railtrack.mlflow.validation import check_tag_key
from railtrack.tracing.attribute_keys import ARCHIVAL_FAILURE_TAG, NAME_TAG, SYSTEM_TAGS
from railtrack.tracing.values import TAG_VALUE_LIMIT, check_trace_name, storable
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class SetTraceTag(Request):
    ALIASES: ClassVar = {"request_id": "trace_id"}

    trace_id: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("PATCH", "traces/{trace_id}/tags", access=TRACE_EDIT)
@endpoint("PATCH", "traces/{trace_id}/tags", access=TRACE_EDIT, api="3.0")
@idempotent
async def set_trace_tag(ctx: Context, req: SetTraceTag) -> EmptyResponse:
    """Set a tag of a trace; `mlflow.traceName` renames it. Longer values than 8,000 characters are cut off."""
    _check_mutable(req.key, "set")
    check_tag_key(req.key, "key")
    value = storable(req.value)[:TAG_VALUE_LIMIT]
    if req.key == NAME_TAG:
        check_trace_name(value)
    async with ctx.db.write() as tx:
        if req.key == NAME_TAG:
            found = await tx.execute("UPDATE trace_info SET trace_name = $2 WHERE request_id = $1", req.trace_id, value)
        else:
            found = await tx.execute(
                """
                INSERT INTO trace_tags (request_id, key, value)
                SELECT request_id, $2, $3 FROM trace_info WHERE request_id = $1
                ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value
                """,
                req.trace_id,
                req.key,
                value,
            )
        if not found:
            raise no_such_trace(req.trace_id)
    return EMPTY_RESPONSE


class DeleteTraceTag(Request):
    ALIASES: ClassVar = {"request_id": "trace_id"}

    trace_id: RequiredStr
    key: RequiredStr


@endpoint("DELETE", "traces/{trace_id}/tags", access=TRACE_EDIT)
@endpoint("DELETE", "traces/{trace_id}/tags", access=TRACE_EDIT, api="3.0")
async def delete_trace_tag(ctx: Context, req: DeleteTraceTag) -> EmptyResponse:
    """Delete a tag of a trace."""
    _check_mutable(req.key, "deleted")
    async with ctx.db.write() as tx:
        if req.key == NAME_TAG:
            deleted = await tx.execute(
                "UPDATE trace_info SET trace_name = NULL WHERE request_id = $1 AND trace_name IS NOT NULL", req.trace_id
            )
            tx.set_commit_check("SELECT 1 FROM trace_info WHERE request_id = $1 AND trace_name IS NULL", req.trace_id)
        else:
            deleted = await tx.execute(
                "DELETE FROM trace_tags WHERE request_id = $1 AND key = $2", req.trace_id, req.key
            )
            tx.set_commit_check(
                "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM trace_tags WHERE request_id = $1 AND key = $2)",
                req.trace_id,
                req.key,
            )
    if not deleted:
        raise not_found(f"No trace tag with key '{req.key[:250]}' for trace with ID '{req.trace_id[:250]}'")
    return EMPTY_RESPONSE


def _check_mutable(key: str, operation: str) -> None:
    """Raise for a tag that only the server sets. That of a failed archival may be deleted, to try again."""
    if key in SYSTEM_TAGS and not (operation == "deleted" and key == ARCHIVAL_FAILURE_TAG):
        raise invalid(f"Tag '{key}' is immutable and cannot be {operation} on a trace.")
