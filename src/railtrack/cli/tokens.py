"""`railtrack tokens`: list, create and revoke API tokens."""

import argparse
import sys
from typing import Any

from railtrack.auth import tokens, users
from railtrack.cli.access_database import add_command, audit, print_row, print_rows, run
from railtrack.clock import now_ms
from railtrack.db import Db
from railtrack.errors import invalid, not_found
from railtrack.logs.format import rfc3339

__all__ = ["configure", "run"]

DAY_MS = 24 * 60 * 60 * 1000
DAYS, DAYS_LIMIT = 90, 3650


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    list_command = add_command(commands, "list", "List tokens that can be used. Their text is not stored.", list_all)
    list_command.add_argument("--user", metavar="NAME", help="List this user's only.")
    list_command.add_argument("--all", action="store_true", help="List revoked and expired tokens, too.")
    create_command = add_command(
        commands, "create", "Create a token for a user, and print it. It is not stored.", create
    )
    create_command.add_argument("user", metavar="USER")
    create_command.add_argument("name", metavar="NAME", help="What the token is for, such as a machine.")
    create_command.add_argument(
        "--scope", default="all", help="all, read, experiment:<id> or registered_model:<name> (default: all)."
    )
    create_command.add_argument(
        "--days", type=int, default=DAYS, help=f"Days until it expires, 0 for never (default: {DAYS})."
    )
    revoke_command = add_command(commands, "revoke", "Revoke a token.", revoke)
    revoke_command.add_argument("token_id", metavar="ID", type=int, help="As `railtrack tokens list` prints it.")


async def list_all(db: Db, options: argparse.Namespace) -> None:
    async with db.read() as tx:
        names = {user.user_id: user.username for user in await users.list_users(tx)}
        user_id = (await users.get_user(tx, options.user)).user_id if options.user else None
        stored = await tokens.list_tokens(tx, user_id)
    now = now_ms()
    shown = [token for token in stored if options.all or token.is_active(now)]
    print_rows([_row(token, names[token.user_id]) for token in shown], options)


async def create(db: Db, options: argparse.Namespace) -> None:
    if not 0 <= options.days <= DAYS_LIMIT:
        raise invalid(f"Invalid number of days: {options.days}. Use 0 to {DAYS_LIMIT}.")
    expires_ms = now_ms() + options.days * DAY_MS if options.days else None
    async with db.write() as tx:
        user = await users.get_user(tx, options.user)
        token = await tokens.create_token(tx, user.user_id, options.name, scope=options.scope, expires_ms=expires_ms)
        stored, *_ = await tokens.list_tokens(tx, user.user_id)
        detail = f"{stored.name}, scope {stored.scope}, of the user {user.username}"
        await audit(tx, options, "tokens create", "token", str(stored.token_id), detail)
    print_row({**_row(stored, user.username), "token": token}, options, token)
    if stored.expires_ms is not None and not options.json:  # not on stdout, which scripts capture
        print(f"The token expires on {_time(stored.expires_ms)}.", file=sys.stderr)


async def revoke(db: Db, options: argparse.Namespace) -> None:
    async with db.write() as tx:
        token = next((one for one in await tokens.list_tokens(tx) if one.token_id == options.token_id), None)
        if token is None or not await tokens.revoke_token(tx, token.token_id, token.user_id):
            raise not_found(f"There is no token {options.token_id} that can be revoked.")
        await audit(tx, options, "tokens revoke", "token", str(token.token_id), token.name)
    print_row({"token_id": token.token_id, "name": token.name}, options, f"Revoked the token {token.name}.")


def _row(token: tokens.ApiToken, username: str) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "user": username,
        "name": token.name,
        "begins_with": token.hint,
        "scope": token.scope,
        "created": _time(token.created_ms),
        "expires": _time(token.expires_ms),
        "last_used": _time(token.last_used_ms),
        "revoked": _time(token.revoked_ms),
    }


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else rfc3339(milliseconds / 1000)
