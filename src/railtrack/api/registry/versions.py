"""Model versions: get, update, stages, delete, and their tags. Creation is in create_version.py."""

import msgspec

from railtrack.api.registry.queries import (
    add_aliases,
    check_model,
    latest_versions,
    load_version,
    lock_version,
    storage_location,
    version_response,
    without_denied_runs,
)
from railtrack.api.registry.schemas import DELETED_STAGE, ModelVersion, ModelVersionResponse
from railtrack.auth import MODEL_VERSION_DELETE, MODEL_VERSION_EDIT, MODEL_VERSION_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.db.retry import idempotent
from railtrack.db.sql import bind
from railtrack.errors import invalid
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.mlflow.registry_validation import (
    ACTIVE_STAGES,
    VERSION_TAG_VALUE_LIMIT,
    canonical_stage,
    check_description,
    check_model_name,
    check_tag,
    parse_version,
)
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class GetModelVersion(Request):
    name: RequiredStr
    version: RequiredStr


@endpoint("GET", "model-versions/get", access=MODEL_VERSION_READ)
async def get_model_version(ctx: Context, req: GetModelVersion) -> ModelVersionResponse:
    """Return a version with its tags and aliases; a deleted one doesn't exist."""
    check_model_name(req.name)
    async with ctx.db.read() as tx:
        loaded = await load_version(tx, req.name, parse_version(req.name, req.version))
    return await version_response(ctx, loaded)


class GetModelVersionDownloadUri(Request):
    name: RequiredStr
    version: RequiredStr


class DownloadUriResponse(msgspec.Struct):
    artifact_uri: str


@endpoint("GET", "model-versions/get-download-uri", access=MODEL_VERSION_READ)
async def get_model_version_download_uri(ctx: Context, req: GetModelVersionDownloadUri) -> DownloadUriResponse:
    """Return the location of the version's files."""
    check_model_name(req.name)
    return DownloadUriResponse(await storage_location(ctx.db, req.name, parse_version(req.name, req.version)))


class GetLatestVersions(Request):
    name: RequiredStr
    stages: list[str] = []


class LatestVersionsResponse(msgspec.Struct, omit_defaults=True):
    model_versions: list[ModelVersion] = []


@endpoint("POST", "registered-models/get-latest-versions", access=MODEL_VERSION_READ, is_read=True)
@endpoint("GET", "registered-models/get-latest-versions", access=MODEL_VERSION_READ)
async def get_latest_versions(ctx: Context, req: GetLatestVersions) -> LatestVersionsResponse:
    """Return the latest version of each stage, or of each of `stages`, with its tags and aliases."""
    check_model_name(req.name)
    async with ctx.db.read() as tx:
        await check_model(tx, req.name)
        stages = {canonical_stage(stage) for stage in set(req.stages)}
        latest = await latest_versions(tx, [req.name])
        versions = [version for version in latest if not stages or version.current_stage in stages]
        await add_aliases(tx, req.name, versions)
    return LatestVersionsResponse(await without_denied_runs(ctx, versions))


class UpdateModelVersion(Request):
    name: RequiredStr
    version: RequiredStr
    description: str | None = None


@endpoint("PATCH", "model-versions/update", access=MODEL_VERSION_EDIT)
@idempotent
async def update_model_version(ctx: Context, req: UpdateModelVersion) -> ModelVersionResponse:
    """Replace a version's description, without updating the model. As in MLflow, a request without one clears it."""
    check_model_name(req.name)
    version = parse_version(req.name, req.version)
    check_description(req.description or "")
    async with ctx.db.write() as tx:
        await lock_version(tx, req.name, version)
        await tx.execute(
            *bind(
                """
                UPDATE model_versions SET description = :description, last_updated_time = :now
                WHERE workspace = :workspace AND name = :name AND version = :version
                """,
                workspace=DEFAULT_WORKSPACE,
                name=req.name,
                version=version,
                description=req.description,
                now=now_ms(),
            )
        )
        loaded = await load_version(tx, req.name, version)
    return await version_response(ctx, loaded)


class TransitionModelVersionStage(Request):
    name: RequiredStr
    version: RequiredStr
    stage: RequiredStr
    archive_existing_versions: bool = False


@endpoint("POST", "model-versions/transition-stage", access=MODEL_VERSION_EDIT)
@idempotent
async def transition_model_version_stage(ctx: Context, req: TransitionModelVersionStage) -> ModelVersionResponse:
    """Move a version to a stage. `archive_existing_versions` archives the other versions in that stage."""
    check_model_name(req.name)
    version = parse_version(req.name, req.version)
    stage = canonical_stage(req.stage)
    if req.archive_existing_versions and stage not in ACTIVE_STAGES:
        raise invalid(
            f"Model version transition cannot archive existing model versions because '{stage}' is not an Active "
            f"stage. Valid stages are {list(ACTIVE_STAGES)}"
        )
    now = now_ms()
    async with ctx.db.write() as tx:
        await _touch_version(tx, req.name, version, now)
        await tx.execute(
            *bind(
                """
                UPDATE model_versions SET last_updated_time = :now,
                    current_stage = CASE WHEN version = :version THEN CAST(:stage AS TEXT) ELSE 'Archived' END
                WHERE workspace = :workspace AND name = :name
                    AND (version = :version OR (:archive AND current_stage = :stage))
                """,
                workspace=DEFAULT_WORKSPACE,
                name=req.name,
                version=version,
                stage=stage,
                archive=req.archive_existing_versions,
                now=now,
            )
        )
        await ctx.audit(tx, "registered_model", req.name, f"version {version}, stage {stage}")
        loaded = await load_version(tx, req.name, version)
    return await version_response(ctx, loaded)


async def _touch_version(tx: Tx, name: str, version: int, now: int) -> None:
    """Update the model's time, then lock the version: all writers take the locks in this order, or two could deadlock.

    Raise RESOURCE_DOES_NOT_EXIST if there is no such version.
    """
    await tx.execute(
        "UPDATE registered_models SET last_updated_time = $3 WHERE workspace = $1 AND name = $2",
        DEFAULT_WORKSPACE,
        name,
        now,
    )
    await lock_version(tx, name, version)


class DeleteModelVersion(Request):
    name: RequiredStr
    version: RequiredStr


@endpoint("DELETE", "model-versions/delete", access=MODEL_VERSION_DELETE)
async def delete_model_version(ctx: Context, req: DeleteModelVersion) -> EmptyResponse:
    """Delete a version and its aliases. As in MLflow, its row remains, redacted, which keeps its number reserved."""
    check_model_name(req.name)
    version = parse_version(req.name, req.version)
    now = now_ms()
    async with ctx.db.write() as tx:
        await _touch_version(tx, req.name, version, now)
        await tx.execute(
            *bind(
                """
                UPDATE model_versions SET current_stage = :stage, last_updated_time = :now,
                    description = NULL, user_id = NULL, source = 'REDACTED-SOURCE-PATH', run_id = 'REDACTED-RUN-ID',
                    run_link = 'REDACTED-RUN-LINK', status_message = NULL
                WHERE workspace = :workspace AND name = :name AND version = :version
                """,
                workspace=DEFAULT_WORKSPACE,
                name=req.name,
                version=version,
                stage=DELETED_STAGE,
                now=now,
            )
        )
        await tx.execute(
            "DELETE FROM registered_model_aliases WHERE workspace = $1 AND name = $2 AND version = $3",
            DEFAULT_WORKSPACE,
            req.name,
            version,
        )
        tx.set_commit_check(
            """
            SELECT 1 FROM model_versions WHERE workspace = $1 AND name = $2 AND version = $3 AND current_stage = $4
            """,
            DEFAULT_WORKSPACE,
            req.name,
            version,
            DELETED_STAGE,
        )
        await ctx.audit(tx, "registered_model", req.name, f"version {version}")
    return EMPTY_RESPONSE


class SetModelVersionTag(Request):
    name: RequiredStr
    version: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "model-versions/set-tag", access=MODEL_VERSION_EDIT)
@idempotent
async def set_model_version_tag(ctx: Context, req: SetModelVersionTag) -> EmptyResponse:
    """Set a tag of a version, without updating its `last_updated_timestamp`."""
    check_model_name(req.name)
    version = parse_version(req.name, req.version)
    check_tag(req.key, req.value, VERSION_TAG_VALUE_LIMIT)
    async with ctx.webhooks.registry_events() as events, ctx.db.write() as tx:
        await lock_version(tx, req.name, version)
        await tx.execute(
            *bind(
                """
                INSERT INTO model_version_tags (workspace, name, version, key, value)
                VALUES (:workspace, :name, :version, :key, :value)
                ON CONFLICT (workspace, key, name, version) DO UPDATE SET value = excluded.value
                """,
                workspace=DEFAULT_WORKSPACE,
                name=req.name,
                version=version,
                key=req.key,
                value=req.value,
            )
        )
        await events.version_tag_set(tx, req.name, version, req.key, req.value)
    return EMPTY_RESPONSE


class DeleteModelVersionTag(Request):
    name: RequiredStr
    version: RequiredStr
    key: RequiredStr


@endpoint("DELETE", "model-versions/delete-tag", access=MODEL_VERSION_DELETE)
@idempotent
async def delete_model_version_tag(ctx: Context, req: DeleteModelVersionTag) -> EmptyResponse:
    """Delete a tag of a version; deleting a missing one succeeds."""
    check_model_name(req.name)
    version = parse_version(req.name, req.version)
    async with ctx.webhooks.registry_events() as events, ctx.db.write() as tx:
        await lock_version(tx, req.name, version)
        await tx.execute(
            "DELETE FROM model_version_tags WHERE workspace = $1 AND name = $2 AND version = $3 AND key = $4",
            DEFAULT_WORKSPACE,
            req.name,
            version,
            req.key,
        )
        await events.version_tag_deleted(tx, req.name, version, req.key)
    return EMPTY_RESPONSE
