"""`railtrack users`: list, create, change and delete users, and let an administrator in again who is locked out."""

import argparse
import asyncio
import os
import sys
from typing import Any

from railtrack.auth import users
from railtrack.auth.mlflow_users import import_access, read_access
from railtrack.auth.oidc.accounts import link_user
from railtrack.auth.passwords import check_new_password, generate_password, hash_password
from railtrack.cli.access_database import add_command, audit, print_row, print_rows, run
from railtrack.config.settings import mlflow_users_uri, resolve_all
from railtrack.db import Db
from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError
from railtrack.logs.format import rfc3339

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_command(commands, "list", "List all users.", list_all)
    create_command = add_command(commands, "create", "Create a user, with a one-time password.", create)
    create_command.add_argument("name", metavar="NAME")
    create_command.add_argument("--admin", action="store_true", help="Make it an administrator.")
    passwords = create_command.add_mutually_exclusive_group()
    passwords.add_argument("--password-stdin", action="store_true", help="Read the password from standard input.")
    passwords.add_argument(
        "--no-password", action="store_true", help="Create a service account, which logs in by token only."
    )
    reset_command = add_command(
        commands, "reset", "Give a user a new one-time password, enable it, and end its sessions.", reset
    )
    reset_command.add_argument("name", metavar="NAME")
    reset_command.add_argument("--admin", action="store_true", help="Make it an administrator.")
    reset_command.add_argument("--password-stdin", action="store_true", help="Read the password from standard input.")
    update_command = add_command(
        commands, "update", "Enable or disable a user, or change whether it administers.", update
    )
    update_command.add_argument("name", metavar="NAME")
    update_command.add_argument("--admin", choices=("on", "off"), help="Whether it is an administrator.")
    update_command.add_argument("--disabled", choices=("on", "off"), help="Whether it is kept from logging in.")
    link_command = add_command(
        commands, "link", "Let a subject of the provider of single sign-on log in as a user.", link
    )
    link_command.add_argument("name", metavar="NAME")
    link_command.add_argument(
        "subject", metavar="SUBJECT", help="The provider's id of the user, which the login page shows who has no user."
    )
    link_command.add_argument("--issuer", metavar="URL", help="The provider. Default: RAILTRACK_OIDC_ISSUER.")
    delete_command = add_command(commands, "delete", "Delete a user, with its tokens and sessions.", delete)
    delete_command.add_argument("name", metavar="NAME")
    import_command = add_command(
        commands, "import", "Import users, roles and grants of MLflow's basic-auth app.", import_all
    )
    import_command.add_argument(
        "mlflow_uri",
        metavar="URI",
        nargs="?",
        help="Database of MLflow's users. Default: `database_uri` in the file that MLFLOW_AUTH_CONFIG_PATH names.",
    )


async def import_all(db: Db, options: argparse.Namespace) -> None:
    """Import in one transaction. A second run adds only what is new."""
    uri = options.mlflow_uri or mlflow_users_uri()
    url = parse_database_url(uri, setting="URI of MLflow's users")
    if url.engine == "sqlite" and not os.path.exists(url.path):  # noqa: ASYNC240, PTH110 (nothing else runs here)
        raise StartError(f"There is no database {url.path}.", "Set the `database_uri` of MLflow's basic-auth app.")
    source = open_database(url, connections=1, read_only=True)
    try:
        access = await read_access(source)
    finally:
        await source.close()
    async with db.write() as tx:
        report = await import_access(tx, access)
        text = f"Imported {report.users} users, {report.roles} roles and {report.grants} grants."
        await audit(tx, options, "users import", "", "", text)
    print_row(report._asdict(), options, "\n".join([text, *report.notes]))


async def list_all(db: Db, options: argparse.Namespace) -> None:
    print_rows([_row(user) for user in await users.list_users(db)], options)


async def create(db: Db, options: argparse.Namespace) -> None:
    password, is_generated = (None, False) if options.no_password else _password(options)
    password_hash = None if password is None else await asyncio.to_thread(hash_password, password)
    async with db.write() as tx:
        user = await users.create_user(
            tx, options.name, password_hash, is_admin=options.admin, must_change_password=is_generated
        )
        await audit(tx, options, "users create", "user", user.username, "is_admin: true" if options.admin else "")
    _print_user(user, password if is_generated else None, options, "Created")


async def reset(db: Db, options: argparse.Namespace) -> None:
    password, is_generated = _password(options)
    password_hash = await asyncio.to_thread(hash_password, password)
    async with db.write() as tx:
        user = await users.get_user(tx, options.name)
        await users.set_password(tx, user, password_hash, must_change=is_generated)
        await users.set_disabled(tx, user, is_disabled=False)
        if options.admin:
            await users.set_admin(tx, user, is_admin=True)
        await audit(tx, options, "users reset", "user", user.username, "is_admin: true" if options.admin else "")
        user = await users.get_user(tx, options.name)
    _print_user(user, password if is_generated else None, options, "Reset")


async def update(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        user = await users.get_user(tx, options.name)
        if options.admin:
            await users.set_admin(tx, user, is_admin=options.admin == "on")
            user = await users.get_user(tx, options.name)
        if options.disabled:
            await users.set_disabled(tx, user, is_disabled=options.disabled == "on")
        changes = (("is_admin", options.admin), ("is_disabled", options.disabled))
        detail = ", ".join(f"{name}: {value}" for name, value in changes if value)
        await audit(tx, options, "users update", "user", user.username, detail)
        user = await users.get_user(tx, options.name)
    _print_user(user, None, options, "Updated")


async def link(db: Db, options: argparse.Namespace) -> None:
    issuer = options.issuer or next(one.value for one in resolve_all({}) if one.setting.path == "oidc.issuer")
    if not issuer:
        raise StartError("The provider is unknown.", "Set RAILTRACK_OIDC_ISSUER as for the server, or use --issuer.")
    async with db.write() as tx:
        user = await users.get_user(tx, options.name)
        await link_user(tx, user, issuer, options.subject)
        await audit(tx, options, "users link", "user", user.username, f"{options.subject} at {issuer}")
        user = await users.get_user(tx, options.name)
    _print_user(user, None, options, "Linked")


async def delete(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        user = await users.get_user(tx, options.name)
        await users.delete_user(tx, user)
        await audit(tx, options, "users delete", "user", user.username)
    _print_user(user, None, options, "Deleted")


def _password(options: argparse.Namespace) -> tuple[str, bool]:
    """Return the password of standard input, or a generated one, and whether it was generated."""
    if not options.password_stdin:
        return generate_password(), True
    if not hasattr(options, "read_password"):  # standard input can be read once, and a conflict runs this again
        options.read_password = sys.stdin.readline().rstrip("\r\n")
    check_new_password(options.name, options.read_password)
    return options.read_password, False


def _print_user(user: users.User, one_time_password: str | None, options: argparse.Namespace, done: str) -> None:
    row = _row(user)
    text = f"{done} the user {user.username}."
    if one_time_password is not None:
        row["one_time_password"] = one_time_password
        text += f" One-time password, to be changed at the first login: {one_time_password}"
    print_row(row, options, text)


def _row(user: users.User) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "name": user.username,
        "admin": user.is_admin,
        "disabled": user.is_disabled,
        "password": user.password_hash is not None,
        "must_change_password": user.must_change_password,
        "created": rfc3339(user.created_ms / 1000),
    }
