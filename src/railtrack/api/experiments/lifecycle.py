"""Experiments: create, get, update, delete, restore, and their tags. The search is in search.py."""

from collections.abc import Sequence

import msgspec

from railtrack.api.experiments.queries import (
    Experiment,
    ExperimentTag,
    load_experiment,
    no_such_experiment,
)
from railtrack.auth import EXPERIMENT_CREATE, EXPERIMENT_EDIT, EXPERIMENT_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx, UniqueViolation
from railtrack.errors import exists, invalid, invalid_state, not_found
from railtrack.mlflow.artifact_location import absolute_location, checked_location
from railtrack.mlflow.ids import DEFAULT_WORKSPACE, experiment_number
from railtrack.mlflow.validation import check_tag_key
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

NAME_LIMIT = 500
TAG_VALUE_LIMIT = 20_000
TAGS_LIMIT = 1000


class CreateExperiment(Request):
    name: RequiredStr
    artifact_location: str = ""
    tags: list[ExperimentTag] = []


class CreateExperimentResponse(msgspec.Struct):
    experiment_id: str


@endpoint("POST", "experiments/create", access=EXPERIMENT_CREATE)
async def create_experiment(ctx: Context, req: CreateExperiment) -> CreateExperimentResponse:
    """A new experiment. Deleted ones keep their names taken."""
    location = checked_location(req.artifact_location) if req.artifact_location.strip() else ""
    _check_name(req.name)
    tags = _checked_tags(req.tags)
    now = now_ms()
    try:
        async with ctx.db.write() as tx:
            number = await tx.fetch_value(
                """
                INSERT INTO experiments
                    (name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace)
                VALUES ($1, $2, 'active', $3, $3, $4) RETURNING experiment_id
                """,
                req.name,
                location,
                now,
                DEFAULT_WORKSPACE,
            )
            if not location:
                await tx.execute(
                    "UPDATE experiments SET artifact_location = $2 WHERE experiment_id = $1",
                    number,
                    absolute_location(ctx.settings.artifacts.experiment_location(number)),
                )
            await tx.execute_rows(
                "INSERT INTO experiment_tags (experiment_id, key, value) SELECT experiment_id, key, value FROM {rows}",
                {"experiment_id": "integer", "key": "text", "value": "text"},
                [(number, key, value) for key, value in tags.items()],
            )
    except UniqueViolation as error:
        raise _name_taken(error, req.name) from error
    return CreateExperimentResponse(str(number))


def _check_name(name: str) -> None:
    if len(name) > NAME_LIMIT:
        raise invalid(f"'name' exceeds the maximum length of {NAME_LIMIT} characters")


def _checked_tags(tags: Sequence[ExperimentTag]) -> dict[str, str]:
    if len(tags) > TAGS_LIMIT:
        raise invalid(f"An experiment can be created with at most {TAGS_LIMIT} tags. Got {len(tags)}.")
    checked: dict[str, str] = {}
    for tag in tags:
        _check_tag(tag.key, tag.value)
        if tag.key in checked:
            raise invalid(f"Duplicate tag key '{tag.key}': an experiment has one value for each tag.")
        checked[tag.key] = tag.value
    return checked


def _check_tag(key: str, value: str) -> None:
    check_tag_key(key, "key")
    if len(value) > TAG_VALUE_LIMIT:
        raise invalid(f"'value' exceeds the maximum length of {TAG_VALUE_LIMIT} characters")


def _name_taken(error: UniqueViolation, name: str) -> Exception:
    """The constraint is over workspace and name; any other one is a fault of ours."""
    return exists(f"Experiment(name={name}) already exists.") if "name" in error.constraint else error


class GetExperiment(Request):
    experiment_id: RequiredStr


class GetExperimentResponse(msgspec.Struct):
    experiment: Experiment


@endpoint("GET", "experiments/get", access=EXPERIMENT_READ)
async def get_experiment(ctx: Context, req: GetExperiment) -> GetExperimentResponse:
    """An experiment with its tags; deleted ones too."""
    return GetExperimentResponse(await load_experiment(ctx.db, experiment_number(req.experiment_id)))


class GetExperimentByName(Request):
    experiment_name: RequiredStr


@endpoint("GET", "experiments/get-by-name", access=EXPERIMENT_READ)
async def get_experiment_by_name(ctx: Context, req: GetExperimentByName) -> GetExperimentResponse:
    """The same by name, in which case counts."""
    number = await ctx.db.fetch_value(
        "SELECT experiment_id FROM experiments WHERE workspace = $1 AND name = $2",
        DEFAULT_WORKSPACE,
        req.experiment_name,
    )
    if number is None:
        raise not_found(f"Could not find experiment with name '{req.experiment_name}'")
    return GetExperimentResponse(await load_experiment(ctx.db, number))


class UpdateExperiment(Request):
    experiment_id: RequiredStr
    new_name: RequiredStr


@endpoint("POST", "experiments/update", access=EXPERIMENT_EDIT)
async def update_experiment(ctx: Context, req: UpdateExperiment) -> EmptyResponse:
    """Rename an active experiment."""
    _check_name(req.new_name)
    number = experiment_number(req.experiment_id)
    try:
        async with ctx.db.write() as tx:
            if await _stage(tx, number) != "active":
                raise invalid_state("Cannot rename a non-active experiment.")
            await tx.execute(
                "UPDATE experiments SET name = $2, last_update_time = $3 WHERE experiment_id = $1",
                number,
                req.new_name,
                now_ms(),
            )
    except UniqueViolation as error:
        raise _name_taken(error, req.new_name) from error
    return EMPTY_RESPONSE


async def _stage(tx: Tx, number: int) -> str:
    """The experiment's lifecycle stage, which stays as it is until the transaction ends."""
    stage: str | None = await tx.fetch_value(
        "SELECT lifecycle_stage FROM experiments WHERE experiment_id = $1 FOR NO KEY UPDATE", number
    )
    if stage is None:
        raise no_such_experiment(str(number))
    return stage


class DeleteExperiment(Request):
    experiment_id: RequiredStr


@endpoint("POST", "experiments/delete", access=EXPERIMENT_EDIT)
async def delete_experiment(ctx: Context, req: DeleteExperiment) -> EmptyResponse:
    """Mark an experiment and all its runs deleted; nothing of them goes."""
    return await _set_stage(ctx, req.experiment_id, "active", "deleted")


class RestoreExperiment(Request):
    experiment_id: RequiredStr


@endpoint("POST", "experiments/restore", access=EXPERIMENT_EDIT)
async def restore_experiment(ctx: Context, req: RestoreExperiment) -> EmptyResponse:
    """Make a deleted experiment active again, and with it all its runs: those too that were deleted before it."""
    return await _set_stage(ctx, req.experiment_id, "deleted", "active")


async def _set_stage(ctx: Context, experiment_id: str, old: str, new: str) -> EmptyResponse:
    """For MLflow an experiment that is not in the stage `old` does not exist here."""
    number = experiment_number(experiment_id)
    now = now_ms()
    async with ctx.db.write() as tx:
        changed = await tx.execute(
            """
            UPDATE experiments SET lifecycle_stage = $3, last_update_time = $4
            WHERE experiment_id = $1 AND lifecycle_stage = $2
            """,
            number,
            old,
            new,
            now,
        )
        if not changed:
            raise no_such_experiment(str(number))
        await tx.execute(
            "UPDATE runs SET lifecycle_stage = $2, deleted_time = CAST($3 AS BIGINT) WHERE experiment_id = $1",
            number,
            new,
            now if new == "deleted" else None,
        )
    return EMPTY_RESPONSE


class SetExperimentTag(Request):
    experiment_id: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "experiments/set-experiment-tag", access=EXPERIMENT_EDIT)
async def set_experiment_tag(ctx: Context, req: SetExperimentTag) -> EmptyResponse:
    """Set a tag of an active experiment; this does not count as an update."""
    _check_tag(req.key, req.value)
    number = experiment_number(req.experiment_id)
    async with ctx.db.write() as tx:
        await _check_active(tx, number)
        await tx.execute(
            """
            INSERT INTO experiment_tags (experiment_id, key, value) VALUES ($1, $2, $3)
            ON CONFLICT (key, experiment_id) DO UPDATE SET value = excluded.value
            """,
            number,
            req.key,
            req.value,
        )
    return EMPTY_RESPONSE


async def _check_active(tx: Tx, number: int) -> None:
    stage = await _stage(tx, number)
    if stage != "active":
        raise invalid(f"The experiment {number} must be in the 'active' state. Current state is {stage}.")


class DeleteExperimentTag(Request):
    experiment_id: RequiredStr
    key: RequiredStr


@endpoint("POST", "experiments/delete-experiment-tag", access=EXPERIMENT_EDIT)
async def delete_experiment_tag(ctx: Context, req: DeleteExperimentTag) -> EmptyResponse:
    """Take a tag off an active experiment."""
    number = experiment_number(req.experiment_id)
    async with ctx.db.write() as tx:
        await _check_active(tx, number)
        if not await tx.execute("DELETE FROM experiment_tags WHERE experiment_id = $1 AND key = $2", number, req.key):
            raise not_found(f"No tag with name: {req.key} in experiment with id {number}")
    return EMPTY_RESPONSE
