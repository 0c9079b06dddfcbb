"""A run's life: create, get, update, delete, restore, and taking a tag off. What is logged to it is in log.py."""

import time
from typing import ClassVar
from uuid import uuid4

import msgspec

from railtrack.api.ids import experiment_number
from railtrack.api.names import KEY_LIMIT, TAG_VALUE_LIMIT, check_run_name
from railtrack.api.runs.rows import INFO_COLUMNS, check_active, load_info, load_runs, no_such_run
from railtrack.api.runs.shapes import Run, RunData, RunInfo, RunInputs, RunStatus, RunTag
from railtrack.api.runs.write import RUN_NAME
from railtrack.api.word_names import word_name
from railtrack.auth import RUN_CREATE, RUN_EDIT, RUN_READ
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import invalid, not_found
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint

USER_LIMIT = 256
TAGS_LIMIT = 1000
"""Tags of one creation; clients send a dozen."""


class CreateRun(Request):
    experiment_id: RequiredStr
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 = 0
    tags: list[RunTag] = []


class CreateRunResponse(msgspec.Struct):
    run: Run


@endpoint("POST", "runs/create", access=RUN_CREATE)
async def create_run(ctx: Context, req: CreateRun) -> Reply:
    """A new run of an active experiment, RUNNING. Without a name it gets one; its tag `mlflow.runName` is the same."""
    number = experiment_number(req.experiment_id)
    tags = _tags(req)
    run_id = uuid4().hex
    async with ctx.db.write() as tx:
        location = await _active_experiment(tx, number, req.experiment_id)
        row = await tx.fetchrow(
            f"""
            INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
                source_version, lifecycle_stage, artifact_uri, experiment_id)
            VALUES ($1, $2, 'UNKNOWN', '', '', $3, 'RUNNING', $4, '', 'active', $5, $6)
            RETURNING {INFO_COLUMNS}
            """,  # noqa: S608 (the columns are text of ours)
            run_id,
            tags[RUN_NAME],
            req.user_id,
            req.start_time,
            _artifact_uri(location, run_id),
            number,
        )
        assert row is not None
        await tx.execute_rows(
            "INSERT INTO tags (run_uuid, key, value) SELECT run_uuid, key, value FROM {rows}",
            {"run_uuid": "text", "key": "text", "value": "text"},
            [(run_id, key, value) for key, value in tags.items()],
        )
    data = RunData(tags=[RunTag(key, value) for key, value in tags.items()])
    return CreateRunResponse(Run(RunInfo(*row), data, RunInputs()))


def _tags(req: CreateRun) -> dict[str, str]:
    """The tags of the new run, its name among them. Unlike set-tag, a creation takes keys of any characters."""
    if len(req.tags) > TAGS_LIMIT:
        raise invalid(f"A run can be created with at most {TAGS_LIMIT} tags. Got {len(req.tags)}.")
    if len(req.user_id) > USER_LIMIT:
        raise invalid(f"'user_id' exceeds the maximum length of {USER_LIMIT} characters")
    tags: dict[str, str] = {}
    for tag in req.tags:
        if len(tag.key) > KEY_LIMIT:
            raise invalid(f"'key' exceeds the maximum length of {KEY_LIMIT} characters")
        if tag.key in tags:
            raise invalid(f"Duplicate tag key '{tag.key}': a run has one value for each tag.")
        tags[tag.key] = tag.value[:TAG_VALUE_LIMIT]
    tagged = tags.get(RUN_NAME, "")
    if req.run_name and tagged and req.run_name != tagged:
        raise invalid(
            f"Both 'run_name' argument and '{RUN_NAME}' tag are specified, but with different values "
            f"(run_name='{req.run_name}', {RUN_NAME}='{tagged}')."
        )
    tags[RUN_NAME] = req.run_name or tagged or word_name()
    check_run_name(tags[RUN_NAME])
    return tags


async def _active_experiment(tx: Tx, number: int, experiment_id: str) -> str:
    """The artifact location of an experiment that takes new runs."""
    row = await tx.fetchrow(
        "SELECT artifact_location, lifecycle_stage FROM experiments WHERE experiment_id = $1", number
    )
    if row is None:
        raise not_found(f"No Experiment with id={experiment_id} exists")
    location, stage = row
    if stage != "active":
        raise invalid(f"The experiment {number} must be in the 'active' state. Current state is {stage}.")
    return location or ""


def _artifact_uri(location: str, run_id: str) -> str:
    """Below the experiment's location, whose query (`s3://bucket/path?region=x`) stays at the end."""
    path, mark, query = location.partition("?")
    return f"{path.rstrip('/')}/{run_id}/artifacts{mark}{query}"


class GetRun(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr


class GetRunResponse(msgspec.Struct):
    run: Run


@endpoint("GET", "runs/get", access=RUN_READ)
async def get_run(ctx: Context, req: GetRun) -> Reply:
    """A run with its params, tags, latest metrics, inputs and outputs; deleted ones too."""
    [run] = await load_runs(ctx.db, [await load_info(ctx.db, req.run_id)])
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
async def update_run(ctx: Context, req: UpdateRun) -> Reply:
    """Change a run's status, end time or name; what is not given stays."""
    check_run_name(req.run_name)
    async with ctx.db.write() as tx:
        row = await tx.fetchrow(
            f"""
            UPDATE runs SET
                status = COALESCE(CAST($2 AS TEXT), status),
                end_time = COALESCE(CAST($3 AS BIGINT), end_time),
                name = COALESCE(CAST($4 AS TEXT), name)
            WHERE run_uuid = $1 AND lifecycle_stage = 'active'
            RETURNING {INFO_COLUMNS}
            """,  # noqa: S608 (the columns are text of ours)
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


@endpoint("POST", "runs/delete", access=RUN_EDIT)
async def delete_run(ctx: Context, req: DeleteRun) -> Reply:
    """Mark a run deleted; nothing of it goes. Deleting it again is fine."""
    return await _set_stage(ctx, req.run_id, "deleted", int(time.time() * 1000))


class RestoreRun(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr


@endpoint("POST", "runs/restore", access=RUN_EDIT)
async def restore_run(ctx: Context, req: RestoreRun) -> Reply:
    """Make a deleted run active again."""
    return await _set_stage(ctx, req.run_id, "active", None)


async def _set_stage(ctx: Context, run_id: str, stage: str, deleted_time: int | None) -> Reply:
    async with ctx.db.write() as tx:
        changed = await tx.execute(
            "UPDATE runs SET lifecycle_stage = $2, deleted_time = CAST($3 AS BIGINT) WHERE run_uuid = $1",
            run_id,
            stage,
            deleted_time,
        )
    if not changed:
        raise no_such_run(run_id)
    return EMPTY


class DeleteTag(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    key: RequiredStr


@endpoint("POST", "runs/delete-tag", access=RUN_EDIT)
async def delete_tag(ctx: Context, req: DeleteTag) -> Reply:
    """Take a tag off an active run."""
    async with ctx.db.write() as tx:
        check_active(await load_info(tx, req.run_id))
        if not await tx.execute("DELETE FROM tags WHERE run_uuid = $1 AND key = $2", req.run_id, req.key):
            raise not_found(f"No tag with name: {req.key} in run with id {req.run_id}")
    return EMPTY
