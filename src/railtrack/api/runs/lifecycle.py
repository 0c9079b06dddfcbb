"""runs/get, update, delete, restore and delete-tag. Creation is in create.py, set-tag in log.py."""

from typing import ClassVar

import msgspec

from railtrack.api.runs.queries import check_active, load_info, load_run, no_such_run, remove_models
from railtrack.api.runs.schemas import INFO_COLUMNS, RUN_NAME, Run, RunInfo, RunStatus
from railtrack.auth import RUN_DELETE, RUN_EDIT, RUN_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db.retry import idempotent
from railtrack.errors import not_found
from railtrack.mlflow.validation import check_run_name
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class GetRun(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr


class GetRunResponse(msgspec.Struct):
    run: Run


@endpoint("GET", "runs/get", access=RUN_READ)
async def get_run(ctx: Context, req: GetRun) -> GetRunResponse:
    """Return a run with its params, tags, latest metrics, inputs and outputs, even if it is deleted."""
    run = await load_run(ctx.db, req.run_id)
    if await ctx.is_denied("logged_model"):
        remove_models([run])
    return GetRunResponse(run)


class UpdateRun(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    end_time: Int64 | None = None
    status: RunStatus | None = None
    run_name: str = ""


class UpdateRunResponse(msgspec.Struct):
    run_info: RunInfo


@endpoint("POST", "runs/update", access=RUN_EDIT)
@idempotent
async def update_run(ctx: Context, req: UpdateRun) -> UpdateRunResponse:
    """Change a run's status, end time or name; fields that are absent stay as they are."""
    check_run_name(req.run_name)
    async with ctx.db.write() as tx:
        row = await tx.fetch_row(
            f"""
            UPDATE runs SET
                status = COALESCE(CAST($2 AS TEXT), status),
                end_time = COALESCE(CAST($3 AS BIGINT), end_time),
                name = COALESCE(CAST($4 AS TEXT), name)
            WHERE run_uuid = $1 AND lifecycle_stage = 'active'
            RETURNING {INFO_COLUMNS}
            """,  # noqa: S608 (our own text)
            req.run_id,
            req.status.value if req.status else None,
            req.end_time,
            req.run_name or None,
        )
        if row is None:
            check_active(await load_info(tx, req.run_id))
        if req.run_name:
            await tx.execute(
                """
                INSERT INTO tags (key, value, run_uuid) VALUES ($1, $2, $3)
                ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
                """,
                RUN_NAME,
                req.run_name,
                req.run_id,
            )
    assert row is not None
    return UpdateRunResponse(RunInfo(*row))


class DeleteRun(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr


@endpoint("POST", "runs/delete", access=RUN_DELETE)
async def delete_run(ctx: Context, req: DeleteRun) -> EmptyResponse:
    """Mark a run as deleted; nothing of it is removed. Deleting it again is allowed."""
    return await _set_stage(ctx, req.run_id, "deleted", now_ms())


class RestoreRun(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr


@endpoint("POST", "runs/restore", access=RUN_DELETE)
async def restore_run(ctx: Context, req: RestoreRun) -> EmptyResponse:
    """Make a deleted run active again."""
    return await _set_stage(ctx, req.run_id, "active", None)


@idempotent
async def _set_stage(ctx: Context, run_id: str, stage: str, deleted_time: int | None) -> EmptyResponse:
    async with ctx.db.write() as tx:
        changed = await tx.execute(
            "UPDATE runs SET lifecycle_stage = $2, deleted_time = CAST($3 AS BIGINT) WHERE run_uuid = $1",
            run_id,
            stage,
            deleted_time,
        )
        if not changed:
            raise no_such_run(run_id)
        await ctx.audit(tx, "run", run_id)
    return EMPTY_RESPONSE


class DeleteTag(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    key: RequiredStr


@endpoint("POST", "runs/delete-tag", access=RUN_EDIT)
async def delete_tag(ctx: Context, req: DeleteTag) -> EmptyResponse:
    """Remove a tag from an active run."""
    async with ctx.db.write() as tx:
        check_active(await load_info(tx, req.run_id))
        if not await tx.execute("DELETE FROM tags WHERE run_uuid = $1 AND key = $2", req.run_id, req.key):
            raise not_found(f"No tag with name: {req.key} in run with id {req.run_id}")
        tx.set_commit_check(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM tags WHERE run_uuid = $1 AND key = $2)", req.run_id, req.key
        )
    return EMPTY_RESPONSE
