"""Create a model version: resolve its source to the files and the run it comes from, and insert the next number.

Which sources are rejected by their syntax or location is in mlflow/model_source.py.
"""

import json
from typing import NamedTuple
from urllib.parse import SplitResult

from railtrack.api.logged_models.queries import no_such_model as no_such_logged_model
from railtrack.api.registry.queries import (
    NOT_DELETED,
    aliased_version,
    check_model,
    latest_versions,
    load_version,
    no_such_model,
    version_response,
)
from railtrack.api.registry.schemas import ModelVersionResponse, RegistryTag
from railtrack.auth import LOGGED_MODEL_EDIT, MODEL_VERSION_CREATE
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.db.sql import bind
from railtrack.errors import PERMISSION_DENIED, ApiError, invalid
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.mlflow.model_source import (
    check_prompt_source,
    check_source,
    check_within,
    model_reference,
    not_owned,
    split_source,
    without_dots,
)
from railtrack.mlflow.prompts import IS_PROMPT_TAG, is_prompt
from railtrack.mlflow.registry_validation import (
    VERSION_TAG_VALUE_LIMIT,
    canonical_stage,
    check_description,
    check_model_name,
    check_tags,
    parse_version,
    version_not_found,
)
from railtrack.mlflow.validation import check_length
from railtrack.wire.json_limits import load_limited_json
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.routing import endpoint

SOURCE_LIMIT = 500
RUN_ID_LIMIT = 32
RUN_LINK_LIMIT = 500
REGISTERED_VERSIONS_TAG = "mlflow.modelVersions"
"""The tag of a logged model that lists, as JSON, the versions it is registered as."""


class CreateModelVersion(Request):
    name: RequiredStr
    source: RequiredStr
    run_id: str = ""
    tags: list[RegistryTag] = []
    run_link: str = ""
    description: str = ""
    model_id: str = ""


class ResolvedSource(NamedTuple):
    """`source` as it is stored, the location of its files, and the run it comes from ("" if unknown)."""

    source: str
    storage_location: str
    run_id: str


@endpoint("POST", "model-versions/create", access=MODEL_VERSION_CREATE)
async def create_model_version(ctx: Context, req: CreateModelVersion) -> ModelVersionResponse:
    """Create the next version of a registered model, with status READY. The number of a deleted version isn't reused.

    As in MLflow, the run need not exist, unless the source is an artifact of a run.
    """
    tags = {tag.key: tag.value for tag in req.tags}
    as_prompt = is_prompt(tags.get(IS_PROMPT_TAG))
    if as_prompt:
        check_prompt_source(req.source)
    else:
        check_source(req.source, req.run_id, req.model_id)
    check_length("source", req.source, SOURCE_LIMIT)
    source_pattern = ctx.settings.registry.source_pattern
    if source_pattern and not as_prompt and not source_pattern.search(req.source):
        raise invalid(f"Invalid model version source: '{req.source}'.")
    check_length("run_id", req.run_id, RUN_ID_LIMIT)
    check_length("run_link", req.run_link, RUN_LINK_LIMIT)
    check_description(req.description)
    _check_link_scheme(req.run_link)
    tags_logged_model = bool(req.model_id) and not as_prompt and await _may_edit_logged_model(ctx, req)
    async with ctx.webhooks.registry_events() as events, ctx.db.write() as tx:
        if as_prompt:
            resolved = ResolvedSource(req.source, req.source, req.run_id)
        else:
            resolved = await _resolve(tx, req.source, req.run_id, req.model_id)
        check_model_name(req.name)
        check_tags(tags.items(), VERSION_TAG_VALUE_LIMIT)
        now = now_ms()
        version = await _insert_version(tx, req, resolved, now)
        # Another request can have created this version after a crash, but not in the same millisecond.
        tx.set_commit_check(
            """
            SELECT 1 FROM model_versions
            WHERE workspace = $1 AND name = $2 AND version = $3 AND creation_time = $4
            """,
            DEFAULT_WORKSPACE,
            req.name,
            version,
            now,
        )
        if tags:
            await _insert_tags(tx, req.name, version, tags)
        if tags_logged_model:
            await _add_to_logged_model(tx, req.model_id, req.name, version)
        await events.version_created(
            tx, req.name, version, source=req.source, run_id=req.run_id, tags=tags, description=req.description
        )
        created = await load_version(tx, req.name, version)
    return await version_response(ctx, created)


async def _may_edit_logged_model(ctx: Context, req: CreateModelVersion) -> bool:
    """Return whether the caller may tag the logged model with the version. To register it, reading it is enough."""
    try:
        if ctx.policy is not None:
            await ctx.policy.check(LOGGED_MODEL_EDIT, ctx, req)
    except ApiError as error:
        if error.code != PERMISSION_DENIED:
            raise
        return False
    return True


def _check_link_scheme(run_link: str) -> None:
    """Reject other schemes than HTTP's: the UI renders the link, and `javascript:` would run in its origin."""
    scheme, colon, _ = run_link.partition(":")
    if colon and scheme.strip().lower() not in ("http", "https"):
        raise invalid(f"Invalid run_link '{run_link}'. It must be an http or https URL.")


async def _resolve(tx: Tx, source: str, run_id: str, model_id: str) -> ResolvedSource:
    """Resolve the source. Raise INVALID_PARAMETER_VALUE if neither the run nor the logged model of the request owns it.

    A location that clients reach with credentials of their own (S3, DBFS) needs no owner.
    """
    parts = split_source(source)
    match parts.scheme:
        case "models":
            return await _resolve_models_uri(tx, source, parts, run_id, model_id)
        case "runs":
            if model_id or parts.path.strip("/").split("/")[0] != run_id:
                raise not_owned(source, "model_id" if model_id else "run_id")
            return ResolvedSource(source, source, run_id)
        case "" | "file" | "mlflow-artifacts" if not model_id:
            location = await tx.fetch_value("SELECT artifact_uri FROM runs WHERE run_uuid = $1", run_id)
            check_within(source, location or "", "run_id")
            return ResolvedSource(source, without_dots(source), run_id)
        case "" | "file" | "mlflow-artifacts":
            model = await _logged_model(tx, model_id)
            if model is None:
                raise not_owned(source, "model_id")
            check_within(source, model.location, "model_id")
            return ResolvedSource(source, without_dots(source), run_id or model.run_id)
    if model_id:
        existing = await _existing_logged_model(tx, model_id)
        run_id = run_id or existing.run_id
    return ResolvedSource(source, source, run_id)


async def _resolve_models_uri(tx: Tx, source: str, parts: SplitResult, run_id: str, model_id: str) -> ResolvedSource:
    """Resolve `models:/<model id>`, `models:/name@alias` and `models:/name/<number, stage or latest>`."""
    if parts.netloc:
        raise invalid(
            f"Invalid model version source: '{source}'. Registered model sources must use the active model registry."
        )
    reference = model_reference(parts)
    if reference is None:
        if not model_id or parts.path.lstrip("/") != model_id:
            raise not_owned(source, "model_id")
        model = await _existing_logged_model(tx, model_id)
        return ResolvedSource(source, model.location, run_id or model.run_id)
    name = reference.name
    if reference.alias:
        version = await aliased_version(tx, name, reference.alias)
    else:
        version = await _referenced_version(tx, name, reference.version)
    row = await tx.fetch_row(
        f"""
        SELECT COALESCE(NULLIF(storage_location, ''), source), COALESCE(run_id, '') FROM model_versions
        WHERE workspace = $1 AND name = $2 AND version = $3 AND {NOT_DELETED}
        """,  # noqa: S608 (a constant)
        DEFAULT_WORKSPACE,
        name,
        version,
    )
    if row is None:
        await check_model(tx, name)
        raise version_not_found(name, version)
    storage_location, version_run_id = row
    if model_id or (run_id and run_id != version_run_id):
        raise invalid(
            f"Invalid model version source: '{source}'. The run_id and model_id request parameters must match the "
            "referenced model version."
        )
    return ResolvedSource(f"models:/{name}/{version}", storage_location, version_run_id)


async def _referenced_version(tx: Tx, name: str, reference: str) -> int:
    """Return the number of the version that `reference` means: its number, `latest`, or the latest of a stage."""
    if reference.isascii() and reference.isdigit():
        return parse_version(name, reference)
    if reference.lower() == "latest":
        return await aliased_version(tx, name, reference)
    await check_model(tx, name)
    stage = canonical_stage(reference)
    for latest in await latest_versions(tx, [name]):
        if latest.current_stage == stage:
            return int(latest.version)
    raise invalid(f"No versions of model with name '{name}' and stage '{stage}' found")


class _LoggedModel(NamedTuple):
    location: str
    run_id: str


async def _logged_model(tx: Tx, model_id: str) -> _LoggedModel | None:
    row = await tx.fetch_row(
        """
        SELECT artifact_location, COALESCE(source_run_id, '') FROM logged_models
        WHERE model_id = $1 AND lifecycle_stage <> 'deleted'
        """,
        model_id,
    )
    return _LoggedModel(*row) if row else None


async def _existing_logged_model(tx: Tx, model_id: str) -> _LoggedModel:
    model = await _logged_model(tx, model_id)
    if model is None:
        raise no_such_logged_model(model_id)
    return model


async def _insert_version(tx: Tx, req: CreateModelVersion, resolved: ResolvedSource, now: int) -> int:
    """Insert the version and return its number. Updating the model's row first locks it, so numbers are unique."""
    updated = await tx.execute(
        "UPDATE registered_models SET last_updated_time = $3 WHERE workspace = $1 AND name = $2",
        DEFAULT_WORKSPACE,
        req.name,
        now,
    )
    if not updated:
        raise no_such_model(req.name)
    version: int = await tx.fetch_value(
        "SELECT COALESCE(MAX(version), 0) + 1 FROM model_versions WHERE workspace = $1 AND name = $2",
        DEFAULT_WORKSPACE,
        req.name,
    )
    await tx.execute(
        *bind(
            """
            INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, description,
                current_stage, source, run_id, status, run_link, storage_location)
            VALUES (:workspace, :name, :version, :now, :now, :description,
                'None', :source, :run_id, 'READY', :run_link, :storage_location)
            """,
            workspace=DEFAULT_WORKSPACE,
            name=req.name,
            version=version,
            now=now,
            description=req.description,
            source=resolved.source,
            run_id=resolved.run_id,
            run_link=req.run_link,
            storage_location=resolved.storage_location,
        )
    )
    return version


async def _insert_tags(tx: Tx, name: str, version: int, tags: dict[str, str]) -> None:
    await tx.execute_rows(
        """
        INSERT INTO model_version_tags (workspace, name, version, key, value)
        SELECT workspace, name, version, key, value FROM {rows}
        """,
        {"workspace": "text", "name": "text", "version": "integer", "key": "text", "value": "text"},
        [(DEFAULT_WORKSPACE, name, version, key, value) for key, value in tags.items()],
    )


async def _add_to_logged_model(tx: Tx, model_id: str, name: str, version: int) -> None:
    """Append the version to the logged model's tag, replacing a value that isn't a list."""
    experiment_id = await tx.fetch_value(
        "SELECT experiment_id FROM logged_models WHERE model_id = $1 FOR NO KEY UPDATE", model_id
    )
    stored = await tx.fetch_value(
        "SELECT tag_value FROM logged_model_tags WHERE model_id = $1 AND tag_key = $2",
        model_id,
        REGISTERED_VERSIONS_TAG,
    )
    try:
        versions = load_limited_json(stored or "[]")
    except ValueError:
        versions = []
    if not isinstance(versions, list):
        versions = []
    await tx.execute(
        """
        INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) VALUES ($1, $2, $3, $4)
        ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value
        """,
        model_id,
        experiment_id,
        REGISTERED_VERSIONS_TAG,
        json.dumps([*versions, {"name": name, "version": version}]),
    )
