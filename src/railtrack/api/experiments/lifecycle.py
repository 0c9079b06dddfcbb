"""experiments/create, get, get-by-name, update, delete and restore. The rest is in search.py and tags.py."""

import logging
from collections.abc import Sequence

import msgspec

from railtrack.api.experiments.queries import load_experiment, lock_stage, no_such_experiment
from railtrack.api.experiments.schemas import Experiment, ExperimentTag, check_tag
from railtrack.auth import EXPERIMENT_CREATE, EXPERIMENT_DELETE, EXPERIMENT_EDIT, EXPERIMENT_READ, Policy
from railtrack.auth.roles import grant_creator
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Conflict, Db, Tx, UniqueViolation
from railtrack.db.retry import idempotent
from railtrack.errors import ApiError, exists, invalid, invalid_state, not_found
from railtrack.mlflow.artifact_location import absolute_location, validate_location
from railtrack.mlflow.ids import DEFAULT_WORKSPACE, experiment_number
from railtrack.mlflow.validation import check_length
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

NAME_LIMIT = 500
TAGS_LIMIT = 1000
ID_KEY = "(experiment_id)="
"""How PostgreSQL describes the primary key in a unique violation. SQLite assigns ids without a sequence."""
SKIPPED_IDS_LIMIT = 1_000_000
"""Ids that one attempt may skip, in about a second."""

log = logging.getLogger("railtrack")


class CreateExperiment(Request):
    name: RequiredStr
    artifact_location: str = ""
    tags: list[ExperimentTag] = []


class CreateExperimentResponse(msgspec.Struct):
    experiment_id: str


@endpoint("POST", "experiments/create", access=EXPERIMENT_CREATE)
async def create_experiment(ctx: Context, req: CreateExperiment) -> CreateExperimentResponse:
    """Create an experiment. Names are unique, also among deleted experiments."""
    location = validate_location(req.artifact_location) if req.artifact_location.strip() else ""
    _check_name(req.name)
    tags = _validated_tags(req.tags)
    now = now_ms()
    try:
        async with ctx.db.write() as tx:
            if location and ctx.policy is not None:
                await _check_location_is_free(tx, ctx, ctx.policy, location)
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
            await grant_creator(tx, ctx.identity, "experiment", str(number))
            # Another experiment can have this id: a crash may set the sequence back.
            tx.set_commit_check(
                "SELECT 1 FROM experiments WHERE experiment_id = $1 AND name = $2 AND creation_time = $3",
                number,
                req.name,
                now,
            )
    except UniqueViolation as error:
        if ID_KEY in error.key:
            await _advance_sequence(ctx.db)
            raise Conflict("the next experiment id was taken") from error
        raise _name_taken(error, req.name) from error
    return CreateExperimentResponse(str(number))


async def _advance_sequence(db: Db) -> None:
    """Advance the sequence of experiment ids to the highest id.

    A dump that was restored without its sequence, or rows that were copied with their ids, leave it behind. PostgreSQL
    would fail once for each id in between. setval() needs a privilege that INSERT does not; nextval() never goes back.
    """
    skipped = await db.fetch_value(
        """
        WITH ids AS MATERIALIZED (
            SELECT sequence, (SELECT MAX(experiment_id) FROM experiments) - nextval(sequence) AS missing
            FROM (SELECT CAST(pg_get_serial_sequence('experiments', 'experiment_id') AS regclass)) AS s(sequence)
        )
        SELECT COUNT(nextval(sequence)) FROM ids CROSS JOIN generate_series(1, LEAST(missing, $1))
        """,
        SKIPPED_IDS_LIMIT,
    )
    log.warning(
        "The sequence of experiments.experiment_id was behind the ids in the table, as after a restored dump: "
        "skipped %d ids.",
        skipped,
    )


async def _check_location_is_free(tx: Tx, ctx: Context, policy: Policy, location: str) -> None:
    """Raise PERMISSION_DENIED for a location where the artifacts of several experiments would mix."""
    try:
        served = ctx.artifacts.locate(location)
    except ApiError:
        return  # clients reach it with credentials of their own, or not at all
    await policy.check_new_location(tx, ctx, served)


def _check_name(name: str) -> None:
    if not name.strip():
        raise invalid(f"Invalid experiment name: '{name[:NAME_LIMIT]}'")
    check_length("name", name, NAME_LIMIT)


def _validated_tags(tags: Sequence[ExperimentTag]) -> dict[str, str]:
    if len(tags) > TAGS_LIMIT:
        raise invalid(f"An experiment can be created with at most {TAGS_LIMIT} tags. Got {len(tags)}.")
    validated: dict[str, str] = {}
    for tag in tags:
        check_tag(tag.key, tag.value)
        if tag.key in validated:
            raise invalid(f"Duplicate tag key '{tag.key}': an experiment has one value for each tag.")
        validated[tag.key] = tag.value
    return validated


def _name_taken(error: UniqueViolation, name: str) -> Exception:
    """Return the 400 for a violation of the constraint on workspace and name; any other one is a bug."""
    return exists(f"Experiment(name={name}) already exists.") if "name" in error.constraint else error


class GetExperiment(Request):
    experiment_id: RequiredStr


class GetExperimentResponse(msgspec.Struct):
    experiment: Experiment


@endpoint("GET", "experiments/get", access=EXPERIMENT_READ)
async def get_experiment(ctx: Context, req: GetExperiment) -> GetExperimentResponse:
    """Return an experiment with its tags, even if it is deleted."""
    return GetExperimentResponse(await load_experiment(ctx.db, experiment_number(req.experiment_id)))


class GetExperimentByName(Request):
    experiment_name: RequiredStr


@endpoint("GET", "experiments/get-by-name", access=EXPERIMENT_READ)
async def get_experiment_by_name(ctx: Context, req: GetExperimentByName) -> GetExperimentResponse:
    """Return an experiment by its name, which is case-sensitive."""
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
@idempotent
async def update_experiment(ctx: Context, req: UpdateExperiment) -> EmptyResponse:
    """Rename an active experiment."""
    _check_name(req.new_name)
    number = experiment_number(req.experiment_id)
    try:
        async with ctx.db.write() as tx:
            if await lock_stage(tx, number) != "active":
                raise invalid_state("Cannot rename a non-active experiment.")
            await tx.execute(
                "UPDATE experiments SET name = $2, last_update_time = $3 WHERE experiment_id = $1",
                number,
                req.new_name,
                now_ms(),
            )
            await ctx.audit(tx, "experiment", str(number), f"name: {req.new_name}")
    except UniqueViolation as error:
        raise _name_taken(error, req.new_name) from error
    return EMPTY_RESPONSE


class DeleteExperiment(Request):
    experiment_id: RequiredStr


@endpoint("POST", "experiments/delete", access=EXPERIMENT_DELETE)
async def delete_experiment(ctx: Context, req: DeleteExperiment) -> EmptyResponse:
    """Mark an experiment and all its runs as deleted; nothing of them is removed."""
    return await _set_stage(ctx, req.experiment_id, "active", "deleted")


class RestoreExperiment(Request):
    experiment_id: RequiredStr


@endpoint("POST", "experiments/restore", access=EXPERIMENT_DELETE)
async def restore_experiment(ctx: Context, req: RestoreExperiment) -> EmptyResponse:
    """Make a deleted experiment and all its runs active again, including runs that were deleted before it."""
    return await _set_stage(ctx, req.experiment_id, "deleted", "active")


async def _set_stage(ctx: Context, experiment_id: str, old: str, new: str) -> EmptyResponse:
    """Change the stage of an experiment and its runs. As in MLflow, one in another stage than `old` does not exist."""
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
            raise no_such_experiment(number)
        await tx.execute(
            "UPDATE runs SET lifecycle_stage = $2, deleted_time = CAST($3 AS BIGINT) WHERE experiment_id = $1",
            number,
            new,
            now if new == "deleted" else None,
        )
        await ctx.audit(tx, "experiment", str(number))
        tx.set_commit_check("SELECT 1 FROM experiments WHERE experiment_id = $1 AND lifecycle_stage = $2", number, new)
    return EMPTY_RESPONSE
