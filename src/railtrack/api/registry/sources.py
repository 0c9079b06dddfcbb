"""Where a model version may come from: which sources are refused and why, and where its files are.

The server reads a version's files for whoever may see the version (get-artifact), so a source must not lead to what
the request couldn't show to be its own: a file of the server, the artifacts of another run or model.
"""

from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from railtrack.api.registry.names import stage_of, version_number
from railtrack.api.registry.queries import (
    NOT_DELETED,
    WORKSPACE,
    aliased_version,
    check_model,
    latest_versions,
    no_such_version,
)
from railtrack.db import Tx
from railtrack.errors import ApiError, invalid, not_found
from railtrack.mlflow.artifact_location import climbs, refuse_other_host

PROMPT_SOURCES = frozenset({"dummy-source", "prompt-template"})
"""Placeholders of MLflow's clients and UI: a prompt has no files."""


class Origin(NamedTuple):
    """Where a new version comes from. `storage`: where its files are, where that isn't `source` itself."""

    source: str
    storage: str
    run_id: str


def check_prompt_source(source: str) -> None:
    if source not in PROMPT_SOURCES:
        raise invalid(f"Invalid prompt source: '{source[:1000]}'. Prompt sources must use an MLflow placeholder.")


def check_form(source: str, run_id: str, model_id: str) -> None:
    """What can be told without the database. Raises MLflow's complaints."""
    parts = _parsed(source)
    refuse_other_host(parts, "source")
    if _is_local(parts):
        if climbs(source) or parts.netloc not in ("", "localhost") or not (run_id or model_id):
            raise _local(source)
    elif not _is_absolute(source, parts):
        raise invalid(
            f"Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, "
            "objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references "
            "present. Please provide an absolute path."
        )


def _parsed(source: str) -> SplitResult:
    try:
        return urlsplit(source)
    except ValueError:
        raise invalid(f"Invalid model version source: '{source}'. It is not a valid URI.") from None


def _is_local(parts: SplitResult) -> bool:
    return parts.scheme in ("", "file")


def _is_absolute(source: str, parts: SplitResult) -> bool:
    """MLflow looks for climbs in the path alone; what is refused here besides leads nowhere good."""
    segments = unquote(parts.path).split("/")
    if parts.scheme == "models":
        return not climbs(source)
    return (
        parts.path.startswith("/")
        and any(segments)
        and "." not in segments
        and "\0" not in unquote(source)
        and not climbs(source)
    )


def _local(source: str) -> ApiError:
    return invalid(
        f"Invalid model version source: '{source}'. To use a local path as a model version source, the run_id request "
        "parameter has to be specified and the local path has to be contained within the artifact directory of the run "
        "specified by the run_id."
    )


def _unowned(source: str, parameter: str) -> ApiError:
    return invalid(
        f"Invalid model version source: '{source}'. The {parameter} request parameter must identify the resource that "
        "contains the source."
    )


async def resolve(tx: Tx, source: str, run_id: str, model_id: str) -> Origin:
    """The origin, checked against the run or the logged model that the request names. Raises MLflow's complaints."""
    parts = _parsed(source)
    match parts.scheme:
        case "models":
            return await _from_model(tx, source, parts, run_id, model_id)
        case "runs":
            if model_id or parts.path.strip("/").split("/")[0] != run_id:
                raise _unowned(source, "model_id" if model_id else "run_id")
            return Origin(source, source, run_id)
        case "" | "file" | "mlflow-artifacts":
            return await _from_artifacts(tx, source, run_id, model_id)
    # A store that clients reach by themselves, with rights of their own.
    model = await _existing_model(tx, model_id) if model_id else None
    return Origin(source, source, run_id or (model.run_id if model else ""))


async def _from_artifacts(tx: Tx, source: str, run_id: str, model_id: str) -> Origin:
    """A folder that this server may be asked to read from: it must be the logged model's, or else the run's."""
    if model_id:
        model = await _logged_model(tx, model_id)
        _check_inside(source, model.location if model else "", "model_id")
        return Origin(source, source, run_id or (model.run_id if model else ""))
    location: str | None = await tx.fetch_value("SELECT artifact_uri FROM runs WHERE run_uuid = $1", run_id)
    _check_inside(source, location or "", "run_id")
    return Origin(source, source, run_id)


def _check_inside(source: str, location: str, parameter: str) -> None:
    parts, root = _parsed(source), _parsed(location)
    if not location:
        raise _unowned(source, parameter)
    path, folder = _path(source, parts), _path(location, root)
    same_store = _is_local(root) if _is_local(parts) else root.scheme == parts.scheme
    if not same_store or not (path == folder or path.startswith(f"{folder}/")):
        raise _local(source) if _is_local(parts) else _unowned(source, parameter)


def _path(location: str, parts: SplitResult) -> str:
    """The path that the artifact stores would read (artifacts/__init__.py), without slashes at its end."""
    return (unquote(parts.path) if parts.scheme else location).rstrip("/")


class _LoggedModel(NamedTuple):
    location: str
    run_id: str


async def _logged_model(tx: Tx, model_id: str) -> _LoggedModel | None:
    """None for a deleted one, too."""
    row = await tx.fetch_row(
        """
        SELECT artifact_location, COALESCE(source_run_id, '') FROM logged_models
        WHERE model_id = $1 AND lifecycle_stage <> 'deleted'
        """,
        model_id,
    )
    return _LoggedModel(*row) if row else None


async def _existing_model(tx: Tx, model_id: str) -> _LoggedModel:
    model = await _logged_model(tx, model_id)
    if model is None:
        raise not_found(f"Logged model with ID '{model_id[:250]}' not found.")
    return model


async def _from_model(tx: Tx, source: str, parts: SplitResult, run_id: str, model_id: str) -> Origin:
    """`models:/m-...`, `models:/name/version`, `models:/name/stage`, `models:/name/latest`, `models:/name@alias`."""
    if parts.netloc:
        raise invalid(
            f"Invalid model version source: '{source}'. Registered model sources must use the active model registry."
        )
    match parts.path.lstrip("/").split("/"):
        case [name_and_alias] if "@" in name_and_alias.strip("@"):
            name, _, alias = name_and_alias.rpartition("@")
            number = await aliased_version(tx, name, alias)
        case [name, version] if name and version:
            number = await _number(tx, name, version)
        case [own] if own and own == model_id:
            model = await _existing_model(tx, model_id)
            return Origin(source, model.location, run_id or model.run_id)
        case _:
            raise _unowned(source, "model_id")
    return await _from_version(tx, source, name, number, run_id, model_id)


async def _number(tx: Tx, name: str, version: str) -> int:
    """The number of a version that is given by number, by stage or as the latest."""
    if version.isascii() and version.isdigit():
        return version_number(name, version)
    if version.lower() == "latest":
        return await aliased_version(tx, name, version)
    await check_model(tx, name)
    stage = stage_of(version)
    for latest in await latest_versions(tx, [name]):
        if latest.current_stage == stage:
            return int(latest.version)
    raise invalid(f"No versions of model with name '{name}' and stage '{stage}' found")


async def _from_version(tx: Tx, source: str, name: str, number: int, run_id: str, model_id: str) -> Origin:
    row = await tx.fetch_row(
        f"""
        SELECT COALESCE(NULLIF(storage_location, ''), source), COALESCE(run_id, '') FROM model_versions
        WHERE workspace = $1 AND name = $2 AND version = $3 AND {NOT_DELETED}
        """,  # noqa: S608 (texts of ours)
        WORKSPACE,
        name,
        number,
    )
    if row is None:
        await check_model(tx, name)
        raise no_such_version(name, number)
    storage, version_run_id = row
    if model_id or (run_id and run_id != version_run_id):
        raise invalid(
            f"Invalid model version source: '{source}'. The run_id and model_id request parameters must match the "
            "referenced model version."
        )
    return Origin(f"models:/{name}/{number}", storage, version_run_id)
