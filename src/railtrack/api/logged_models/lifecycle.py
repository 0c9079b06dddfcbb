"""A logged model's life: create, get, finalize, delete, its params and tags. Its metrics come with those of a run."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import uuid4

import msgspec

from railtrack.api.logged_models.queries import load_model, no_such_model
from railtrack.api.logged_models.schemas import (
    LoggedModel,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
    status_number,
)
from railtrack.auth import LOGGED_MODEL_CREATE, LOGGED_MODEL_EDIT, LOGGED_MODEL_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import invalid, not_found
from railtrack.mlflow.ids import experiment_number
from railtrack.mlflow.random_names import word_name
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint

NAME_LIMIT = 500
TYPE_LIMIT = 500
RUN_ID_LIMIT = 32
KEY_LIMIT = 255
VALUE_LIMIT = 100_000
PAIRS_LIMIT = 1000
"""Params, and tags, of one request; MLflow's clients send a hundred at a time."""

FORBIDDEN_IN_NAMES = ("/", ":", ".", "%", '"', "'")


class CreateLoggedModel(Request):
    experiment_id: RequiredStr
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[LoggedModelParam] = []
    tags: list[LoggedModelTag] = []


class LoggedModelResponse(msgspec.Struct):
    model: LoggedModel


@endpoint("POST", "logged-models", access=LOGGED_MODEL_CREATE)
async def create_logged_model(ctx: Context, req: CreateLoggedModel) -> Reply:
    """A new model of an active experiment, PENDING until it is finalized. Its name need not be its own alone.

    That the run exists is not checked, as MLflow doesn't either.
    """
    _check_name(req.name)
    number = experiment_number(req.experiment_id)
    _check_length("model_type", req.model_type, TYPE_LIMIT)
    _check_length("source_run_id", req.source_run_id, RUN_ID_LIMIT)
    params = _once_each(req.params, "params")
    tags = _once_each(req.tags, "tags")
    model_id = f"m-{uuid4().hex}"
    async with ctx.db.write() as tx:
        location = await _active_location(tx, number)
        await tx.execute(
            """
            INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id)
            VALUES ($1, $2, $3, $4, $5, $5, $6, 'active', $7, $8)
            """,
            model_id,
            number,
            req.name or word_name(),
            f"{location.rstrip('/')}/models/{model_id}/artifacts",
            now_ms(),
            status_number(LoggedModelStatus.LOGGED_MODEL_PENDING),
            req.model_type,
            req.source_run_id,
        )
        await _insert_params(tx, model_id, number, params)
        await _set_tags(tx, model_id, number, tags)
        return LoggedModelResponse(await load_model(tx, model_id))


def _check_name(name: str) -> None:
    if any(char in name for char in FORBIDDEN_IN_NAMES):
        raise invalid(
            f"Invalid model name ({name[:1000]!r}) provided. Model name must be a non-empty string and cannot contain "
            f"the following characters: {FORBIDDEN_IN_NAMES}"
        )
    _check_length("name", name, NAME_LIMIT)


def _check_length(field: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise invalid(f"'{field}' exceeds the maximum length of {limit} characters")


def _once_each(pairs: Sequence[LoggedModelParam | LoggedModelTag], field: str) -> dict[str, str]:
    """The pairs of a new model, whose keys must differ."""
    found = _checked(pairs, field)
    if len(found) < len(pairs):
        keys = [pair.key for pair in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise invalid(f"Duplicate key '{twice}' in '{field}': a model has one value for each.")
    return found


def _checked(pairs: Iterable[LoggedModelParam | LoggedModelTag], field: str) -> dict[str, str]:
    """The last value of each key. Lengths are those of the columns, and for values one that MLflow doesn't have."""
    found = {pair.key: pair.value for pair in pairs}
    if len(found) > PAIRS_LIMIT:
        raise invalid(f"A request can contain at most {PAIRS_LIMIT} {field} of a model. Got {len(found)}.")
    for key, value in found.items():
        _check_length(f"{field}.key", key, KEY_LIMIT)
        _check_length(f"{field}.value", value, VALUE_LIMIT)
    return found


async def _active_location(tx: Tx, number: int) -> str:
    """The artifact location of an experiment that takes new models."""
    row = await tx.fetch_row(
        "SELECT artifact_location, lifecycle_stage FROM experiments WHERE experiment_id = $1", number
    )
    if row is None:
        raise not_found(f"No Experiment with id={number} exists")
    location, stage = row
    if stage != "active":
        raise invalid(f"The experiment {number} must be in the 'active' state. Current state is {stage}.")
    return location or ""


class GetLoggedModel(Request):
    model_id: RequiredStr


@endpoint("GET", "logged-models/{model_id}", access=LOGGED_MODEL_READ)
async def get_logged_model(ctx: Context, req: GetLoggedModel) -> Reply:
    """A model with its params, tags and metrics. Deleted ones are not there."""
    async with ctx.db.read() as tx:
        return LoggedModelResponse(await load_model(tx, req.model_id))


class FinalizeLoggedModel(Request):
    model_id: RequiredStr
    status: LoggedModelStatus


@endpoint("PATCH", "logged-models/{model_id}", access=LOGGED_MODEL_EDIT)
async def finalize_logged_model(ctx: Context, req: FinalizeLoggedModel) -> Reply:
    """Say what became of a model: READY when its files are there. It may be said again, and of a deleted one."""
    async with ctx.db.write() as tx:
        changed = await tx.execute(
            "UPDATE logged_models SET status = $2, last_updated_timestamp_ms = $3 WHERE model_id = $1",
            req.model_id,
            status_number(req.status),
            now_ms(),
        )
        if not changed:
            raise no_such_model(req.model_id)
        return LoggedModelResponse(await load_model(tx, req.model_id, deleted=True))


class DeleteLoggedModel(Request):
    model_id: RequiredStr


@endpoint("DELETE", "logged-models/{model_id}", access=LOGGED_MODEL_EDIT)
async def delete_logged_model(ctx: Context, req: DeleteLoggedModel) -> Reply:
    """Mark a model deleted; nothing of it goes. Deleting it again is fine."""
    async with ctx.db.write() as tx:
        changed = await tx.execute(
            "UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = $2 WHERE model_id = $1",
            req.model_id,
            now_ms(),
        )
    if not changed:
        raise no_such_model(req.model_id)
    return EMPTY


class LogLoggedModelParams(Request):
    model_id: RequiredStr
    params: list[LoggedModelParam] = []


@endpoint("POST", "logged-models/{model_id}/params", access=LOGGED_MODEL_EDIT)
async def log_logged_model_params(ctx: Context, req: LogLoggedModelParams) -> Reply:
    """Params, written once: the same value again is fine, another is refused naming both; all of them or none."""
    params = _once_each(req.params, "params")
    async with ctx.db.write() as tx:
        number = await _experiment_of(tx, req.model_id)
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
        await _insert_params(tx, req.model_id, number, params)
    return EMPTY


async def _experiment_of(tx: Tx, model_id: str) -> int:
    """The number of the experiment of a model, which may be deleted."""
    number: int | None = await tx.fetch_value("SELECT experiment_id FROM logged_models WHERE model_id = $1", model_id)
    if number is None:
        raise no_such_model(model_id)
    return number


PAIR_COLUMNS = {"model_id": "text", "experiment_id": "integer", "key": "text", "value": "text"}


async def _insert_params(tx: Tx, model_id: str, number: int, params: Mapping[str, str]) -> None:
    await tx.execute_rows(
        """
        INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value)
        SELECT model_id, experiment_id, key, value FROM {rows}
        """,
        PAIR_COLUMNS,
        [(model_id, number, key, value) for key, value in sorted(params.items())],
    )


class SetLoggedModelTags(Request):
    model_id: RequiredStr
    tags: list[LoggedModelTag] = []


@endpoint("PATCH", "logged-models/{model_id}/tags", access=LOGGED_MODEL_EDIT)
async def set_logged_model_tags(ctx: Context, req: SetLoggedModelTags) -> Reply:
    """Set tags of a model, which may be deleted; this does not count as an update."""
    tags = _checked(req.tags, "tags")
    async with ctx.db.write() as tx:
        await _set_tags(tx, req.model_id, await _experiment_of(tx, req.model_id), tags)
    return EMPTY


async def _set_tags(tx: Tx, model_id: str, number: int, tags: Mapping[str, str]) -> None:
    await tx.execute_rows(
        """
        INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value)
        SELECT model_id, experiment_id, key, value FROM {rows} WHERE true
        ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value
        """,
        PAIR_COLUMNS,
        [(model_id, number, key, value) for key, value in sorted(tags.items())],
    )


class DeleteLoggedModelTag(Request):
    model_id: RequiredStr
    tag_key: RequiredStr


@endpoint("DELETE", "logged-models/{model_id}/tags/{tag_key...}", access=LOGGED_MODEL_EDIT)
async def delete_logged_model_tag(ctx: Context, req: DeleteLoggedModelTag) -> Reply:
    """Take a tag off a model. Keys with slashes are taken, too, which MLflow's server can't find."""
    async with ctx.db.write() as tx:
        await _experiment_of(tx, req.model_id)
        gone = await tx.execute(
            "DELETE FROM logged_model_tags WHERE model_id = $1 AND tag_key = $2", req.model_id, req.tag_key
        )
    if not gone:
        raise not_found(f"No tag with key '{req.tag_key[:250]}' found for model with ID '{req.model_id}'.")
    return EMPTY
