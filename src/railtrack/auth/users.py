"""SQL of users. Callers check who may change them, and hash passwords before they open the transaction.

Every function that changes something takes a transaction, and counts the change in it (state.bump).
"""

import msgspec

from railtrack.auth.roles import delete_own_role
from railtrack.auth.state import bump
from railtrack.clock import now_ms
from railtrack.db import Row, Tx
from railtrack.errors import bad_request, exists, invalid, not_found

USERNAME_LIMIT = 255


class User(msgspec.Struct, frozen=True):
    user_id: int
    username: str
    password_hash: str | None
    is_admin: bool
    is_disabled: bool
    must_change_password: bool
    created_ms: int


SELECT = """
    SELECT user_id, username, password_hash, is_admin, is_disabled, must_change_password, created_ms
    FROM railtrack_users
"""


async def find_user(tx: Tx, username: str) -> User | None:
    if "\0" in username:  # PostgreSQL cannot store it
        return None
    return _user(await tx.fetch_row(f"{SELECT} WHERE username = $1", username))


async def name_in_another_case(tx: Tx, username: str) -> str:
    """Return the name of a user that differs in its capitals only, "" without one."""
    if "\0" in username:
        return ""
    name = await tx.fetch_value("SELECT MIN(username) FROM railtrack_users WHERE LOWER(username) = LOWER($1)", username)
    return str(name or "")


async def get_user(tx: Tx, username: str) -> User:
    """Return the user. Raise RESOURCE_DOES_NOT_EXIST if there is none of that name."""
    user = await find_user(tx, username)
    if user is None:
        raise not_found(f"User with username={username[:USERNAME_LIMIT]} not found")
    return user


async def find_user_by_id(tx: Tx, user_id: int) -> User | None:
    return _user(await tx.fetch_row(f"{SELECT} WHERE user_id = $1", user_id))


async def list_users(tx: Tx) -> list[User]:
    """Return all users by name."""
    rows = await tx.fetch(f"{SELECT} ORDER BY username, user_id")
    return [user for row in rows if (user := _user(row))]


async def create_user(
    tx: Tx, username: str, password_hash: str | None, *, is_admin: bool = False, must_change_password: bool = False
) -> User:
    """Create a user. Without a password hash it can log in by token only."""
    check_username(username)
    await bump(tx)
    if await find_user(tx, username):
        raise exists(f"User (username={username}) already exists.")
    created_ms = now_ms()
    user_id = await tx.fetch_value(
        """
        INSERT INTO railtrack_users (username, password_hash, is_admin, is_disabled, must_change_password, created_ms)
        VALUES ($1, $2, $3, FALSE, $4, $5)
        RETURNING user_id
        """,
        username,
        password_hash,
        is_admin,
        must_change_password,
        created_ms,
    )
    return User(user_id, username, password_hash, is_admin, False, must_change_password, created_ms)


def check_username(username: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for a name that HTTP Basic cannot send, or that looks like another one."""
    if not username or len(username) > USERNAME_LIMIT:
        raise invalid(f"Invalid user name: use 1 to {USERNAME_LIMIT} characters.")
    if ":" in username or not username.isprintable() or username != username.strip():
        raise invalid("Invalid user name: it may not contain colons or control characters, nor begin or end in blanks.")


async def set_password(tx: Tx, user: User, password_hash: str, *, must_change: bool = False) -> None:
    """Replace the password, and end the user's sessions."""
    await bump(tx)
    await tx.execute(
        "UPDATE railtrack_users SET password_hash = $2, must_change_password = $3 WHERE user_id = $1",
        user.user_id,
        password_hash,
        must_change,
    )
    await end_sessions(tx, user)


async def set_admin(tx: Tx, user: User, *, is_admin: bool) -> None:
    """Raise BAD_REQUEST if it would leave no administrator."""
    await bump(tx)
    if not is_admin:
        await _check_not_last_administrator(tx, user)
    await tx.execute("UPDATE railtrack_users SET is_admin = $2 WHERE user_id = $1", user.user_id, is_admin)


async def set_disabled(tx: Tx, user: User, *, is_disabled: bool) -> None:
    """Keep a user from logging in, by any means, or let it in again. Raise BAD_REQUEST for the last administrator."""
    await bump(tx)
    if is_disabled:
        await _check_not_last_administrator(tx, user)
        await end_sessions(tx, user)
    await tx.execute("UPDATE railtrack_users SET is_disabled = $2 WHERE user_id = $1", user.user_id, is_disabled)


async def delete_user(tx: Tx, user: User) -> None:
    """Delete a user with its tokens, sessions and grants. Raise BAD_REQUEST for the last administrator."""
    await bump(tx)
    await _check_not_last_administrator(tx, user)
    await delete_own_role(tx, user.user_id)
    await tx.execute("DELETE FROM railtrack_users WHERE user_id = $1", user.user_id)


async def end_sessions(tx: Tx, user: User) -> None:
    """Log the user out of all browsers. The caller counts the change."""
    await tx.execute("DELETE FROM railtrack_sessions WHERE user_id = $1", user.user_id)


async def has_administrator(tx: Tx, besides_user_id: int = 0) -> bool:
    """Return whether an administrator who can log in exists."""
    found = await tx.fetch_value(
        "SELECT 1 FROM railtrack_users WHERE is_admin AND NOT is_disabled AND user_id <> $1 LIMIT 1", besides_user_id
    )
    return found is not None


async def _check_not_last_administrator(tx: Tx, user: User) -> None:
    if user.is_admin and not user.is_disabled and not await has_administrator(tx, user.user_id):
        raise bad_request(f"{user.username} is the only administrator. Make another user an administrator first.")


def _user(row: Row | None) -> User | None:
    if row is None:
        return None
    user_id, username, password_hash, is_admin, is_disabled, must_change, created_ms = row
    return User(user_id, username, password_hash, bool(is_admin), bool(is_disabled), bool(must_change), created_ms)
