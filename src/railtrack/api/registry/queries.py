"""Reads of registered models and versions: one, or a page of them in a few statements. Filters are in search_fields."""

from collections.abc import Sequence
from typing import TypeVar

from railtrack.api.registry.schemas import (
    Alias,
    ModelVersion,
    ModelVersionResponse,
    RegisteredModel,
    RegistryTag,
)
from railtrack.auth.grants import NOTHING
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.errors import ApiError, invalid, not_found
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.mlflow.prompts import IS_PROMPT_TAG, is_prompt
from railtrack.mlflow.registry_validation import version_not_found

MODEL_COLUMNS = """
    registered_models.name, registered_models.creation_time, registered_models.last_updated_time,
    NULLIF(registered_models.description, '')
"""
"""The fields of RegisteredModel up to `description`, in their order."""

VERSION_COLUMNS = """
    model_versions.name, CAST(model_versions.version AS TEXT), model_versions.creation_time,
    model_versions.last_updated_time, model_versions.user_id, model_versions.current_stage, model_versions.description,
    model_versions.source, model_versions.run_id, model_versions.status, model_versions.status_message,
    model_versions.run_link
"""
"""The fields of ModelVersion up to `run_link`, in their order."""

NOT_DELETED = "(model_versions.current_stage IS NULL OR model_versions.current_stage <> 'Deleted_Internal')"
LATEST = f"""
    SELECT name, current_stage, MAX(version) AS latest, MIN(version) AS first FROM model_versions
    WHERE workspace = $1 AND name = ANY($2) AND {NOT_DELETED}
    GROUP BY name, current_stage
"""  # noqa: S608 (a constant)
"""The latest version of each stage of the models $2. MLflow orders the stages by the first version in each."""


def no_such_model(name: str) -> ApiError:
    return not_found(f"Registered Model with name={name[:300]} not found")


async def load_model(tx: Tx, name: str) -> RegisteredModel:
    """Return the complete model. Raise RESOURCE_DOES_NOT_EXIST if there is none of this name."""
    row = await tx.fetch_row(
        f"SELECT {MODEL_COLUMNS} FROM registered_models WHERE workspace = $1 AND name = $2",  # noqa: S608 (constants)
        DEFAULT_WORKSPACE,
        name,
    )
    if row is None:
        raise no_such_model(name)
    [model] = await load_models(tx, [row])
    return model


async def load_models(tx: Tx, rows: Sequence[Row]) -> list[RegisteredModel]:
    """Return the complete models of rows of MODEL_COLUMNS, in their order. The caller bounds the page."""
    models = {row[0]: RegisteredModel(*row) for row in rows}
    names = list(models)
    for version in await latest_versions(tx, names):
        models[version.name].latest_versions.append(version)
    for name, *tag in await tx.fetch(
        """
        SELECT name, key, COALESCE(value, '') FROM registered_model_tags
        WHERE workspace = $1 AND name = ANY($2) ORDER BY key
        """,
        DEFAULT_WORKSPACE,
        names,
    ):
        models[name].tags.append(RegistryTag(*tag))
    for name, *alias in await tx.fetch(
        """
        SELECT name, alias, CAST(version AS TEXT) FROM registered_model_aliases
        WHERE workspace = $1 AND name = ANY($2) ORDER BY alias
        """,
        DEFAULT_WORKSPACE,
        names,
    ):
        models[name].aliases.append(Alias(*alias))
    return list(models.values())


async def without_denied_versions(ctx: Context, models: list[RegisteredModel]) -> list[RegisteredModel]:
    """Return the models, without latest versions where the caller is denied the versions of models or of prompts."""
    if ctx.policy is None:
        return models
    for resource_type, as_prompts in (("registered_model", False), ("prompt", True)):
        of_type = [
            model
            for model in models
            if any(tag.key == IS_PROMPT_TAG and is_prompt(tag.value) for tag in model.tags) is as_prompts
        ]
        if of_type and await ctx.read_filter(resource_type, f"{resource_type}_version") == NOTHING:
            for model in of_type:
                model.latest_versions = []
    for model in models:
        await without_denied_runs(ctx, model.latest_versions)
    return models


V = TypeVar("V", bound=Sequence[ModelVersion])


async def without_denied_runs(ctx: Context, versions: V) -> V:
    """Return the versions, without the runs that they come from where the caller is denied runs."""
    if await ctx.is_denied("run"):
        for version in versions:
            version.run_id = version.run_link = None
    return versions


async def version_response(ctx: Context, version: ModelVersion) -> ModelVersionResponse:
    await without_denied_runs(ctx, [version])
    return ModelVersionResponse(version)


async def latest_versions(tx: Tx, names: Sequence[str]) -> list[ModelVersion]:
    """Return the latest version of each stage of each model, with its tags; as in MLflow, without aliases."""
    rows = await tx.fetch(
        f"""
        SELECT {VERSION_COLUMNS} FROM model_versions
        JOIN ({LATEST}) AS stages ON stages.name = model_versions.name AND stages.latest = model_versions.version
        WHERE model_versions.workspace = $1
        ORDER BY model_versions.name, stages.first
        """,  # noqa: S608 (constants)
        DEFAULT_WORKSPACE,
        names,
    )
    return await load_versions(tx, rows)


async def check_model(tx: Tx, name: str) -> None:
    """Raise RESOURCE_DOES_NOT_EXIST if there is no model of this name."""
    if not await tx.fetch_value(
        "SELECT 1 FROM registered_models WHERE workspace = $1 AND name = $2", DEFAULT_WORKSPACE, name
    ):
        raise no_such_model(name)


async def lock_model(tx: Tx, name: str) -> None:
    """Prevent renaming and deleting the model until the transaction ends. Raise RESOURCE_DOES_NOT_EXIST."""
    exists = await tx.fetch_value(
        "SELECT 1 FROM registered_models WHERE workspace = $1 AND name = $2 FOR KEY SHARE", DEFAULT_WORKSPACE, name
    )
    if not exists:
        raise no_such_model(name)


async def lock_version(tx: Tx, name: str, version: int) -> None:
    """Lock the version until the transaction ends. Raise RESOURCE_DOES_NOT_EXIST if there is no such version."""
    exists = await tx.fetch_value(
        f"""
        SELECT 1 FROM model_versions
        WHERE workspace = $1 AND name = $2 AND version = $3 AND {NOT_DELETED} FOR NO KEY UPDATE
        """,  # noqa: S608 (constants)
        DEFAULT_WORKSPACE,
        name,
        version,
    )
    if not exists:
        raise version_not_found(name, version)


async def aliased_version(tx: Tx, name: str, alias: str) -> int:
    """Return the number of the version that an alias refers to; `latest` refers to the highest.

    Raise RESOURCE_DOES_NOT_EXIST if there is no such model or version, INVALID_PARAMETER_VALUE for an unknown alias.
    """
    if alias.lower() == "latest":
        number: int | None = await tx.fetch_value(
            f"SELECT MAX(version) FROM model_versions WHERE workspace = $1 AND name = $2 AND {NOT_DELETED}",  # noqa: S608
            DEFAULT_WORKSPACE,
            name,
        )
    else:
        number = await tx.fetch_value(
            "SELECT version FROM registered_model_aliases WHERE workspace = $1 AND name = $2 AND alias = $3",
            DEFAULT_WORKSPACE,
            name,
            alias,
        )
    if number is not None:
        return number
    await check_model(tx, name)
    if alias.lower() == "latest":
        raise not_found(f"Latest version not found for model {name}.")
    raise invalid(f"Registered model alias {alias} not found.")


async def storage_location(tx: Tx, name: str, version: int) -> str:
    """Return the location of the version's files. Raise RESOURCE_DOES_NOT_EXIST if there is no such version."""
    uri: str | None = await tx.fetch_value(
        f"""
        SELECT COALESCE(NULLIF(storage_location, ''), source, '') FROM model_versions
        WHERE workspace = $1 AND name = $2 AND version = $3 AND {NOT_DELETED}
        """,  # noqa: S608 (constants)
        DEFAULT_WORKSPACE,
        name,
        version,
    )
    if uri is None:
        raise version_not_found(name, version)
    return uri


async def load_version(tx: Tx, name: str, version: int) -> ModelVersion:
    """Return a version with its tags and aliases. Raise RESOURCE_DOES_NOT_EXIST if there is no such version."""
    row = await tx.fetch_row(
        f"""
        SELECT {VERSION_COLUMNS} FROM model_versions
        WHERE workspace = $1 AND name = $2 AND version = $3 AND {NOT_DELETED}
        """,  # noqa: S608 (constants)
        DEFAULT_WORKSPACE,
        name,
        version,
    )
    if row is None:
        raise version_not_found(name, version)
    [loaded] = await load_versions(tx, [row])
    await add_aliases(tx, name, [loaded])
    return loaded


async def load_versions(tx: Tx, rows: Sequence[Row]) -> list[ModelVersion]:
    """Return the versions of rows of VERSION_COLUMNS, with tags, in their order. The caller bounds the page."""
    if not rows:
        return []
    versions = {(row[0], row[1]): ModelVersion(*row) for row in rows}
    for name, number, *tag in await tx.fetch(
        """
        SELECT name, CAST(version AS TEXT), key, COALESCE(value, '') FROM model_version_tags
        WHERE workspace = $1 AND name = ANY($2) AND name || '/' || CAST(version AS TEXT) = ANY($3) ORDER BY key
        """,
        DEFAULT_WORKSPACE,
        sorted({name for name, _ in versions}),  # lets the statement use the index
        [f"{name}/{number}" for name, number in versions],
    ):
        versions[name, number].tags.append(RegistryTag(*tag))
    return list(versions.values())


async def add_aliases(tx: Tx, name: str, versions: Sequence[ModelVersion]) -> None:
    """Add their aliases to versions of the model."""
    by_number = {version.version: version for version in versions}
    for number, alias in await tx.fetch(
        """
        SELECT CAST(version AS TEXT), alias FROM registered_model_aliases
        WHERE workspace = $1 AND name = $2 ORDER BY alias
        """,
        DEFAULT_WORKSPACE,
        name,
    ):
        if number in by_number:
            by_number[number].aliases.append(alias)
