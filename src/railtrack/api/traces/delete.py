"""Deletion of traces by ids or by age, in chunks: each has its own transaction, so none locks many rows for long."""

import msgspec

from railtrack.api.traces.schemas import check_trace_ids
from railtrack.auth import TRACES_DELETE
from railtrack.context import Context
from railtrack.db import Db
from railtrack.errors import invalid
from railtrack.mlflow.ids import experiment_number, experiment_numbers
from railtrack.wire.request import Int32, Int64, Request, RequiredStr
from railtrack.wire.routing import endpoint

CHUNK_TRACES = 100
"""Traces of one transaction. One may have thousands of spans, which are deleted with it."""


class DeleteTraces(Request):
    experiment_id: RequiredStr
    max_timestamp_millis: Int64 | None = None
    max_traces: Int32 | None = None
    request_ids: list[str] = []


class DeleteTracesResponse(msgspec.Struct):
    traces_deleted: int


@endpoint("POST", "traces/delete-traces", access=TRACES_DELETE)
@endpoint("POST", "traces/delete-traces", access=TRACES_DELETE, api="3.0")
async def delete_traces(ctx: Context, req: DeleteTraces) -> DeleteTracesResponse:
    """Delete traces of an experiment with their spans and assessments: some by id, or the oldest.

    A request that is broken off has deleted some of them; the client may repeat it.
    """
    _check(req)
    experiment_numbers([req.experiment_id])
    number = experiment_number(req.experiment_id)
    await ctx.audit(ctx.db, "experiment", req.experiment_id, "traces")
    if req.max_timestamp_millis is not None:
        return DeleteTracesResponse(await delete_older(ctx.db, number, req.max_timestamp_millis, req.max_traces))
    trace_ids = check_trace_ids(req.request_ids)
    deleted = 0
    for start in range(0, len(trace_ids), CHUNK_TRACES):
        deleted += await _delete(ctx.db, number, trace_ids[start : start + CHUNK_TRACES])
    return DeleteTracesResponse(deleted)


def _check(req: DeleteTraces) -> None:
    by_time = req.max_timestamp_millis is not None
    if not by_time and not req.request_ids:
        raise invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.")
    if by_time and req.request_ids:
        raise invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified.")
    if req.request_ids and req.max_traces is not None:
        raise invalid("`max_traces` can't be specified if `trace_ids` is specified.")
    if req.max_traces is not None and req.max_traces <= 0:
        raise invalid(f"`max_traces` must be a positive integer, received {req.max_traces}.")


async def delete_older(db: Db, experiment_id: int, max_timestamp_ms: int, max_traces: int | None) -> int:
    """Delete traces that began at this time or earlier, the oldest first. Return their number."""
    deleted = 0
    while max_traces is None or deleted < max_traces:
        limit = CHUNK_TRACES if max_traces is None else min(CHUNK_TRACES, max_traces - deleted)
        rows = await db.fetch(
            """
            SELECT request_id FROM trace_info WHERE experiment_id = $1 AND timestamp_ms <= $2
            ORDER BY timestamp_ms, request_id LIMIT $3
            """,
            experiment_id,
            max_timestamp_ms,
            limit,
        )
        if not rows:
            break
        deleted += await _delete(db, experiment_id, [trace_id for [trace_id] in rows])
    return deleted


async def _delete(db: Db, experiment_id: int, trace_ids: list[str]) -> int:
    """Delete traces of the experiment. Spans, tags, metadata and assessments go with them, by foreign keys."""
    async with db.write() as tx:
        # Locked in one order: two deletions of the same traces wait for each other instead of a deadlock.
        rows = await tx.fetch(
            """
            SELECT request_id FROM trace_info WHERE request_id = ANY($1) AND experiment_id = $2
            ORDER BY request_id FOR UPDATE
            """,
            trace_ids,
            experiment_id,
        )
        found = [trace_id for [trace_id] in rows]
        if found:
            await tx.execute("DELETE FROM trace_info WHERE request_id = ANY($1)", found)
            await tx.execute("DELETE FROM review_queue_items WHERE item_type = 'trace' AND item_id = ANY($1)", found)
            await tx.execute(
                "DELETE FROM entity_associations WHERE source_type = 'trace' AND source_id = ANY($1)", found
            )
    return len(found)
