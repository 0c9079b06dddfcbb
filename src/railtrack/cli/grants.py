"""`railtrack grants`: list, set and revoke the grants of single users. Those of roles: `railtrack roles`."""

import argparse
from typing import Any

from railtrack.auth import roles, users
from railtrack.auth.levels import RESOURCE_LEVELS
from railtrack.auth.roles import own_role_name
from railtrack.cli.access_database import add_command, audit, print_row, print_rows, run
from railtrack.cli.roles import add_resource
from railtrack.db import Db
from railtrack.errors import not_found

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    list_command = add_command(
        commands, "list", "List what users may do, by their roles and their own grants.", list_all
    )
    list_command.add_argument("--user", metavar="NAME", help="List this user's only.")
    set_command = add_command(commands, "set", "Grant a user a permission on a resource, or change it.", set_grant)
    set_command.add_argument("user", metavar="USER")
    add_resource(set_command)
    set_command.add_argument("level", metavar="LEVEL", help=f"{', '.join(RESOURCE_LEVELS)}.")
    revoke_command = add_command(commands, "revoke", "Take a user's own grant on a resource away.", revoke)
    revoke_command.add_argument("user", metavar="USER")
    add_resource(revoke_command)


async def list_all(db: Db, options: argparse.Namespace) -> None:
    async with db.read() as tx:
        if options.user:
            listed = [await users.get_user(tx, options.user)]
        else:
            listed = await users.list_users(tx)
        of_users = await roles.roles_of_users(tx, [user.user_id for user in listed])
    rows: list[dict[str, Any]] = []
    for user in listed:
        for role in of_users[user.user_id]:
            name = None if role.name == own_role_name(user.user_id) else role.name
            rows += [
                {
                    "user": user.username,
                    "resource_type": one.resource_type,
                    "resource_id": one.resource_pattern,
                    "permission": one.permission,
                    "role": name,
                }
                for one in role.permissions
            ]
    print_rows(rows, options)


async def set_grant(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        user = await users.get_user(tx, options.user)
        await roles.set_grant(tx, user.user_id, options.resource_type, options.resource_id, options.level)
        detail = f"{options.level} for the user {user.username}"
        await audit(tx, options, "grants set", options.resource_type, options.resource_id, detail)
    text = f"{user.username} has {options.level} on {options.resource_type} {options.resource_id}."
    print_row(_row(options, options.level), options, text)


async def revoke(db: Db, options: argparse.Namespace) -> None:
    resource = f"{options.resource_type} {options.resource_id}"
    async with db.write() as tx:
        user = await users.get_user(tx, options.user)
        if not await roles.remove_grant(tx, user.user_id, options.resource_type, options.resource_id):
            raise not_found(f"{user.username} has no grant on {resource}, unless by a role.")
        detail = f"of the user {user.username}"
        await audit(tx, options, "grants revoke", options.resource_type, options.resource_id, detail)
    print_row(_row(options, None), options, f"{user.username} has no grant on {resource} any more.")


def _row(options: argparse.Namespace, permission: str | None) -> dict[str, Any]:
    return {
        "user": options.user,
        "resource_type": options.resource_type,
        "resource_id": options.resource_id,
        "permission": permission,
    }
