"""The users of a provider: whom a login belongs to, who may log in, and which roles the groups give.

A user is known by issuer and subject. Name and e-mail only name a new user, and never give access to an existing one.
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from railtrack.auth.oidc.id_token import SUBJECT_LIMIT, Claims
from railtrack.auth.roles import assign_role, find_role, roles_of_users, unassign_role
from railtrack.auth.state import bump
from railtrack.auth.users import User, check_username, create_user, find_user_by_id, set_admin
from railtrack.clock import now_ms
from railtrack.config.login_settings import OidcSettings
from railtrack.db import Tx
from railtrack.errors import ApiError, invalid

log = logging.getLogger("railtrack")

GOOGLE = "https://accounts.google.com"
GROUPS_LIMIT = 10_000
ID_TOKEN_LIMIT = 16 * 1024
"""Characters of an ID token that is stored for the logout. A longer one would not fit into a URL either."""


class NotAllowed(Exception):
    """The provider has logged the user in, but the user may not use this server. The message is for the user."""


class ProviderUser(msgspec.Struct, frozen=True):
    """Who has logged in, by the claims of the ID token. `username`: for a new user, "" if there is no usable one."""

    issuer: str
    subject: str
    username: str
    groups: frozenset[str]


def needed_claims(settings: OidcSettings) -> list[str]:
    """Return the claims that logins need; of nested ones, the outermost."""
    needed = [settings.username_claim]
    if settings.allowed_domains:
        needed.append("email")
    if settings.admin_groups or settings.allowed_groups or settings.group_roles:
        needed.append(settings.groups_claim)
    return [name.partition(".")[0] for name in needed]


def provider_user(claims: Claims, settings: OidcSettings) -> ProviderUser:
    """Return the user of validated claims. Raise NotAllowed for who may not log in, by domain or group."""
    _check_domain(claims, settings)
    groups = _claim(claims, settings.groups_claim)
    names = groups if isinstance(groups, list) else [groups]
    user = ProviderUser(
        claims["iss"].rstrip("/"),
        claims["sub"],
        _username(claims, settings.username_claim),
        frozenset(name for name in names[:GROUPS_LIMIT] if isinstance(name, str)),
    )
    if settings.allowed_groups and user.groups.isdisjoint(settings.allowed_groups):
        raise NotAllowed("You are in none of the groups that may use this server.")
    return user


class LoggedIn(NamedTuple):
    """The user of a login, and what the login has changed, in words for the audit log."""

    user: User
    changes: list[str]


async def log_in_provider_user(tx: Tx, login: ProviderUser, settings: OidcSettings) -> LoggedIn:
    """Return the user of a login, with the roles that its groups give now. Create it at the first login.

    Raise NotAllowed if there is no user and none is created, or if it is disabled.
    """
    changes: list[str] = []
    user = await _find(tx, login)
    if user is None:
        await bump(tx)  # locks out other first logins
        user = await _find(tx, login)
    if user is None:
        user = await _create(tx, login, settings)
        changes.append("created the user")
    if user.is_disabled:
        raise NotAllowed(f"The user {user.username} is disabled.")
    if settings.admin_groups:
        is_admin = not login.groups.isdisjoint(settings.admin_groups)
        if is_admin != user.is_admin and await _set_admin(tx, user, is_admin):
            user = msgspec.structs.replace(user, is_admin=is_admin)
            changes.append(f"is_admin: {str(is_admin).lower()}")
    if settings.group_roles:
        changes += await _update_roles(tx, user, login.groups, dict(settings.group_roles))
    return LoggedIn(user, changes)


async def link_user(tx: Tx, user: User, issuer: str, subject: str) -> None:
    """Let a subject of the provider log in as this user, and no longer as another one.

    A one-time password ends: who logs in at the provider could not change it.
    """
    if not subject or len(subject) > SUBJECT_LIMIT or not subject.isprintable():
        raise invalid(f"Invalid subject: use 1 to {SUBJECT_LIMIT} printable characters.")
    await bump(tx)
    issuer = issuer.rstrip("/")
    await tx.execute("DELETE FROM railtrack_oidc_users WHERE issuer = $1 AND subject = $2", issuer, subject)
    await _insert(tx, user.user_id, issuer, subject)
    await tx.execute(
        """
        UPDATE railtrack_users SET password_hash = NULL, must_change_password = FALSE
        WHERE user_id = $1 AND must_change_password
        """,
        user.user_id,
    )


async def mark_session(tx: Tx, session_hash: str, id_token: str) -> None:
    """Record that a session began at the provider."""
    await tx.execute(
        "INSERT INTO railtrack_oidc_sessions (session_hash, id_token) VALUES ($1, $2)",
        session_hash,
        id_token if len(id_token) <= ID_TOKEN_LIMIT else "",
    )


async def id_token_of_session(tx: Tx, session_hash: str) -> str | None:
    """Return the ID token of a session that began at the provider, "" if it is not stored; None for other sessions."""
    id_token: str | None = await tx.fetch_value(
        "SELECT id_token FROM railtrack_oidc_sessions WHERE session_hash = $1", session_hash
    )
    return id_token


async def _find(tx: Tx, login: ProviderUser) -> User | None:
    user_id = await tx.fetch_value(
        "SELECT user_id FROM railtrack_oidc_users WHERE issuer = $1 AND subject = $2", login.issuer, login.subject
    )
    return None if user_id is None else await find_user_by_id(tx, user_id)


async def _create(tx: Tx, login: ProviderUser, settings: OidcSettings) -> User:
    link = f"An administrator can connect one: railtrack users link NAME {login.subject}"
    if not settings.creates_users:
        raise NotAllowed(f"You have no user on this server. {link}")
    if not login.username:
        raise NotAllowed(
            f"The provider sends no usable name for you in the claim {settings.username_claim}"
            + (", or has not verified the address." if settings.username_claim == "email" else ".")
        )
    # Without regard to case: `Admin` would look like `admin`.
    if await tx.fetch_value("SELECT 1 FROM railtrack_users WHERE LOWER(username) = LOWER($1)", login.username):
        raise NotAllowed(f"The name {login.username} belongs to another user of this server. {link}")
    user = await create_user(tx, login.username, None)
    await _insert(tx, user.user_id, login.issuer, login.subject)
    return user


async def _insert(tx: Tx, user_id: int, issuer: str, subject: str) -> None:
    await tx.execute(
        "INSERT INTO railtrack_oidc_users (issuer, subject, user_id, created_ms) VALUES ($1, $2, $3, $4)",
        issuer,
        subject,
        user_id,
        now_ms(),
    )


async def _set_admin(tx: Tx, user: User, is_admin: bool) -> bool:
    """Return False for the last administrator: somebody has to be able to administer the server."""
    try:
        await set_admin(tx, user, is_admin=is_admin)
    except ApiError:
        log.warning("%s remains administrator, being the only one, but is in no group of administrators", user.username)
        return False
    return True


async def _update_roles(tx: Tx, user: User, groups: frozenset[str], group_roles: Mapping[str, str]) -> list[str]:
    """Assign the roles of the user's groups, and take away those of other groups. Return what has changed.

    Roles that no group gives stay as they are.
    """
    wanted = {role for group, role in group_roles.items() if group in groups}
    held = await _held_roles(tx, user)
    lost = held.keys() & set(group_roles.values()) - wanted
    gained = []
    for name in sorted(wanted - held.keys()):
        role = await find_role(tx, name)
        if role is None:
            log.warning("RAILTRACK_OIDC_GROUP_ROLES: there is no role %r. Create it: railtrack roles create", name)
        else:
            gained.append(role)
    if not lost and not gained:
        return []
    await bump(tx)  # locks out another login of the user, which may just have changed the same roles
    held = await _held_roles(tx, user)
    changes = []
    for name in sorted(lost & held.keys()):
        await unassign_role(tx, user.user_id, held[name])
        changes.append(f"lost the role {name}")
    for role in gained:
        if role.name not in held:
            await assign_role(tx, user.user_id, role.role_id)
            changes.append(f"got the role {role.name}")
    return changes


async def _held_roles(tx: Tx, user: User) -> dict[str, int]:
    """Return the ids of the user's roles, by name."""
    return {role.name: role.role_id for role in (await roles_of_users(tx, [user.user_id]))[user.user_id]}


def _check_domain(claims: Claims, settings: OidcSettings) -> None:
    if not settings.allowed_domains:
        return
    if claims["iss"] == GOOGLE:
        # Anybody can have a Google account with the address of a foreign domain. The organization has `hd` only.
        domain = claims.get("hd")
    else:
        email = claims.get("email")
        is_address = isinstance(email, str) and "@" in email
        domain = str(email).rpartition("@")[2] if is_address and _is_verified(claims) else ""
    if not isinstance(domain, str) or domain.lower() not in settings.allowed_domains:
        raise NotAllowed("Your verified e-mail address is of no domain that may use this server.")


def _username(claims: Claims, claim: str) -> str:
    value = _claim(claims, claim)
    if not isinstance(value, str) or (claim == "email" and not _is_verified(claims)):
        return ""
    try:
        check_username(value)
    except ApiError:
        return ""
    return value


def _is_verified(claims: Claims) -> bool:
    verified = claims.get("email_verified")
    return verified is True or verified == "true"


def _claim(claims: Claims, path: str) -> Any:
    """Return a claim by its name, or by the names of nested objects with dots in between; None if there is none."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
