"""Aliases: names that a registered model gives to one of its versions each (`champion`)."""

from railtrack.api.registry.events import alias_changed
from railtrack.api.registry.names import check_alias, check_name, check_new_alias, version_number
from railtrack.api.registry.queries import WORKSPACE, aliased_version, load_version, lock_model, lock_version
from railtrack.api.registry.schemas import ModelVersionResponse
from railtrack.auth import REGISTERED_MODEL_EDIT, REGISTERED_MODEL_READ
from railtrack.context import Context
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint


class SetRegisteredModelAlias(Request):
    name: RequiredStr
    alias: RequiredStr
    version: RequiredStr


@endpoint("POST", "registered-models/alias", access=REGISTERED_MODEL_EDIT)
async def set_registered_model_alias(ctx: Context, req: SetRegisteredModelAlias) -> Reply:
    """Let an alias mean a version, and no longer another."""
    check_name(req.name)
    check_new_alias(req.alias)
    number = version_number(req.name, req.version)
    async with ctx.webhooks.announcing() as news, ctx.db.write() as tx:
        await lock_version(tx, req.name, number)
        await tx.execute(
            """
            INSERT INTO registered_model_aliases (workspace, name, alias, version) VALUES ($1, $2, $3, $4)
            ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version
            """,
            WORKSPACE,
            req.name,
            req.alias,
            number,
        )
        await alias_changed(news, tx, req.name, req.alias, number)
    return EMPTY


class DeleteRegisteredModelAlias(Request):
    name: RequiredStr
    alias: RequiredStr


@endpoint("DELETE", "registered-models/alias", access=REGISTERED_MODEL_EDIT)
async def delete_registered_model_alias(ctx: Context, req: DeleteRegisteredModelAlias) -> Reply:
    """Let an alias mean nothing; one that means nothing already is fine."""
    check_name(req.name)
    check_alias(req.alias)
    async with ctx.webhooks.announcing() as news, ctx.db.write() as tx:
        await lock_model(tx, req.name)
        await tx.execute(
            "DELETE FROM registered_model_aliases WHERE workspace = $1 AND name = $2 AND alias = $3",
            WORKSPACE,
            req.name,
            req.alias,
        )
        await alias_changed(news, tx, req.name, req.alias, None)
    return EMPTY


class GetModelVersionByAlias(Request):
    name: RequiredStr
    alias: RequiredStr


@endpoint("GET", "registered-models/alias", access=REGISTERED_MODEL_READ)
async def get_model_version_by_alias(ctx: Context, req: GetModelVersionByAlias) -> Reply:
    """The version that an alias means; `latest` means the one with the highest number, whatever its stage."""
    check_name(req.name)
    check_alias(req.alias)
    async with ctx.db.read() as tx:
        return ModelVersionResponse(await load_version(tx, req.name, await aliased_version(tx, req.name, req.alias)))
