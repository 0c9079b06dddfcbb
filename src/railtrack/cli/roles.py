"""`railtrack roles`: list, create and delete roles, change what they permit, and assign them to users."""

import argparse
from typing import Any

from railtrack.auth import roles, users
from railtrack.auth.levels import ANY, RESOURCE_LEVELS, RESOURCE_TYPES
from railtrack.auth.roles import Role
from railtrack.cli.access_database import add_command, audit, print_row, print_rows, run
from railtrack.db import Db, Tx
from railtrack.errors import not_found

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_command(commands, "list", "List roles, with what they permit and who has them.", list_all)
    create_command = add_command(commands, "create", "Create a role without permissions.", create)
    create_command.add_argument("role", metavar="ROLE")
    create_command.add_argument("--description", metavar="TEXT")
    _add_role(add_command(commands, "delete", "Delete a role. Its users lose its permissions.", delete))
    permit_command = add_command(commands, "permit", "Let a role permit something, or change the level.", permit)
    _add_role(permit_command)
    add_resource(permit_command)
    permit_command.add_argument("level", metavar="LEVEL", help=f"{', '.join(RESOURCE_LEVELS)}.")
    forget_command = add_command(commands, "forget", "Take a permission away from a role.", forget)
    _add_role(forget_command)
    add_resource(forget_command)
    for name, summary, work in (
        ("assign", "Assign a role to a user.", assign),
        ("unassign", "Take a role away from a user.", unassign),
    ):
        command = add_command(commands, name, summary, work)
        _add_role(command)
        command.add_argument("user", metavar="USER")


def _add_role(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("role", metavar="ROLE")


def add_resource(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a resource."""
    parser.add_argument("resource_type", metavar="TYPE", help=f"One of {', '.join(RESOURCE_TYPES)}.")
    parser.add_argument("resource_id", metavar="ID", help=f"Its id or name, or '{ANY}' for all of the type.")


async def list_all(db: Db, options: argparse.Namespace) -> None:
    async with db.read() as tx:
        names = {user.user_id: user.username for user in await users.list_users(tx)}
        stored = [role for role in await roles.list_roles(tx) if not role.name.startswith(roles.RESERVED_PREFIX)]
        rows = []
        for role in stored:
            assigned = [names[one.user_id] for one in await roles.list_assignments(tx, role.role_id)]
            rows.append(_row(role, assigned, as_json=options.json))
    print_rows(rows, options)


def _row(role: Role, assigned: list[str], *, as_json: bool) -> dict[str, Any]:
    permissions = [f"{one.permission} {one.resource_type} {one.resource_pattern}" for one in role.permissions]
    return {
        "role": role.name,
        "description": role.description,
        "permissions": permissions if as_json else "; ".join(permissions) or None,
        "users": assigned if as_json else ", ".join(assigned) or None,
    }


async def create(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        role = await roles.create_role(tx, options.role, options.description)
        await audit(tx, options, "roles create", "role", str(role.role_id), role.name)
    print_row(_row(role, [], as_json=True), options, f"Created the role {role.name}.")


async def delete(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        role = await _role(tx, options.role)
        await roles.delete_role(tx, role.role_id)
        await audit(tx, options, "roles delete", "role", str(role.role_id), role.name)
    print_row({"role": role.name}, options, f"Deleted the role {role.name}.")


async def permit(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        role = await _role(tx, options.role)
        found = _permission_id(role, options)
        if found is None:
            await roles.add_permission(tx, role.role_id, options.resource_type, options.resource_id, options.level)
        else:
            await roles.update_permission(tx, found, options.level)
        detail = f"{role.name}: {options.level} on {options.resource_type} {options.resource_id}"
        await audit(tx, options, "roles permit", "role", str(role.role_id), detail)
    resource = f"{options.resource_type} {options.resource_id}"
    row = {"role": role.name, "permission": f"{options.level} {resource}"}
    print_row(row, options, f"The role {role.name} has {options.level} on {resource}.")


async def forget(db: Db, options: argparse.Namespace) -> None:
    resource = f"{options.resource_type} {options.resource_id}"
    async with db.write() as tx:
        role = await _role(tx, options.role)
        found = _permission_id(role, options)
        if found is None:
            raise not_found(f"The role {role.name} has no permission on {resource}.")
        await roles.remove_permission(tx, found)
        await audit(tx, options, "roles forget", "role", str(role.role_id), f"{role.name}: {resource}")
    print_row({"role": role.name}, options, f"The role {role.name} has no permission on {resource} any more.")


def _permission_id(role: Role, options: argparse.Namespace) -> int | None:
    resource = (options.resource_type, options.resource_id)
    found = [one for one in role.permissions if (one.resource_type, one.resource_pattern) == resource]
    return found[0].permission_id if found else None


async def assign(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        user, role = await users.get_user(tx, options.user), await _role(tx, options.role)
        await roles.assign_role(tx, user.user_id, role.role_id)
        detail = f"{role.name}, to the user {user.username}"
        await audit(tx, options, "roles assign", "role", str(role.role_id), detail)
    print_row({"role": role.name, "user": user.username}, options, f"{user.username} has the role {role.name}.")


async def unassign(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        user, role = await users.get_user(tx, options.user), await _role(tx, options.role)
        await roles.unassign_role(tx, user.user_id, role.role_id)
        detail = f"{role.name}, of the user {user.username}"
        await audit(tx, options, "roles unassign", "role", str(role.role_id), detail)
    text = f"{user.username} no longer has the role {role.name}."
    print_row({"role": role.name, "user": user.username}, options, text)


async def _role(tx: Tx, name: str) -> Role:
    role = await roles.find_role(tx, name)
    if role is None:
        raise not_found(f"Role {name[:200]!r} not found.")
    return role
