"""Import of users, roles and grants from the database of MLflow's basic-auth app, of MLflow 2 or 3.

Password hashes are taken over as they are: users keep their passwords, which are hashed again at the next login.
"""

from collections import Counter
from typing import NamedTuple

from railtrack.auth import roles, users
from railtrack.auth.levels import EXPERIMENT, REGISTERED_MODEL, check_grant
from railtrack.auth.passwords import verify_password
from railtrack.auth.state import bump
from railtrack.auth.users import User
from railtrack.db import Db, Tx
from railtrack.errors import ApiError, StartError
from railtrack.mlflow.ids import DEFAULT_WORKSPACE

SHIPPED_PASSWORD = "password1234"  # noqa: S105 (the one that everybody knows)
"""The administrator's password that MLflow shipped before 3.17. MLflow rejects it as well."""
USER_LIMIT = 100_000
OLDER_TABLES = {
    "experiment_permissions": (EXPERIMENT, "experiment_id"),
    "registered_model_permissions": (REGISTERED_MODEL, "name"),
}
"""Tables of the grants of single users, with the resource type and the column of its id."""
OLDER_REVISIONS = ("8606fa83a998", "2ed73881770d", "0965eb92f5f0", "a1b2c3d4e5f6", "c3d4e5f6a7b8")
"""Revisions of MLflow's tables that use OLDER_TABLES. Later ones have the same in roles, and keep those unread."""


class MlflowUser(NamedTuple):
    user_id: int
    username: str
    password_hash: str
    is_admin: bool


class MlflowGrant(NamedTuple):
    resource_type: str
    resource_id: str
    permission: str


class MlflowRole(NamedTuple):
    name: str
    description: str | None
    user_ids: list[int]
    grants: list[MlflowGrant]


class MlflowAccess(NamedTuple):
    """What a database of MLflow's has. `other_workspaces`: the number of roles that were left out."""

    users: list[MlflowUser]
    roles: list[MlflowRole]
    other_workspaces: int


class ImportReport(NamedTuple):
    """What was imported. `users` are new; `notes` have what was not imported, and why."""

    users: int
    roles: int
    grants: int
    notes: list[str]


async def read_access(db: Db) -> MlflowAccess:
    """Read MLflow's tables. Raise StartError if the database has none."""
    async with db.read() as tx:
        tables = await _tables(tx)
        if "users" not in tables:
            raise StartError(
                "The database has no table `users` of MLflow's basic-auth app.",
                "Use the `database_uri` of its settings.",
            )
        rows = await tx.fetch(
            "SELECT id, username, password_hash, is_admin FROM users ORDER BY id LIMIT $1", USER_LIMIT + 1
        )
        if len(rows) > USER_LIMIT:
            raise StartError(f"The database has more than {USER_LIMIT} users.")
        found = [MlflowUser(number, name, hashed or "", bool(admin)) for number, name, hashed, admin in rows]
        has_roles = {"roles", "role_permissions", "user_role_assignments"} <= tables
        its_roles, others = await _roles(tx) if has_roles else ([], 0)
        revision = None
        if "alembic_version_auth" in tables:
            revision = await tx.fetch_value("SELECT version_num FROM alembic_version_auth")
        if not has_roles or revision in OLDER_REVISIONS:
            its_roles += await _older_grants(tx, tables)
        return MlflowAccess(found, its_roles, others)


async def _tables(tx: Tx) -> set[str]:
    # The engines have no common catalogue.
    rows = await tx.fetch(
        tx.per_dialect(
            postgresql="SELECT tablename FROM pg_tables WHERE schemaname = ANY(current_schemas(FALSE))",
            sqlite="SELECT name FROM sqlite_master WHERE type = 'table'",
        )
    )
    return {name for (name,) in rows}


async def _roles(tx: Tx) -> tuple[list[MlflowRole], int]:
    found: dict[int, MlflowRole] = {}
    others = 0
    for number, name, workspace, description in await tx.fetch(
        "SELECT id, name, workspace, description FROM roles ORDER BY id"
    ):
        if workspace == DEFAULT_WORKSPACE:
            found[number] = MlflowRole(name, description, [], [])
        else:
            others += 1
    for number, kind, pattern, permission in await tx.fetch(
        "SELECT role_id, resource_type, resource_pattern, permission FROM role_permissions ORDER BY id"
    ):
        if number in found:
            found[number].grants.append(MlflowGrant(kind, pattern, permission))
    for number, user_id in await tx.fetch("SELECT role_id, user_id FROM user_role_assignments ORDER BY id"):
        if number in found:
            found[number].user_ids.append(user_id)
    return list(found.values()), others


async def _older_grants(tx: Tx, tables: set[str]) -> list[MlflowRole]:
    """Return the grants of single users as roles."""
    found: dict[int, MlflowRole] = {}
    for table, (kind, column) in OLDER_TABLES.items():
        if table not in tables:
            continue
        has_workspaces = kind == REGISTERED_MODEL and "workspace_permissions" in tables
        where = f"WHERE workspace = '{DEFAULT_WORKSPACE}'" if has_workspaces else ""
        # The names are constants of this module.
        for user_id, resource_id, permission in await tx.fetch(
            f"SELECT user_id, {column}, permission FROM {table} {where} ORDER BY user_id, {column}"  # noqa: S608
        ):
            role = found.setdefault(user_id, MlflowRole(roles.own_role_name(user_id), None, [user_id], []))
            role.grants.append(MlflowGrant(kind, str(resource_id), permission))
    return list(found.values())


async def import_access(tx: Tx, access: MlflowAccess) -> ImportReport:
    """Add what is not there yet, in one transaction. Existing users keep password and rank; grants are added to them.

    An administrator with the password that MLflow shipped can log in only after it was given another one.
    """
    await bump(tx)
    notes: list[str] = []
    imported: dict[int, User] = {}
    new = 0
    for one in access.users:
        existing = await users.find_user(tx, one.username)
        if existing is not None:
            notes.append(f"User {one.username}: exists already; its password was not changed.")
            imported[one.user_id] = existing
            continue
        try:
            imported[one.user_id] = await users.create_user(
                tx, one.username, _usable_hash(one, notes), is_admin=one.is_admin
            )
            new += 1
        except ApiError as error:
            notes.append(f"User {one.username!r}: not imported. {error.message}")
    own = {roles.own_role_name(one.user_id): one.user_id for one in access.users}
    counts = Counter[str]()
    for role in access.roles:
        if role.name in own:
            if user := imported.get(own[role.name]):
                await _import_own_grants(tx, user, role, counts, notes)
        else:
            await _import_role(tx, role, imported, counts, notes)
    if access.other_workspaces:
        notes.append(f"{access.other_workspaces} roles of other workspaces: not imported. There is one workspace here.")
    if not await users.has_administrator(tx):
        notes.append("No administrator can log in. Make one: railtrack users reset NAME --admin")
    return ImportReport(new, counts["roles"], counts["grants"], notes)


def _usable_hash(user: MlflowUser, notes: list[str]) -> str | None:
    """Return the hash, or None for one that must not, or cannot, be used."""
    advice = f"Give it a new password: railtrack users reset {user.username}"
    if user.is_admin and verify_password(SHIPPED_PASSWORD, user.password_hash):
        notes.append(f"User {user.username}: has the password that MLflow shipped, so it cannot log in. {advice}")
        return None
    if not user.password_hash.startswith(("scrypt:", "pbkdf2:sha256:", "pbkdf2:sha512:")):
        notes.append(f"User {user.username}: the kind of its password's hash is unknown, so it cannot log in. {advice}")
        return None
    return user.password_hash


async def _import_own_grants(tx: Tx, user: User, role: MlflowRole, counts: Counter[str], notes: list[str]) -> None:
    for grant in role.grants:
        permission = _permission(grant, f"User {user.username}", notes)
        if permission and await roles.add_grant(tx, user.user_id, grant.resource_type, grant.resource_id, permission):
            counts["grants"] += 1


async def _import_role(
    tx: Tx, role: MlflowRole, imported: dict[int, User], counts: Counter[str], notes: list[str]
) -> None:
    target = await roles.find_role(tx, role.name)
    if target is None:
        try:
            target = await roles.create_role(tx, role.name, role.description)
        except ApiError as error:
            notes.append(f"Role {role.name!r}: not imported. {error.message}")
            return
        counts["roles"] += 1
    known = {(one.resource_type, one.resource_pattern) for one in target.permissions}
    for grant in role.grants:
        permission = _permission(grant, f"Role {role.name}", notes)
        if permission and (grant.resource_type, grant.resource_id) not in known:
            await roles.add_permission(tx, target.role_id, grant.resource_type, grant.resource_id, permission)
            counts["grants"] += 1
    assigned = {one.user_id for one in await roles.list_assignments(tx, target.role_id)}
    for user_id in role.user_ids:
        user = imported.get(user_id)
        if user is not None and user.user_id not in assigned:
            await roles.assign_role(tx, user.user_id, target.role_id)


def _permission(grant: MlflowGrant, owner: str, notes: list[str]) -> str:
    """Return the permission to store, "" for a grant that has no effect. MLflow 2 denies with NO_PERMISSIONS."""
    permission = "DENY" if grant.permission == "NO_PERMISSIONS" else grant.permission
    try:
        check_grant(grant.resource_type, grant.resource_id, permission)
    except ApiError as error:
        notes.append(
            f"{owner}: {permission} on {grant.resource_type} {grant.resource_id!r} not imported. {error.message}"
        )
        return ""
    return permission
