"""Registered models and versions from the database, a page of them in a few statements. No endpoint, no filter."""

from collections.abc import Sequence

from railtrack.api.registry.schemas import Alias, ModelVersion, RegisteredModel, RegistryTag
from railtrack.db import Row, Tx
from railtrack.errors import ApiError, invalid, not_found

WORKSPACE = "default"
"""MLflow's workspace for those who have none."""

MODEL_COLUMNS = """
    registered_models.name, registered_models.creation_time, registered_models.last_updated_time,
    NULLIF(registered_models.description, '')
"""
"""The columns of a RegisteredModel, in its order, up to its description."""
MODEL_WIDTH = 4

VERSION_COLUMNS = """
    model_versions.name, CAST(model_versions.version AS TEXT), model_versions.creation_time,
    model_versions.last_updated_time, model_versions.user_id, model_versions.current_stage, model_versions.description,
    model_versions.source, model_versions.run_id, model_versions.status, model_versions.status_message,
    model_versions.run_link
"""
"""The columns of a ModelVersion, in its order, without its tags and aliases."""
VERSION_WIDTH = 12

NOT_DELETED = "(model_versions.current_stage IS NULL OR model_versions.current_stage <> 'Deleted_Internal')"
LATEST = f"""
    SELECT name, current_stage, MAX(version) AS latest, MIN(version) AS first FROM model_versions
    WHERE workspace = $1 AND name = ANY($2) AND {NOT_DELETED}
    GROUP BY name, current_stage
"""  # noqa: S608 (texts of ours)
"""The latest version of each stage of the models $2, and the first, which gives MLflow the order of the stages."""


def no_such_model(name: str) -> ApiError:
    return not_found(f"Registered Model with name={name[:300]} not found")


def no_such_version(name: str, version: int) -> ApiError:
    return not_found(f"Model Version (name={name[:300]}, version={version}) not found")


async def load_model(tx: Tx, name: str) -> RegisteredModel:
    """Raises RESOURCE_DOES_NOT_EXIST."""
    row = await tx.fetch_row(
        f"SELECT {MODEL_COLUMNS} FROM registered_models WHERE workspace = $1 AND name = $2",  # noqa: S608 (ours)
        WORKSPACE,
        name,
    )
    if row is None:
        raise no_such_model(name)
    [model] = await load_models(tx, [row])
    return model


async def load_models(tx: Tx, rows: Sequence[Row]) -> list[RegisteredModel]:
    """The models of rows of MODEL_COLUMNS, complete, in their order. The caller bounds the page."""
    models = {row[0]: RegisteredModel(*row) for row in rows}
    names = list(models)
    for version in await latest_versions(tx, names):
        models[version.name].latest_versions.append(version)
    for name, *tag in await tx.fetch(
        """
        SELECT name, key, COALESCE(value, '') FROM registered_model_tags
        WHERE workspace = $1 AND name = ANY($2) ORDER BY key
        """,
        WORKSPACE,
        names,
    ):
        models[name].tags.append(RegistryTag(*tag))
    for name, *alias in await tx.fetch(
        """
        SELECT name, alias, CAST(version AS TEXT) FROM registered_model_aliases
        WHERE workspace = $1 AND name = ANY($2) ORDER BY alias
        """,
        WORKSPACE,
        names,
    ):
        models[name].aliases.append(Alias(*alias))
    return list(models.values())


async def latest_versions(tx: Tx, names: Sequence[str]) -> list[ModelVersion]:
    """The latest version of each stage of each model, with tags; as MLflow has it, without aliases."""
    rows = await tx.fetch(
        f"""
        SELECT {VERSION_COLUMNS} FROM model_versions
        JOIN ({LATEST}) AS stages ON stages.name = model_versions.name AND stages.latest = model_versions.version
        WHERE model_versions.workspace = $1
        ORDER BY model_versions.name, stages.first
        """,  # noqa: S608 (texts of ours)
        WORKSPACE,
        names,
    )
    return await load_versions(tx, rows)


async def check_model(tx: Tx, name: str) -> None:
    """Raises RESOURCE_DOES_NOT_EXIST."""
    if not await tx.fetch_value("SELECT 1 FROM registered_models WHERE workspace = $1 AND name = $2", WORKSPACE, name):
        raise no_such_model(name)


async def lock_model(tx: Tx, name: str) -> None:
    """Keep the model and its name until the transaction ends. Raises RESOURCE_DOES_NOT_EXIST."""
    there = await tx.fetch_value(
        "SELECT 1 FROM registered_models WHERE workspace = $1 AND name = $2 FOR KEY SHARE", WORKSPACE, name
    )
    if not there:
        raise no_such_model(name)


async def lock_version(tx: Tx, name: str, version: int) -> None:
    """Keep the version as it is until the transaction ends. Raises RESOURCE_DOES_NOT_EXIST."""
    there = await tx.fetch_value(
        f"""
        SELECT 1 FROM model_versions
        WHERE workspace = $1 AND name = $2 AND version = $3 AND {NOT_DELETED} FOR NO KEY UPDATE
        """,  # noqa: S608 (texts of ours)
        WORKSPACE,
        name,
        version,
    )
    if not there:
        raise no_such_version(name, version)


async def aliased_version(tx: Tx, name: str, alias: str) -> int:
    """The number of the version that an alias means; `latest`: the highest. Raises MLflow's complaints."""
    if alias.lower() == "latest":
        number: int | None = await tx.fetch_value(
            f"SELECT MAX(version) FROM model_versions WHERE workspace = $1 AND name = $2 AND {NOT_DELETED}",  # noqa: S608
            WORKSPACE,
            name,
        )
    else:
        number = await tx.fetch_value(
            "SELECT version FROM registered_model_aliases WHERE workspace = $1 AND name = $2 AND alias = $3",
            WORKSPACE,
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
    """Where the version's files are. Raises RESOURCE_DOES_NOT_EXIST."""
    uri: str | None = await tx.fetch_value(
        f"""
        SELECT COALESCE(NULLIF(storage_location, ''), source, '') FROM model_versions
        WHERE workspace = $1 AND name = $2 AND version = $3 AND {NOT_DELETED}
        """,  # noqa: S608 (texts of ours)
        WORKSPACE,
        name,
        version,
    )
    if uri is None:
        raise no_such_version(name, version)
    return uri


async def load_version(tx: Tx, name: str, version: int) -> ModelVersion:
    """A version with its tags and aliases. Raises RESOURCE_DOES_NOT_EXIST."""
    row = await tx.fetch_row(
        f"""
        SELECT {VERSION_COLUMNS} FROM model_versions
        WHERE workspace = $1 AND name = $2 AND version = $3 AND {NOT_DELETED}
        """,  # noqa: S608 (texts of ours)
        WORKSPACE,
        name,
        version,
    )
    if row is None:
        raise no_such_version(name, version)
    [found] = await load_versions(tx, [row])
    await add_aliases(tx, name, [found])
    return found


async def load_versions(tx: Tx, rows: Sequence[Row]) -> list[ModelVersion]:
    """The versions of rows of VERSION_COLUMNS, with their tags, in their order. The caller bounds the page."""
    if not rows:
        return []
    versions = {(row[0], row[1]): ModelVersion(*row) for row in rows}
    for name, number, *tag in await tx.fetch(
        """
        SELECT name, CAST(version AS TEXT), key, COALESCE(value, '') FROM model_version_tags
        WHERE workspace = $1 AND name = ANY($2) AND name || '/' || CAST(version AS TEXT) = ANY($3) ORDER BY key
        """,
        WORKSPACE,
        sorted({name for name, _ in versions}),  # for the index; no name has a slash
        [f"{name}/{number}" for name, number in versions],
    ):
        versions[name, number].tags.append(RegistryTag(*tag))
    return list(versions.values())


async def add_aliases(tx: Tx, name: str, versions: Sequence[ModelVersion]) -> None:
    """Give the versions of the model their aliases."""
    by_number = {version.version: version for version in versions}
    for number, alias in await tx.fetch(
        """
        SELECT CAST(version AS TEXT), alias FROM registered_model_aliases
        WHERE workspace = $1 AND name = $2 ORDER BY alias
        """,
        WORKSPACE,
        name,
    ):
        if number in by_number:
            by_number[number].aliases.append(alias)
