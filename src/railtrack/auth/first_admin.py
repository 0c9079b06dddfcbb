"""Create the first administrator at the start. Any number of starters may do this at once: one of them creates it."""

import asyncio
import logging
import os
from pathlib import Path

from railtrack.auth.audit import record_command
from railtrack.auth.passwords import check_new_password, generate_password, hash_password
from railtrack.auth.state import bump
from railtrack.auth.users import check_username, create_user, find_user, has_administrator
from railtrack.config.settings import AuthSettings
from railtrack.db import Db
from railtrack.errors import ApiError, StartError, describe_os_error
from railtrack.logs.format import START

log = logging.getLogger("railtrack")


async def create_first_administrator(db: Db, settings: AuthSettings, *, is_audited: bool = False) -> None:
    """Create an administrator if there is none.

    Its password is the setting's, or a random one that is logged or written to a file, once, and has to be changed.
    Raise StartError if a setting is invalid or the file cannot be written; then no user is created.
    """
    username = settings.admin_username
    try:
        check_username(username)
        if settings.admin_password:
            check_new_password(username, settings.admin_password)
    except ApiError as error:
        raise StartError(f"MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD: {error.message}") from None
    if await has_administrator(db):
        return
    password = settings.admin_password or generate_password()
    password_hash = await asyncio.to_thread(hash_password, password)
    is_generated = not settings.admin_password
    async with db.write() as tx:
        await bump(tx)  # locks out other starters
        if await has_administrator(tx):
            return
        if await find_user(tx, username):
            log.warning(
                "No administrator can log in. Make %s one: railtrack users reset %s --admin",
                username,
                username,
            )
            return
        await create_user(tx, username, password_hash, is_admin=True, must_change_password=is_generated)
        if is_audited:
            await record_command(tx, "railtrack server", "user", username, "the first administrator")
        if is_generated and settings.password_file:
            write_secret(Path(settings.password_file), password)
    # Only the process that has created the user gets here: no other one knows the password.
    if not is_generated:
        START.info("Created the administrator %s with the password of MLFLOW_AUTH_ADMIN_PASSWORD", username)
    elif settings.password_file:
        START.info(
            "Created the administrator %s. Its one-time password, to be changed at the first login, is in %s",
            username,
            settings.password_file,
        )
    else:
        START.info(
            "Created the administrator %s. Its one-time password, to be changed at the first login: %s",
            username,
            password,
        )


def write_secret(path: Path, secret: str) -> None:
    """Write a file that only this user can read, in one step. Raise StartError if that fails."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secret}\n")
        temporary.replace(path)
    except OSError as error:
        raise StartError(
            f"RAILTRACK_AUTH_PASSWORD_FILE: cannot write {str(path)!r}: {describe_os_error(error)}.",
            "Set it to a file in a folder that the server may write to.",
        ) from None
