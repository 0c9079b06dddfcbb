"""A model version's life: create, get, update, stages, delete, and its tags. Where it may come from: sources.py."""

import json

import msgspec

from railtrack.api.registry.events import version_created, version_tag_changed
from railtrack.api.registry.names import (
    DESCRIPTION_LIMIT,
    VERSION_TAG_VALUE_LIMIT,
    check_length,
    check_name,
    check_tag,
    checked_tags,
    stage_of,
    version_number,
)
from railtrack.api.registry.queries import (
    WORKSPACE,
    add_aliases,
    check_model,
    latest_versions,
    load_version,
    lock_version,
    no_such_model,
    storage_location,
)
from railtrack.api.registry.schemas import ACTIVE_STAGES, DELETED_STAGE, ModelVersion, ModelVersionResponse, RegistryTag
from railtrack.api.registry.search_fields import IS_PROMPT
from railtrack.api.registry.sources import Origin, check_form, check_prompt_source, resolve
from railtrack.auth import REGISTERED_MODEL_EDIT, REGISTERED_MODEL_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import invalid
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint

SOURCE_LIMIT = 500
RUN_ID_LIMIT = 32
RUN_LINK_LIMIT = 500
REGISTERED_AS = "mlflow.modelVersions"
"""The tag of a logged model that lists, as JSON, the versions that it is registered as."""


class CreateModelVersion(Request):
    name: RequiredStr
    source: RequiredStr
    run_id: str = ""
    tags: list[RegistryTag] = []
    run_link: str = ""
    description: str = ""
    model_id: str = ""


@endpoint("POST", "model-versions/create", access=REGISTERED_MODEL_EDIT)
async def create_model_version(ctx: Context, req: CreateModelVersion) -> Reply:
    """The next version of a registered model, READY. Numbers are never given twice.

    The run need not exist, as in MLflow, unless the source is within the artifacts of a run.
    """
    tags = {tag.key: tag.value for tag in req.tags}
    is_prompt = tags.get(IS_PROMPT, "").lower() == "true"
    if is_prompt:
        check_prompt_source(req.source)
    else:
        check_form(req.source, req.run_id, req.model_id)
    _check_lengths(req)
    async with ctx.webhooks.announcing() as news, ctx.db.write() as tx:
        origin = Origin(req.source, req.source, req.run_id)
        if not is_prompt:
            origin = await resolve(tx, req.source, req.run_id, req.model_id)
        check_name(req.name)
        checked_tags(req.tags, VERSION_TAG_VALUE_LIMIT)
        number = await _insert(tx, req, origin)
        for key, value in sorted(tags.items()):
            await _set_tag(tx, req.name, number, key, value)
        if req.model_id and not is_prompt:
            await _note_registration(tx, req.model_id, req.name, number)
        await version_created(
            news,
            tx,
            req.name,
            number,
            source=req.source,
            run_id=req.run_id,
            tags=tags,
            description=req.description,
            is_prompt=is_prompt,
        )
        return ModelVersionResponse(await load_version(tx, req.name, number))


def _check_lengths(req: CreateModelVersion) -> None:
    check_length("source", req.source, SOURCE_LIMIT)
    check_length("run_id", req.run_id, RUN_ID_LIMIT)
    check_length("run_link", req.run_link, RUN_LINK_LIMIT)
    check_length("description", req.description, DESCRIPTION_LIMIT)
    scheme, colon, _ = req.run_link.partition(":")
    if colon and scheme.strip().lower() not in ("http", "https"):
        # The UI makes a link of it, which must not be a script.
        raise invalid(f"Invalid run_link '{req.run_link}'. It must be an http or https URL.")


async def _insert(tx: Tx, req: CreateModelVersion, origin: Origin) -> int:
    """The new version's number. The model's row, once touched, makes those wait who would take the same one."""
    now = now_ms()
    await _touch_model(tx, req.name, now)
    number: int = await tx.fetch_value(
        "SELECT COALESCE(MAX(version), 0) + 1 FROM model_versions WHERE workspace = $1 AND name = $2",
        WORKSPACE,
        req.name,
    )
    await tx.execute(
        """
        INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, description,
            current_stage, source, run_id, status, run_link, storage_location)
        VALUES ($1, $2, $3, $4, $4, $5, 'None', $6, $7, 'READY', $8, $9)
        """,
        WORKSPACE,
        req.name,
        number,
        now,
        req.description,
        origin.source,
        origin.run_id,
        req.run_link,
        origin.storage,
    )
    return number


async def _touch_model(tx: Tx, name: str, now: int) -> None:
    """Raises RESOURCE_DOES_NOT_EXIST."""
    if not await tx.execute(
        "UPDATE registered_models SET last_updated_time = $3 WHERE workspace = $1 AND name = $2", WORKSPACE, name, now
    ):
        raise no_such_model(name)


async def _note_registration(tx: Tx, model_id: str, name: str, number: int) -> None:
    """Add the version to the logged model's tag; a tag that holds something else starts anew."""
    experiment_id = await tx.fetch_value(
        "SELECT experiment_id FROM logged_models WHERE model_id = $1 FOR NO KEY UPDATE", model_id
    )
    noted = await tx.fetch_value(
        "SELECT tag_value FROM logged_model_tags WHERE model_id = $1 AND tag_key = $2", model_id, REGISTERED_AS
    )
    try:
        versions = json.loads(noted or "[]")
    except (ValueError, RecursionError):
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
        REGISTERED_AS,
        json.dumps([*versions, {"name": name, "version": number}]),
    )


class GetModelVersion(Request):
    name: RequiredStr
    version: RequiredStr


@endpoint("GET", "model-versions/get", access=REGISTERED_MODEL_READ)
async def get_model_version(ctx: Context, req: GetModelVersion) -> Reply:
    """A version with its tags and aliases. Deleted ones are not there."""
    check_name(req.name)
    async with ctx.db.read() as tx:
        return ModelVersionResponse(await load_version(tx, req.name, version_number(req.name, req.version)))


class GetModelVersionDownloadUri(Request):
    name: RequiredStr
    version: RequiredStr


class DownloadUriResponse(msgspec.Struct):
    artifact_uri: str


@endpoint("GET", "model-versions/get-download-uri", access=REGISTERED_MODEL_READ)
async def get_model_version_download_uri(ctx: Context, req: GetModelVersionDownloadUri) -> Reply:
    """Where the version's files are."""
    check_name(req.name)
    return DownloadUriResponse(await storage_location(ctx.db, req.name, version_number(req.name, req.version)))


class GetLatestVersions(Request):
    name: RequiredStr
    stages: list[str] = []


class LatestVersionsResponse(msgspec.Struct, omit_defaults=True):
    model_versions: list[ModelVersion] = []


@endpoint("POST", "registered-models/get-latest-versions", access=REGISTERED_MODEL_READ)
@endpoint("GET", "registered-models/get-latest-versions", access=REGISTERED_MODEL_READ)
async def get_latest_versions(ctx: Context, req: GetLatestVersions) -> Reply:
    """The latest version of each stage, or of those asked for, that has any; with tags and aliases."""
    check_name(req.name)
    async with ctx.db.read() as tx:
        await check_model(tx, req.name)
        stages = {stage_of(stage) for stage in req.stages}
        found = [one for one in await latest_versions(tx, [req.name]) if not stages or one.current_stage in stages]
        await add_aliases(tx, req.name, found)
    return LatestVersionsResponse(found)


class UpdateModelVersion(Request):
    name: RequiredStr
    version: RequiredStr
    description: str | None = None


@endpoint("PATCH", "model-versions/update", access=REGISTERED_MODEL_EDIT)
async def update_model_version(ctx: Context, req: UpdateModelVersion) -> Reply:
    """Give a version another description, or none, as MLflow has it. This doesn't count as an update of the model."""
    check_name(req.name)
    number = version_number(req.name, req.version)
    check_length("description", req.description or "", DESCRIPTION_LIMIT)
    async with ctx.db.write() as tx:
        await lock_version(tx, req.name, number)
        await tx.execute(
            """
            UPDATE model_versions SET description = $4, last_updated_time = $5
            WHERE workspace = $1 AND name = $2 AND version = $3
            """,
            WORKSPACE,
            req.name,
            number,
            req.description,
            now_ms(),
        )
        return ModelVersionResponse(await load_version(tx, req.name, number))


class TransitionModelVersionStage(Request):
    name: RequiredStr
    version: RequiredStr
    stage: RequiredStr
    archive_existing_versions: bool = False


@endpoint("POST", "model-versions/transition-stage", access=REGISTERED_MODEL_EDIT)
async def transition_model_version_stage(ctx: Context, req: TransitionModelVersionStage) -> Reply:
    """Move a version to a stage, and, where asked to, those that are in it to the archive."""
    check_name(req.name)
    number = version_number(req.name, req.version)
    stage = stage_of(req.stage)
    if req.archive_existing_versions and stage not in ACTIVE_STAGES:
        raise invalid(
            f"Model version transition cannot archive existing model versions because '{stage}' is not an Active "
            f"stage. Valid stages are {list(ACTIVE_STAGES)}"
        )
    now = now_ms()
    async with ctx.db.write() as tx:
        await _touch_version(tx, req.name, number, now)
        await tx.execute(
            """
            UPDATE model_versions SET last_updated_time = $5,
                current_stage = CASE WHEN version = $3 THEN CAST($4 AS TEXT) ELSE 'Archived' END
            WHERE workspace = $1 AND name = $2 AND (version = $3 OR ($6 AND current_stage = $4))
            """,
            WORKSPACE,
            req.name,
            number,
            stage,
            now,
            req.archive_existing_versions,
        )
        return ModelVersionResponse(await load_version(tx, req.name, number))


async def _touch_version(tx: Tx, name: str, number: int, now: int) -> None:
    """Lock a version whose change is one of its model, too: the model first, as everybody does, or two could
    dead-lock. Raises RESOURCE_DOES_NOT_EXIST.
    """
    await tx.execute(
        "UPDATE registered_models SET last_updated_time = $3 WHERE workspace = $1 AND name = $2", WORKSPACE, name, now
    )
    await lock_version(tx, name, number)


class DeleteModelVersion(Request):
    name: RequiredStr
    version: RequiredStr


@endpoint("DELETE", "model-versions/delete", access=REGISTERED_MODEL_EDIT)
async def delete_model_version(ctx: Context, req: DeleteModelVersion) -> Reply:
    """Delete a version and its aliases. Its row stays, without what it said, so that its number is not given again."""
    check_name(req.name)
    number = version_number(req.name, req.version)
    now = now_ms()
    async with ctx.db.write() as tx:
        await _touch_version(tx, req.name, number, now)
        await tx.execute(
            """
            UPDATE model_versions SET current_stage = $4, last_updated_time = $5, description = NULL, user_id = NULL,
                source = 'REDACTED-SOURCE-PATH', run_id = 'REDACTED-RUN-ID', run_link = 'REDACTED-RUN-LINK',
                status_message = NULL
            WHERE workspace = $1 AND name = $2 AND version = $3
            """,
            WORKSPACE,
            req.name,
            number,
            DELETED_STAGE,
            now,
        )
        await tx.execute(
            "DELETE FROM registered_model_aliases WHERE workspace = $1 AND name = $2 AND version = $3",
            WORKSPACE,
            req.name,
            number,
        )
    return EMPTY


class SetModelVersionTag(Request):
    name: RequiredStr
    version: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "model-versions/set-tag", access=REGISTERED_MODEL_EDIT)
async def set_model_version_tag(ctx: Context, req: SetModelVersionTag) -> Reply:
    """Set a tag of a version; this does not count as an update."""
    check_name(req.name)
    number = version_number(req.name, req.version)
    check_tag(req.key, req.value, VERSION_TAG_VALUE_LIMIT)
    async with ctx.webhooks.announcing() as news, ctx.db.write() as tx:
        await lock_version(tx, req.name, number)
        await _set_tag(tx, req.name, number, req.key, req.value)
        await version_tag_changed(news, tx, req.name, number, req.key, req.value)
    return EMPTY


async def _set_tag(tx: Tx, name: str, number: int, key: str, value: str) -> None:
    await tx.execute(
        """
        INSERT INTO model_version_tags (workspace, name, version, key, value) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (workspace, key, name, version) DO UPDATE SET value = excluded.value
        """,
        WORKSPACE,
        name,
        number,
        key,
        value,
    )


class DeleteModelVersionTag(Request):
    name: RequiredStr
    version: RequiredStr
    key: RequiredStr


@endpoint("DELETE", "model-versions/delete-tag", access=REGISTERED_MODEL_EDIT)
async def delete_model_version_tag(ctx: Context, req: DeleteModelVersionTag) -> Reply:
    """Take a tag off a version; one that it doesn't have is off already."""
    check_name(req.name)
    number = version_number(req.name, req.version)
    async with ctx.webhooks.announcing() as news, ctx.db.write() as tx:
        await lock_version(tx, req.name, number)
        await tx.execute(
            "DELETE FROM model_version_tags WHERE workspace = $1 AND name = $2 AND version = $3 AND key = $4",
            WORKSPACE,
            req.name,
            number,
            req.key,
        )
        await version_tag_changed(news, tx, req.name, number, req.key, None)
    return EMPTY
