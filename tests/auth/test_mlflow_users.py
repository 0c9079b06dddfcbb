"""Import of users, roles and grants from MLflow's database, in the schemas of MLflow 2 and 3."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.auth.conftest import basic
from tests.client import Client
from tests.servers.postgres import PostgresServer

from railtrack.auth import roles, users
from railtrack.auth.mlflow_users import ImportReport, import_access, read_access
from railtrack.auth.passwords import hash_password
from railtrack.db import Db
from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError

USERS = """
    CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY, username VARCHAR(255), password_hash VARCHAR(255),
        is_admin BOOLEAN)
"""
ROLES = (
    """
    CREATE TABLE roles (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, workspace VARCHAR(63) NOT NULL,
        description VARCHAR(1024))
    """,
    """
    CREATE TABLE role_permissions (id INTEGER NOT NULL PRIMARY KEY, role_id INTEGER NOT NULL,
        resource_type VARCHAR(64) NOT NULL, resource_pattern VARCHAR(255) NOT NULL, permission VARCHAR(255) NOT NULL)
    """,
    """
    CREATE TABLE user_role_assignments (id INTEGER NOT NULL PRIMARY KEY, user_id INTEGER NOT NULL,
        role_id INTEGER NOT NULL)
    """,
)
SINGLE_GRANTS = (
    """
    CREATE TABLE experiment_permissions (id INTEGER NOT NULL PRIMARY KEY, experiment_id VARCHAR(255) NOT NULL,
        user_id INTEGER NOT NULL, permission VARCHAR(255))
    """,
    """
    CREATE TABLE registered_model_permissions (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL,
        user_id INTEGER NOT NULL, permission VARCHAR(255))
    """,
    """
    INSERT INTO experiment_permissions VALUES (1, '1', 7, 'MANAGE'), (2, '2', 7, 'NO_PERMISSIONS'), (3, '01', 7, 'READ')
    """,
    "INSERT INTO registered_model_permissions VALUES (1, 'a model', 7, 'EDIT')",
)
VERSION = "CREATE TABLE alembic_version_auth (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
MLFLOW_2 = (USERS, "INSERT INTO users VALUES (1, 'admin', '{hash}', TRUE), (7, 'ada', '{hash}', FALSE)", *SINGLE_GRANTS)
MLFLOW_3 = (
    USERS,
    """
    INSERT INTO users VALUES (1, 'admin', '{hash}', TRUE), (7, 'ada', '{hash}', FALSE), (8, 'a:b', '{hash}', FALSE),
        (9, 'bob', 'argon2$x', FALSE)
    """,
    *ROLES,
    """
    INSERT INTO roles VALUES (1, 'readers', 'default', 'read all'), (2, '__user_7__', 'default', NULL),
        (3, 'far', 'elsewhere', NULL)
    """,
    """
    INSERT INTO role_permissions VALUES (1, 1, 'experiment', '*', 'READ'), (2, 1, 'run', '*', 'DENY'),
        (3, 2, 'registered_model', 'a model', 'MANAGE'), (4, 3, 'experiment', '*', 'MANAGE'),
        (5, 1, 'table', '*', 'READ')
    """,
    "INSERT INTO user_role_assignments VALUES (1, 7, 1), (2, 7, 2), (3, 7, 3), (4, 9, 1)",
    *SINGLE_GRANTS,  # which this version no longer reads
    VERSION,
    "INSERT INTO alembic_version_auth VALUES ('f1a2b3c4d5e6')",
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def mlflow(request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer) -> AsyncIterator[Db]:
    """Yield an empty database for MLflow's users."""
    if request.param == "sqlite":
        db = open_database(parse_database_url(f"sqlite:///{tmp_path / 'users.db'}"), connections=1)
        yield db
        await db.close()
        return
    async with postgres.scratch_database() as url:
        db = open_database(parse_database_url(url), connections=1)
        yield db
        await db.close()


async def fill(mlflow: Db, statements: tuple[str, ...], password_hash: str) -> None:
    async with mlflow.write() as tx:
        for statement in statements:
            await tx.execute(statement.replace("{hash}", password_hash))


async def imported(mlflow: Db, db: Db) -> ImportReport:
    access = await read_access(mlflow)
    async with db.write() as tx:
        return await import_access(tx, access)


async def grants_of(db: Db, username: str) -> dict[str, set[tuple[str, str, str]]]:
    """Return the permissions of a user by the name of the role, "own" for its own."""
    user = await users.get_user(db, username)
    found = await roles.roles_of_users(db, [user.user_id])
    return {
        "own" if role.name == roles.own_role_name(user.user_id) else role.name: {
            (one.resource_type, one.resource_pattern, one.permission) for one in role.permissions
        }
        for role in found[user.user_id]
    }


async def test_users_and_grants_of_mlflow_2_are_imported(mlflow: Db, db: Db, password_hash: str) -> None:
    await fill(mlflow, MLFLOW_2, password_hash)
    report = await imported(mlflow, db)
    assert report[:3] == (2, 0, 3)
    [note] = report.notes
    assert "experiment '01' not imported" in note
    assert (await users.get_user(db, "admin")).is_admin
    assert await grants_of(db, "ada") == {
        "own": {
            ("experiment", "1", "MANAGE"),
            ("experiment", "2", "DENY"),
            ("registered_model", "a model", "EDIT"),
        }
    }


async def test_roles_of_mlflow_3_are_imported_and_a_second_time_nothing(mlflow: Db, db: Db, password_hash: str) -> None:
    await fill(mlflow, MLFLOW_3, password_hash)
    report = await imported(mlflow, db)
    assert report[:3] == (3, 1, 3)
    assert len(report.notes) == 4
    assert "'a:b': not imported" in report.notes[0]
    assert "bob: the kind of its password's hash is unknown" in report.notes[1]
    assert "table" in report.notes[2]
    assert "1 roles of other workspaces" in report.notes[3]
    assert await grants_of(db, "ada") == {
        "readers": {("experiment", "*", "READ"), ("run", "*", "DENY")},
        "own": {("registered_model", "a model", "MANAGE")},
    }
    assert set(await grants_of(db, "bob")) == {"readers"}
    again = await imported(mlflow, db)
    assert again[:3] == (0, 0, 0)
    assert set(await grants_of(db, "ada")) == {"readers", "own"}


async def test_an_imported_user_logs_in_with_its_password(
    mlflow: Db, db: Db, server: Client, password_hash: str
) -> None:
    await fill(mlflow, MLFLOW_2, password_hash)
    await imported(mlflow, db)
    assert (await server.get("users/current", headers=basic("ada"))).json["user"]["username"] == "ada"
    assert (await server.get("users/current", headers=basic("ada", "another one"))).status == 401


async def test_an_existing_user_keeps_its_password_and_gets_the_grants(mlflow: Db, db: Db, password_hash: str) -> None:
    async with db.write() as tx:
        await users.create_user(tx, "ada", None)
        await users.create_user(tx, "root", None, is_admin=True)
    await fill(mlflow, MLFLOW_2, password_hash)
    report = await imported(mlflow, db)
    assert report.users == 1
    assert "ada: exists already" in report.notes[0]
    assert (await users.get_user(db, "ada")).password_hash is None
    assert len((await grants_of(db, "ada"))["own"]) == 3


async def test_an_administrator_with_the_shipped_password_cannot_log_in(mlflow: Db, db: Db, server: Client) -> None:
    await fill(mlflow, MLFLOW_2, hash_password("password1234"))
    report = await imported(mlflow, db)
    assert "admin: has the password that MLflow shipped" in report.notes[0]
    assert (await server.get("users/current", headers=basic("admin", "password1234"))).status == 401


async def test_a_database_without_users_is_an_error(mlflow: Db, db: Db) -> None:
    with pytest.raises(StartError, match="no table `users`"):
        await read_access(mlflow)
