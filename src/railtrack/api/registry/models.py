"""Registered models: create, get, rename, update, delete, and their tags. Aliases are in aliases.py."""

import msgspec

from railtrack.api.registry.queries import load_model, lock_model, no_such_model, without_denied_versions
from railtrack.api.registry.schemas import RegisteredModel, RegistryTag
from railtrack.auth import (
    REGISTERED_MODEL_CREATE,
    REGISTERED_MODEL_DELETE,
    REGISTERED_MODEL_EDIT,
    REGISTERED_MODEL_READ,
)
from railtrack.auth.roles import delete_grants, grant_creator, rename_grants
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx, UniqueViolation
from railtrack.db.retry import idempotent
from railtrack.errors import exists
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.mlflow.prompts import IS_PROMPT_TAG, is_prompt
from railtrack.mlflow.registry_validation import (
    MODEL_TAG_VALUE_LIMIT,
    check_description,
    check_model_name,
    check_new_model_name,
    check_tag,
    check_tags,
)
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class CreateRegisteredModel(Request):
    name: RequiredStr
    tags: list[RegistryTag] = []
    description: str = ""


class RegisteredModelResponse(msgspec.Struct):
    registered_model: RegisteredModel


@endpoint("POST", "registered-models/create", access=REGISTERED_MODEL_CREATE)
async def create_registered_model(ctx: Context, req: CreateRegisteredModel) -> RegisteredModelResponse:
    """Create a model without versions, or a prompt if its tags mark one. Models and prompts share their names."""
    check_new_model_name(req.name)
    tags = check_tags(((tag.key, tag.value) for tag in req.tags), MODEL_TAG_VALUE_LIMIT)
    check_description(req.description)
    now = now_ms()
    async with ctx.webhooks.registry_events() as events, ctx.db.write() as tx:
        await _check_name_is_free(tx, req.name, as_prompt=is_prompt(tags.get(IS_PROMPT_TAG)))
        await tx.execute(
            """
            INSERT INTO registered_models (name, creation_time, last_updated_time, description, workspace)
            VALUES ($1, $2, $2, $3, $4)
            """,
            req.name,
            now,
            req.description,
            DEFAULT_WORKSPACE,
        )
        tx.set_commit_check(
            "SELECT 1 FROM registered_models WHERE workspace = $1 AND name = $2 AND creation_time = $3",
            DEFAULT_WORKSPACE,
            req.name,
            now,
        )
        for key, value in sorted(tags.items()):
            await _set_tag(tx, req.name, key, value)
        resource_type = "prompt" if is_prompt(tags.get(IS_PROMPT_TAG)) else "registered_model"
        await grant_creator(tx, ctx.identity, resource_type, req.name)
        await events.model_created(tx, req.name, tags, req.description)
        return RegisteredModelResponse(await load_model(tx, req.name))


async def _check_name_is_free(tx: Tx, name: str, *, as_prompt: bool) -> None:
    existing = await tx.fetch_row(
        """
        SELECT (
            SELECT t.value FROM registered_model_tags t
            WHERE t.workspace = m.workspace AND t.name = m.name AND t.key = $3
        )
        FROM registered_models m WHERE m.workspace = $1 AND m.name = $2
        """,
        DEFAULT_WORKSPACE,
        name,
        IS_PROMPT_TAG,
    )
    if existing is None:
        return
    if as_prompt == is_prompt(existing[0]):
        raise exists(f"{'Prompt' if as_prompt else 'Registered Model'} (name={name}) already exists.")
    wanted, existing_kind = ("prompt", "registered model") if as_prompt else ("registered model", "prompt")
    raise exists(
        f"Tried to create a {wanted} with name '{name}', but the name is already taken by a {existing_kind}. "
        "MLflow does not allow creating a model and a prompt with the same name."
    )


async def _response(ctx: Context, model: RegisteredModel) -> RegisteredModelResponse:
    [visible] = await without_denied_versions(ctx, [model])
    return RegisteredModelResponse(visible)


class GetRegisteredModel(Request):
    name: RequiredStr


@endpoint("GET", "registered-models/get", access=REGISTERED_MODEL_READ)
async def get_registered_model(ctx: Context, req: GetRegisteredModel) -> RegisteredModelResponse:
    """Return a model with its tags, its aliases and the latest version of each stage."""
    check_model_name(req.name)
    async with ctx.db.read() as tx:
        model = await load_model(tx, req.name)
    return await _response(ctx, model)


class RenameRegisteredModel(Request):
    name: RequiredStr
    new_name: RequiredStr


@endpoint("POST", "registered-models/rename", access=REGISTERED_MODEL_EDIT)
async def rename_registered_model(ctx: Context, req: RenameRegisteredModel) -> RegisteredModelResponse:
    """Rename a model. As in MLflow, this updates `last_updated_timestamp` of all its versions."""
    check_model_name(req.name)
    check_new_model_name(req.new_name)
    now = now_ms()
    try:
        async with ctx.db.write() as tx:
            renamed = await tx.execute(
                """
                UPDATE registered_models SET name = $3, last_updated_time = $4
                WHERE workspace = $1 AND name = $2
                """,
                DEFAULT_WORKSPACE,
                req.name,
                req.new_name,
                now,
            )
            if not renamed:
                raise no_such_model(req.name)
            # Versions, tags and aliases follow by ON UPDATE CASCADE.
            await tx.execute(
                "UPDATE model_versions SET last_updated_time = $3 WHERE workspace = $1 AND name = $2",
                DEFAULT_WORKSPACE,
                req.new_name,
                now,
            )
            await rename_grants(tx, req.name, req.new_name)
            await ctx.audit(tx, "registered_model", req.name, f"name: {req.new_name}")
            tx.set_commit_check(
                "SELECT 1 FROM registered_models WHERE workspace = $1 AND name = $2 AND last_updated_time = $3",
                DEFAULT_WORKSPACE,
                req.new_name,
                now,
            )
            renamed_model = await load_model(tx, req.new_name)
    except UniqueViolation as error:
        raise exists(f"Registered Model (name={req.new_name}) already exists.") from error
    ctx.access_changed()
    return await _response(ctx, renamed_model)


class UpdateRegisteredModel(Request):
    name: RequiredStr
    description: str = ""


@endpoint("PATCH", "registered-models/update", access=REGISTERED_MODEL_EDIT)
@idempotent
async def update_registered_model(ctx: Context, req: UpdateRegisteredModel) -> RegisteredModelResponse:
    """Replace a model's description. As in MLflow, a request without one stores an empty one."""
    check_model_name(req.name)
    check_description(req.description)
    async with ctx.db.write() as tx:
        await tx.execute(
            """
            UPDATE registered_models SET description = $3, last_updated_time = $4
            WHERE workspace = $1 AND name = $2
            """,
            DEFAULT_WORKSPACE,
            req.name,
            req.description,
            now_ms(),
        )
        model = await load_model(tx, req.name)
    return await _response(ctx, model)


class DeleteRegisteredModel(Request):
    name: RequiredStr


@endpoint("DELETE", "registered-models/delete", access=REGISTERED_MODEL_DELETE)
async def delete_registered_model(ctx: Context, req: DeleteRegisteredModel) -> EmptyResponse:
    """Delete a model's row and all its versions, tags and aliases. The artifacts of its versions remain."""
    check_model_name(req.name)
    async with ctx.db.write() as tx:
        for table in ("model_version_tags", "model_versions", "registered_model_aliases", "registered_model_tags"):
            await tx.execute(
                f"DELETE FROM {table} WHERE workspace = $1 AND name = $2",  # noqa: S608 (constants)
                DEFAULT_WORKSPACE,
                req.name,
            )
        if not await tx.execute(
            "DELETE FROM registered_models WHERE workspace = $1 AND name = $2", DEFAULT_WORKSPACE, req.name
        ):
            raise no_such_model(req.name)
        tx.set_commit_check(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM registered_models WHERE workspace = $1 AND name = $2)",
            DEFAULT_WORKSPACE,
            req.name,
        )
        await delete_grants(tx, req.name)
        await ctx.audit(tx, "registered_model", req.name)
    ctx.access_changed()
    return EMPTY_RESPONSE


class SetRegisteredModelTag(Request):
    name: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "registered-models/set-tag", access=REGISTERED_MODEL_EDIT)
@idempotent
async def set_registered_model_tag(ctx: Context, req: SetRegisteredModelTag) -> EmptyResponse:
    """Set a tag of a model, without updating its `last_updated_timestamp`."""
    check_model_name(req.name)
    check_tag(req.key, req.value, MODEL_TAG_VALUE_LIMIT)
    async with ctx.webhooks.registry_events() as events, ctx.db.write() as tx:
        await lock_model(tx, req.name)
        await _set_tag(tx, req.name, req.key, req.value)
        await events.model_tag_set(tx, req.name, req.key, req.value)
    return EMPTY_RESPONSE


async def _set_tag(tx: Tx, name: str, key: str, value: str) -> None:
    await tx.execute(
        """
        INSERT INTO registered_model_tags (workspace, name, key, value) VALUES ($1, $2, $3, $4)
        ON CONFLICT (workspace, key, name) DO UPDATE SET value = excluded.value
        """,
        DEFAULT_WORKSPACE,
        name,
        key,
        value,
    )


class DeleteRegisteredModelTag(Request):
    name: RequiredStr
    key: RequiredStr


@endpoint("DELETE", "registered-models/delete-tag", access=REGISTERED_MODEL_EDIT)
@idempotent
async def delete_registered_model_tag(ctx: Context, req: DeleteRegisteredModelTag) -> EmptyResponse:
    """Delete a tag of a model; deleting a missing one succeeds."""
    check_model_name(req.name)
    async with ctx.webhooks.registry_events() as events, ctx.db.write() as tx:
        await lock_model(tx, req.name)
        await tx.execute(
            "DELETE FROM registered_model_tags WHERE workspace = $1 AND name = $2 AND key = $3",
            DEFAULT_WORKSPACE,
            req.name,
            req.key,
        )
        await events.model_tag_deleted(tx, req.name, req.key)
    return EMPTY_RESPONSE
