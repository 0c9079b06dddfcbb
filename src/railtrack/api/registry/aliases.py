"""Aliases of a registered model: each name, such as `champion`, refers to one of its versions."""

from railtrack.api.registry.queries import aliased_version, load_version, lock_model, lock_version, version_response
from railtrack.api.registry.schemas import ModelVersionResponse
from railtrack.auth import ALIAS_DELETE, ALIAS_SET, MODEL_VERSION_READ
from railtrack.context import Context
from railtrack.db.retry import idempotent
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.mlflow.registry_validation import check_alias, check_model_name, check_new_alias, parse_version
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class SetRegisteredModelAlias(Request):
    name: RequiredStr
    alias: RequiredStr
    version: RequiredStr


@endpoint("POST", "registered-models/alias", access=ALIAS_SET)
@idempotent
async def set_registered_model_alias(ctx: Context, req: SetRegisteredModelAlias) -> EmptyResponse:
    """Set an alias to a version, replacing the version it referred to."""
    check_model_name(req.name)
    check_new_alias(req.alias)
    version = parse_version(req.name, req.version)
    async with ctx.webhooks.registry_events() as events, ctx.db.write() as tx:
        await lock_version(tx, req.name, version)
        await tx.execute(
            """
            INSERT INTO registered_model_aliases (workspace, name, alias, version) VALUES ($1, $2, $3, $4)
            ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version
            """,
            DEFAULT_WORKSPACE,
            req.name,
            req.alias,
            version,
        )
        await ctx.audit(tx, "registered_model", req.name, f"alias {req.alias}, version {version}")
        await events.alias_set(tx, req.name, req.alias, version)
    return EMPTY_RESPONSE


class DeleteRegisteredModelAlias(Request):
    name: RequiredStr
    alias: RequiredStr


@endpoint("DELETE", "registered-models/alias", access=ALIAS_DELETE)
@idempotent
async def delete_registered_model_alias(ctx: Context, req: DeleteRegisteredModelAlias) -> EmptyResponse:
    """Delete an alias; deleting a missing one succeeds."""
    check_model_name(req.name)
    check_alias(req.alias)
    async with ctx.webhooks.registry_events() as events, ctx.db.write() as tx:
        await lock_model(tx, req.name)
        await tx.execute(
            "DELETE FROM registered_model_aliases WHERE workspace = $1 AND name = $2 AND alias = $3",
            DEFAULT_WORKSPACE,
            req.name,
            req.alias,
        )
        await ctx.audit(tx, "registered_model", req.name, f"alias {req.alias}")
        await events.alias_deleted(tx, req.name, req.alias)
    return EMPTY_RESPONSE


class GetModelVersionByAlias(Request):
    name: RequiredStr
    alias: RequiredStr


@endpoint("GET", "registered-models/alias", access=MODEL_VERSION_READ)
async def get_model_version_by_alias(ctx: Context, req: GetModelVersionByAlias) -> ModelVersionResponse:
    """Return the version that an alias refers to; `latest` refers to the highest number, whatever its stage."""
    check_model_name(req.name)
    check_alias(req.alias)
    async with ctx.db.read() as tx:
        version = await aliased_version(tx, req.name, req.alias)
        loaded = await load_version(tx, req.name, version)
    return await version_response(ctx, loaded)
