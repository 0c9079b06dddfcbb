"""The routes by which MLflow's clients before 3.x grant permissions, mapped onto the same grants.

These clients deny with NO_PERMISSIONS, which is stored as DENY.
"""

import msgspec

from railtrack.api.users.queries import changed, check_may_grant
from railtrack.api.users.schemas import (
    ExperimentPermission,
    RegisteredModelPermission,
    experiment_permission,
    registered_model_permission,
)
from railtrack.auth import ACCESS
from railtrack.auth.levels import EXPERIMENT, REGISTERED_MODEL
from railtrack.auth.roles import RolePermission, add_grant, find_grant, remove_grant, set_grant
from railtrack.auth.users import User, get_user
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import exists, not_found
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class ExperimentPermissionResponse(msgspec.Struct):
    experiment_permission: ExperimentPermission


class CreateExperimentPermission(Request):
    experiment_id: RequiredStr
    username: RequiredStr
    permission: RequiredStr


@endpoint("POST", "experiments/permissions/create", access=ACCESS, only_with_login=True)
async def create_experiment_permission(ctx: Context, req: CreateExperimentPermission) -> ExperimentPermissionResponse:
    """Grant a permission on an experiment to a user who has none on it."""
    user, grant = await _create(ctx, EXPERIMENT, req.experiment_id, req.username, req.permission)
    return ExperimentPermissionResponse(experiment_permission(user, grant))


class GetExperimentPermission(Request):
    experiment_id: RequiredStr
    username: RequiredStr


@endpoint("GET", "experiments/permissions/get", access=ACCESS, only_with_login=True)
async def get_experiment_permission(ctx: Context, req: GetExperimentPermission) -> ExperimentPermissionResponse:
    """Return a user's own permission on an experiment, which those of its roles may exceed."""
    user, grant = await _get(ctx, EXPERIMENT, req.experiment_id, req.username)
    return ExperimentPermissionResponse(experiment_permission(user, grant))


class UpdateExperimentPermission(Request):
    experiment_id: RequiredStr
    username: RequiredStr
    permission: RequiredStr


@endpoint("PATCH", "experiments/permissions/update", access=ACCESS, only_with_login=True)
async def update_experiment_permission(ctx: Context, req: UpdateExperimentPermission) -> EmptyResponse:
    """Change a user's own permission on an experiment."""
    return await _update(ctx, EXPERIMENT, req.experiment_id, req.username, req.permission)


class DeleteExperimentPermission(Request):
    QUERY_WITHOUT_BODY = True

    experiment_id: RequiredStr
    username: RequiredStr


@endpoint("DELETE", "experiments/permissions/delete", access=ACCESS, only_with_login=True)
async def delete_experiment_permission(ctx: Context, req: DeleteExperimentPermission) -> EmptyResponse:
    """Take a user's own permission on an experiment away."""
    return await _delete(ctx, EXPERIMENT, req.experiment_id, req.username)


class RegisteredModelPermissionResponse(msgspec.Struct):
    registered_model_permission: RegisteredModelPermission


class CreateRegisteredModelPermission(Request):
    name: RequiredStr
    username: RequiredStr
    permission: RequiredStr


@endpoint("POST", "registered-models/permissions/create", access=ACCESS, only_with_login=True)
async def create_registered_model_permission(
    ctx: Context, req: CreateRegisteredModelPermission
) -> RegisteredModelPermissionResponse:
    """Grant a permission on a registered model to a user who has none on it."""
    user, grant = await _create(ctx, REGISTERED_MODEL, req.name, req.username, req.permission)
    return RegisteredModelPermissionResponse(registered_model_permission(user, grant))


class GetRegisteredModelPermission(Request):
    name: RequiredStr
    username: RequiredStr


@endpoint("GET", "registered-models/permissions/get", access=ACCESS, only_with_login=True)
async def get_registered_model_permission(
    ctx: Context, req: GetRegisteredModelPermission
) -> RegisteredModelPermissionResponse:
    """Return a user's own permission on a registered model, which those of its roles may exceed."""
    user, grant = await _get(ctx, REGISTERED_MODEL, req.name, req.username)
    return RegisteredModelPermissionResponse(registered_model_permission(user, grant))


class UpdateRegisteredModelPermission(Request):
    name: RequiredStr
    username: RequiredStr
    permission: RequiredStr


@endpoint("PATCH", "registered-models/permissions/update", access=ACCESS, only_with_login=True)
async def update_registered_model_permission(ctx: Context, req: UpdateRegisteredModelPermission) -> EmptyResponse:
    """Change a user's own permission on a registered model."""
    return await _update(ctx, REGISTERED_MODEL, req.name, req.username, req.permission)


class DeleteRegisteredModelPermission(Request):
    QUERY_WITHOUT_BODY = True

    name: RequiredStr
    username: RequiredStr


@endpoint("DELETE", "registered-models/permissions/delete", access=ACCESS, only_with_login=True)
async def delete_registered_model_permission(ctx: Context, req: DeleteRegisteredModelPermission) -> EmptyResponse:
    """Take a user's own permission on a registered model away."""
    return await _delete(ctx, REGISTERED_MODEL, req.name, req.username)


async def _create(
    ctx: Context, resource_type: str, resource_id: str, username: str, permission: str
) -> tuple[User, RolePermission]:
    await check_may_grant(ctx, resource_type, resource_id)
    async with ctx.db.write() as tx:
        user = await get_user(tx, username)
        if not await add_grant(tx, user.user_id, resource_type, resource_id, _level(permission)):
            title, key = _WORDING[resource_type]
            raise exists(f"{title} permission ({key}={resource_id}, username={username}) already exists.")
        grant = await _find(tx, user, resource_type, resource_id)
        await ctx.audit(tx, resource_type, resource_id, f"{grant.permission} for the user {username}")
    changed(ctx)
    return user, grant


async def _get(ctx: Context, resource_type: str, resource_id: str, username: str) -> tuple[User, RolePermission]:
    await check_may_grant(ctx, resource_type, resource_id)
    async with ctx.db.read() as tx:
        user = await get_user(tx, username)
        return user, await _find(tx, user, resource_type, resource_id)


async def _update(ctx: Context, resource_type: str, resource_id: str, username: str, permission: str) -> EmptyResponse:
    await check_may_grant(ctx, resource_type, resource_id)
    async with ctx.db.write() as tx:
        user = await get_user(tx, username)
        await _find(tx, user, resource_type, resource_id)
        await set_grant(tx, user.user_id, resource_type, resource_id, _level(permission))
        await ctx.audit(tx, resource_type, resource_id, f"{_level(permission)} for the user {username}")
    changed(ctx)
    return EMPTY_RESPONSE


async def _delete(ctx: Context, resource_type: str, resource_id: str, username: str) -> EmptyResponse:
    await check_may_grant(ctx, resource_type, resource_id)
    async with ctx.db.write() as tx:
        user = await get_user(tx, username)
        await _find(tx, user, resource_type, resource_id)
        await remove_grant(tx, user.user_id, resource_type, resource_id)
        await ctx.audit(tx, resource_type, resource_id, f"of the user {username}")
    changed(ctx)
    return EMPTY_RESPONSE


async def _find(tx: Tx, user: User, resource_type: str, resource_id: str) -> RolePermission:
    grant = await find_grant(tx, user.user_id, resource_type, resource_id)
    if grant is None:
        title, key = _WORDING[resource_type]
        raise not_found(f"{title} permission with {key}={resource_id[:500]} and username={user.username} not found")
    return grant


def _level(permission: str) -> str:
    return "DENY" if permission == "NO_PERMISSIONS" else permission


_WORDING = {EXPERIMENT: ("Experiment", "experiment_id"), REGISTERED_MODEL: ("Registered model", "name")}
