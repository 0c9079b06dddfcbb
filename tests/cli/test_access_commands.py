"""`railtrack users`, `roles`, `grants` and `tokens` on the database of a running server, also to recover a login."""

import contextlib
import json
import re
import sqlite3
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers import databases
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.railtrack import RailtrackServer, command, railtrack_server

from railtrack.auth.passwords import hash_password

ADMIN_PASSWORD = "chosen by the operator"


@pytest.fixture(params=databases.ENGINES)
def server(request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer) -> Iterator[RailtrackServer]:
    with databases.scratch_database(request.param, tmp_path, postgres) as url:
        environment = {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD}
        with railtrack_server(tmp_path / "server", url, environment=environment) as server:
            yield server


def status(server: RailtrackServer, authorization: str) -> int:
    request = urllib.request.Request(
        f"{server.url}/api/2.0/mlflow/experiments/search?max_results=1", headers={"Authorization": authorization}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def basic(username: str, password: str) -> str:
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


def run(server: RailtrackServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `railtrack` with the server's database."""
    return command(server.folder, *arguments, MLFLOW_BACKEND_STORE_URI=server.environment["MLFLOW_BACKEND_STORE_URI"])


def result(server: RailtrackServer, *arguments: str) -> Any:
    done = run(server, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_service_account_gets_a_token_that_is_revoked(server: RailtrackServer) -> None:
    assert result(server, "users", "create", "ci", "--no-password", "--admin")["password"] is False
    created = result(server, "tokens", "create", "ci", "pipeline", "--days", "7")
    assert status(server, f"Bearer {created['token']}") == 200
    [listed] = result(server, "tokens", "list", "--user", "ci")
    assert {**listed, "last_used": None} == {**{key: created[key] for key in listed}, "last_used": None}
    assert created["token"] not in json.dumps(listed)
    assert run(server, "tokens", "revoke", str(listed["token_id"])).stdout == "Revoked the token pipeline.\n"
    wait_until(lambda: status(server, f"Bearer {created['token']}") == 401)
    assert result(server, "tokens", "list") == []
    [revoked] = result(server, "tokens", "list", "--all")
    assert revoked["revoked"] is not None
    assert run(server, "tokens", "revoke", str(listed["token_id"])).returncode == 1
    printed = run(server, "tokens", "create", "ci", "pipeline", "--days", "7")
    assert re.fullmatch(r"rtk_\w+\n", printed.stdout)
    assert re.fullmatch(r"The token expires on \S+Z\.\n", printed.stderr)


def test_an_administrator_who_is_locked_out_gets_in_again(server: RailtrackServer) -> None:
    assert status(server, basic("admin", ADMIN_PASSWORD)) == 200
    done = run(server, "users", "update", "admin", "--disabled", "on")
    assert done.returncode == 1
    assert done.stderr == "Error: admin is the only administrator. Make another user an administrator first.\n"
    password = result(server, "users", "create", "eve", "--admin")["one_time_password"]
    assert status(server, basic("eve", password)) == 403  # it has to be changed
    assert result(server, "users", "update", "admin", "--admin", "off", "--disabled", "on")["disabled"] is True
    wait_until(lambda: status(server, basic("admin", ADMIN_PASSWORD)) == 401)
    text = run(server, "users", "reset", "admin", "--admin").stdout
    assert text.startswith("Reset the user admin. One-time password, to be changed at the first login: ")
    wait_until(lambda: status(server, basic("admin", text.split()[-1])) == 403)
    assert run(server, "users", "delete", "eve").stdout == "Deleted the user eve.\n"
    table = run(server, "users", "list").stdout.splitlines()
    assert table[0].split()[:4] == ["USER", "ID", "NAME", "ADMIN"]
    assert [line.split()[1:5] for line in table[1:]] == [["admin", "yes", "no", "yes"]]


def test_a_user_is_linked_to_a_subject_of_the_provider(server: RailtrackServer) -> None:
    result(server, "users", "create", "sue")
    done = run(server, "users", "link", "sue", "subject-7")
    assert done.stderr.startswith("Error: The provider is unknown.")
    linked = result(server, "users", "link", "sue", "subject-7", "--issuer", "https://id.example.com/")
    assert (linked["password"], linked["must_change_password"]) == (False, False)
    text = run(server, "users", "link", "sue", "subject-7", "--issuer", "https://id.example.com").stdout
    assert text == "Linked the user sue.\n"
    assert "Invalid subject" in run(server, "users", "link", "sue", "", "--issuer", "https://id.example.com").stderr
    result(server, "users", "delete", "sue")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("users", "reset", "nobody"), "User with username=nobody not found"),
        (("users", "create", "admin"), "User (username=admin) already exists."),
        (("users", "create", "a:b"), "Invalid user name"),
        (("tokens", "create", "admin", "x", "--scope", "everything"), "Invalid scope 'everything'."),
        (("tokens", "create", "admin", "x", "--days", "-1"), "Invalid number of days: -1."),
        (("tokens", "revoke", "12345"), "There is no token 12345 that can be revoked."),
    ],
)
@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_an_error_is_one_line(server: RailtrackServer, arguments: tuple[str, ...], message: str) -> None:
    done = run(server, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_database_none_is_created(tmp_path: Path) -> None:
    done = command(tmp_path, "users", "list")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: There is no database {tmp_path}/railtrack-data/mlflow.db.")
    assert not list(tmp_path.iterdir())


def test_roles_and_grants_are_listed_and_changed(server: RailtrackServer) -> None:
    result(server, "users", "create", "bob", "--no-password")
    result(server, "roles", "create", "readers", "--description", "read all")
    assert run(server, "roles", "create", "readers").returncode == 1
    permit = run(server, "roles", "permit", "readers", "experiment", "*", "READ")
    assert permit.stdout == "The role readers has READ on experiment *.\n"
    result(server, "roles", "permit", "readers", "experiment", "*", "USE")
    result(server, "roles", "permit", "readers", "run", "*", "DENY")
    result(server, "roles", "forget", "readers", "run", "*")
    assert "supports only wildcard" in run(server, "roles", "permit", "readers", "run", "1", "READ").stderr
    result(server, "roles", "assign", "readers", "bob")
    assert result(server, "roles", "list") == [
        {"role": "readers", "description": "read all", "permissions": ["USE experiment *"], "users": ["bob"]}
    ]
    assert "USE experiment *" in run(server, "roles", "list").stdout
    granted = run(server, "grants", "set", "bob", "registered_model", "a model", "MANAGE")
    assert granted.stdout == "bob has MANAGE on registered_model a model.\n"
    assert [(one["permission"], one["role"]) for one in result(server, "grants", "list", "--user", "bob")] == [
        ("USE", "readers"),
        ("MANAGE", None),
    ]
    result(server, "grants", "revoke", "bob", "registered_model", "a model")
    again = run(server, "grants", "revoke", "bob", "registered_model", "a model")
    assert (again.returncode, again.stderr) == (
        1,
        "Error: bob has no grant on registered_model a model, unless by a role.\n",
    )
    result(server, "roles", "unassign", "readers", "bob")
    result(server, "roles", "delete", "readers")
    assert result(server, "roles", "list") == result(server, "grants", "list") == []


def test_users_of_mlflow_are_imported_by_its_settings_file(server: RailtrackServer, tmp_path: Path) -> None:
    users = tmp_path / "basic_auth.db"
    with contextlib.closing(sqlite3.connect(users)) as connection, connection:
        connection.execute(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT, is_admin BOOLEAN)"
        )
        connection.execute("INSERT INTO users VALUES (1, 'ada', ?, 0)", (hash_password("a password of hers"),))
    config = tmp_path / "auth.ini"
    config.write_text(f"[mlflow]\ndatabase_uri = sqlite:///{users}\ndefault_permission = READ\n")
    environment = {
        "MLFLOW_BACKEND_STORE_URI": server.environment["MLFLOW_BACKEND_STORE_URI"],
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
    }
    done = command(server.folder, "users", "import", **environment)
    assert (done.returncode, done.stdout) == (0, "Imported 1 users, 0 roles and 0 grants.\n")
    assert status(server, basic("ada", "a password of hers")) == 200
    missing = run(server, "users", "import")
    assert missing.returncode == 1
    assert "MLFLOW_AUTH_CONFIG_PATH" in missing.stderr


def test_commands_and_requests_are_in_the_audit_log(server: RailtrackServer) -> None:
    [start] = result(server, "audit")
    assert (start["action"], start["resource"]) == ("railtrack server", "user admin")
    created = result(server, "users", "create", "bob")
    token = result(server, "tokens", "create", "bob", "laptop")["token"]
    result(server, "roles", "create", "team")
    result(server, "roles", "permit", "team", "experiment", "0", "EDIT")
    result(server, "roles", "assign", "team", "bob")
    result(server, "grants", "set", "bob", "run", "*", "READ")
    result(server, "users", "update", "bob", "--disabled", "on")
    assert status(server, f"Bearer {token}") == 401
    wait_until(lambda: result(server, "audit", "--denied"))
    [denied] = result(server, "audit", "--denied", "--user", "bob", "--since", "1h")
    assert (denied["action"], denied["outcome"], denied["detail"]) == ("login", "denied", "disabled user")
    listed = [(one["action"], one["detail"]) for one in result(server, "audit", "--allowed", "--action", "RAILTRACK")]
    assert listed == [
        ("railtrack users update", "is_disabled: on"),
        ("railtrack grants set", "READ for the user bob"),
        ("railtrack roles assign", "team, to the user bob"),
        ("railtrack roles permit", "team: EDIT on experiment 0"),
        ("railtrack roles create", "team"),
        ("railtrack tokens create", "laptop, scope all, of the user bob"),
        ("railtrack users create", None),
        ("railtrack server", "the first administrator"),
    ]
    everything = run(server, "audit").stdout
    assert not [secret for secret in (token, created["one_time_password"], ADMIN_PASSWORD) if secret in everything]
    assert "USER" in everything
    assert run(server, "audit", "--since", "tomorrow").returncode == 1
