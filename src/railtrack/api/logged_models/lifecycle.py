"""Logged models: create, get, finalize, delete, and their params and tags. Runs log their metrics (runs/log.py)."""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from railtrack.api.logged_models.queries import load_model, model_response, no_such_model
from railtrack.api.logged_models.schemas import (
    LoggedModelParam,
    LoggedModelResponse,
    LoggedModelStatus,
    LoggedModelTag,
    status_number,
)
from railtrack.auth import LOGGED_MODEL_CREATE, LOGGED_MODEL_DELETE, LOGGED_MODEL_EDIT, LOGGED_MODEL_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.db.retry import idempotent
from railtrack.db.sql import bind
from railtrack.errors import invalid, not_found
from railtrack.mlflow.ids import experiment_number
from railtrack.mlflow.random_names import random_name
from railtrack.mlflow.validation import check_length, first_duplicate
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

NAME_LIMIT = 500
TYPE_LIMIT = 500
RUN_ID_LIMIT = 32
KEY_LIMIT = 255
VALUE_LIMIT = 100_000
PAIRS_LIMIT = 1000
"""Params, and tags, of one request. MLflow's clients send a hundred at a time."""

FORBIDDEN_CHARACTERS = ("/", ":", ".", "%", '"', "'")


class CreateLoggedModel(Request):
    experiment_id: RequiredStr
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[LoggedModelParam] = []
    tags: list[LoggedModelTag] = []


@endpoint("POST", "logged-models", access=LOGGED_MODEL_CREATE)
async def create_logged_model(ctx: Context, req: CreateLoggedModel) -> LoggedModelResponse:
    """Create a model in an active experiment, with status PENDING. Names need not be unique.

    As in MLflow, the source run need not exist.
    """
    _check_name(req.name)
    experiment_id = experiment_number(req.experiment_id)
    check_length("model_type", req.model_type, TYPE_LIMIT)
    check_length("source_run_id", req.source_run_id, RUN_ID_LIMIT)
    params = _unique_pairs(req.params, "params")
    tags = _unique_pairs(req.tags, "tags")
    model_id = f"m-{uuid4().hex}"
    async with ctx.db.write() as tx:
        location = await _experiment_location(tx, experiment_id)
        await tx.execute(
            *bind(
                """
                INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                    last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id)
                VALUES (:model_id, :experiment_id, :name, :location, :now, :now, :status, 'active', :model_type,
                    :source_run_id)
                """,
                model_id=model_id,
                experiment_id=experiment_id,
                name=req.name or random_name(),
                location=f"{location.rstrip('/')}/models/{model_id}/artifacts",
                now=now_ms(),
                status=status_number(LoggedModelStatus.LOGGED_MODEL_PENDING),
                model_type=req.model_type,
                source_run_id=req.source_run_id,
            )
        )
        await _insert_params(tx, model_id, experiment_id, params)
        await _set_tags(tx, model_id, experiment_id, tags)
        tx.set_commit_check("SELECT 1 FROM logged_models WHERE model_id = $1", model_id)
        loaded = await load_model(tx, model_id)
    return await model_response(ctx, loaded)


def _check_name(name: str) -> None:
    if any(char in name for char in FORBIDDEN_CHARACTERS):
        raise invalid(
            f"Invalid model name ({name[:1000]!r}) provided. Model name must be a non-empty string and cannot contain "
            f"the following characters: {FORBIDDEN_CHARACTERS}"
        )
    check_length("name", name, NAME_LIMIT)


def _unique_pairs(pairs: Sequence[LoggedModelParam | LoggedModelTag], field: str) -> dict[str, str]:
    """Return the validated pairs as a dictionary. Raise INVALID_PARAMETER_VALUE for a duplicate key."""
    values = _pairs(pairs, field)
    duplicate = first_duplicate(pair.key for pair in pairs)
    if duplicate is not None:
        raise invalid(f"Duplicate key '{duplicate}' in '{field}': a model has one value for each.")
    return values


def _pairs(pairs: Sequence[LoggedModelParam | LoggedModelTag], field: str) -> dict[str, str]:
    """Return the last value of each key, validated. MLflow has no limit for the length of values."""
    if len(pairs) > PAIRS_LIMIT:
        raise invalid(f"A request can contain at most {PAIRS_LIMIT} {field} of a model. Got {len(pairs)}.")
    values = {pair.key: pair.value for pair in pairs}
    for key, value in values.items():
        check_length(f"{field}.key", key, KEY_LIMIT)
        check_length(f"{field}.value", value, VALUE_LIMIT)
    return values


async def _experiment_location(tx: Tx, experiment_id: int) -> str:
    """Return the artifact location of an active experiment. Raise if it doesn't exist or is deleted."""
    row = await tx.fetch_row(
        "SELECT artifact_location, lifecycle_stage FROM experiments WHERE experiment_id = $1", experiment_id
    )
    if row is None:
        raise not_found(f"No Experiment with id={experiment_id} exists")
    location, stage = row
    if stage != "active":
        raise invalid(f"The experiment {experiment_id} must be in the 'active' state. Current state is {stage}.")
    return location or ""


class GetLoggedModel(Request):
    model_id: RequiredStr


@endpoint("GET", "logged-models/{model_id}", access=LOGGED_MODEL_READ)
async def get_logged_model(ctx: Context, req: GetLoggedModel) -> LoggedModelResponse:
    """Return a model with its params, tags and metrics; a deleted one doesn't exist."""
    async with ctx.db.read() as tx:
        loaded = await load_model(tx, req.model_id)
    return await model_response(ctx, loaded)


class FinalizeLoggedModel(Request):
    model_id: RequiredStr
    status: LoggedModelStatus


@endpoint("PATCH", "logged-models/{model_id}", access=LOGGED_MODEL_EDIT)
@idempotent
async def finalize_logged_model(ctx: Context, req: FinalizeLoggedModel) -> LoggedModelResponse:
    """Set a model's status, READY once its files are uploaded. This may be repeated, and works on a deleted model."""
    async with ctx.db.write() as tx:
        updated = await tx.execute(
            "UPDATE logged_models SET status = $2, last_updated_timestamp_ms = $3 WHERE model_id = $1",
            req.model_id,
            status_number(req.status),
            now_ms(),
        )
        if not updated:
            raise no_such_model(req.model_id)
        loaded = await load_model(tx, req.model_id, deleted=True)
    return await model_response(ctx, loaded)


class DeleteLoggedModel(Request):
    model_id: RequiredStr


@endpoint("DELETE", "logged-models/{model_id}", access=LOGGED_MODEL_DELETE)
@idempotent
async def delete_logged_model(ctx: Context, req: DeleteLoggedModel) -> EmptyResponse:
    """Mark a model as deleted. Its rows and files remain; deleting it again succeeds."""
    async with ctx.db.write() as tx:
        updated = await tx.execute(
            "UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = $2 WHERE model_id = $1",
            req.model_id,
            now_ms(),
        )
        if not updated:
            raise no_such_model(req.model_id)
        await ctx.audit(tx, "logged_model", req.model_id)
    return EMPTY_RESPONSE


class LogLoggedModelParams(Request):
    model_id: RequiredStr
    params: list[LoggedModelParam] = []


@endpoint("POST", "logged-models/{model_id}/params", access=LOGGED_MODEL_EDIT)
@idempotent
async def log_logged_model_params(ctx: Context, req: LogLoggedModelParams) -> EmptyResponse:
    """Log params, all or none. Repeating a stored value succeeds; another value for its key is rejected."""
    params = _unique_pairs(req.params, "params")
    async with ctx.db.write() as tx:
        experiment_id = await _experiment_of(tx, req.model_id)
        stored = await tx.fetch(
            "SELECT param_key, param_value FROM logged_model_params WHERE model_id = $1 AND param_key = ANY($2)",
            req.model_id,
            list(params),
        )
        for key, value in stored:
            if value != params.pop(key):
                raise invalid(
                    f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                    f"value='{value[:1000]}' for model ID='{req.model_id}'."
                )
        await _insert_params(tx, req.model_id, experiment_id, params)
    return EMPTY_RESPONSE


async def _experiment_of(tx: Tx, model_id: str) -> int:
    """Return the experiment of a model, deleted or not. Raise RESOURCE_DOES_NOT_EXIST if there is no such model."""
    experiment_id: int | None = await tx.fetch_value(
        "SELECT experiment_id FROM logged_models WHERE model_id = $1", model_id
    )
    if experiment_id is None:
        raise no_such_model(model_id)
    return experiment_id


PAIR_COLUMNS = {"model_id": "text", "experiment_id": "integer", "key": "text", "value": "text"}


async def _insert_params(tx: Tx, model_id: str, experiment_id: int, params: Mapping[str, str]) -> None:
    await tx.execute_rows(
        """
        INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value)
        SELECT model_id, experiment_id, key, value FROM {rows}
        """,
        PAIR_COLUMNS,
        [(model_id, experiment_id, key, value) for key, value in sorted(params.items())],
    )


class SetLoggedModelTags(Request):
    model_id: RequiredStr
    tags: list[LoggedModelTag] = []


@endpoint("PATCH", "logged-models/{model_id}/tags", access=LOGGED_MODEL_EDIT)
@idempotent
async def set_logged_model_tags(ctx: Context, req: SetLoggedModelTags) -> EmptyResponse:
    """Set tags of a model, deleted or not, without updating its `last_updated_timestamp_ms`."""
    tags = _pairs(req.tags, "tags")
    async with ctx.db.write() as tx:
        await _set_tags(tx, req.model_id, await _experiment_of(tx, req.model_id), tags)
    return EMPTY_RESPONSE


async def _set_tags(tx: Tx, model_id: str, experiment_id: int, tags: Mapping[str, str]) -> None:
    await tx.execute_rows(
        """
        INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value)
        SELECT model_id, experiment_id, key, value FROM {rows} WHERE true
        ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value
        """,
        PAIR_COLUMNS,
        [(model_id, experiment_id, key, value) for key, value in sorted(tags.items())],
    )


class DeleteLoggedModelTag(Request):
    model_id: RequiredStr
    tag_key: RequiredStr


@endpoint("DELETE", "logged-models/{model_id}/tags/{tag_key...}", access=LOGGED_MODEL_DELETE)
async def delete_logged_model_tag(ctx: Context, req: DeleteLoggedModelTag) -> EmptyResponse:
    """Delete a tag of a model. Unlike MLflow's server, this finds keys with slashes."""
    async with ctx.db.write() as tx:
        await _experiment_of(tx, req.model_id)
        deleted = await tx.execute(
            "DELETE FROM logged_model_tags WHERE model_id = $1 AND tag_key = $2", req.model_id, req.tag_key
        )
        tx.set_commit_check(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM logged_model_tags WHERE model_id = $1 AND tag_key = $2)",
            req.model_id,
            req.tag_key,
        )
    if not deleted:
        raise not_found(f"No tag with key '{req.tag_key[:250]}' found for model with ID '{req.model_id}'.")
    return EMPTY_RESPONSE
