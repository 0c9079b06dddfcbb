"""Run the real MLflow on empty databases of both engines."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
from tests.compat.play import ADMINISTRATOR, FIRST_EXPERIMENT, FIRST_IDS
from tests.servers.databases import WEBHOOK_KEY
from tests.servers.postgres import postgres_server
from tests.servers.processes import die_with_parent, free_port

START_SECONDS = 180

NUMBERED = f"""
    INSERT INTO experiments (experiment_id, name, workspace, lifecycle_stage)
    VALUES ({FIRST_EXPERIMENT}, 'numbers begin here', 'default', 'deleted')
"""


LOGIN_NUMBERED = (
    f"INSERT INTO users (id, username, is_admin) VALUES ({FIRST_IDS['user']}, 'numbers begin here', FALSE)",
    f"INSERT INTO roles (id, name, workspace) VALUES ({FIRST_IDS['role']}, 'numbers begin here', 'default')",
    f"""
    INSERT INTO role_permissions (id, role_id, resource_type, resource_pattern, permission)
    VALUES ({FIRST_IDS["permission"]}, {FIRST_IDS["role"]}, 'run', '*', 'READ')
    """,
    f"""
    INSERT INTO user_role_assignments (id, user_id, role_id)
    VALUES ({FIRST_IDS["assignment"]}, {FIRST_IDS["user"]}, {FIRST_IDS["role"]})
    """,
)
LOGIN_SEQUENCES = {
    "user": "users_id_seq",
    "role": "roles_id_seq",
    "permission": "role_permissions_id_seq",
    "assignment": "user_role_assignments_id_seq",
}


@contextlib.asynccontextmanager
async def both_servers(python: str, *, login: bool = False) -> AsyncIterator[tuple[str, str]]:
    """Yield the URLs of servers on SQLite and PostgreSQL. `python`: an interpreter with mlflow and psycopg2.

    `login`: run MLflow's basic-auth app, whose users are in a database of their own.
    """
    with tempfile.TemporaryDirectory(prefix="mlflow-") as temporary, postgres_server() as postgres:
        folder = Path(temporary)
        async with postgres.scratch_database() as database, postgres.scratch_database() as users:
            servers = []
            for engine, url, of_users in (
                ("sqlite", f"sqlite:///{folder / 'mlflow.db'}", f"sqlite:///{folder / 'users.db'}"),
                ("postgresql", _for_sqlalchemy(database), _for_sqlalchemy(users)),
            ):
                settings = _login(of_users, folder / f"users-{engine}.ini") if login else None
                flags = ("--app-name", "basic-auth") if login else ()
                servers.append(mlflow_server(python, url, folder, settings, flags))
            on_sqlite, on_postgresql = servers
            with on_sqlite as sqlite, on_postgresql as postgresql:
                _run_on_sqlite(folder / "mlflow.db", NUMBERED)
                await _number_postgresql(database)
                if login:
                    _run_on_sqlite(folder / "users.db", *LOGIN_NUMBERED)
                    await _number_users_on_postgresql(users)
                yield sqlite, postgresql


def _for_sqlalchemy(database: str) -> str:
    return database.replace("://", "+psycopg2://", 1)


@contextlib.contextmanager
def mlflow_server(
    python: str, database: str, folder: Path, settings: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the URL of one server. `python`: an interpreter with mlflow; `settings`: further environment variables."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [python, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", database, "--artifacts-destination", str(folder / f"artifacts-{port}"), *flags]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment |= {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": WEBHOOK_KEY, **(settings or {})}
    environment["PATH"] = f"{Path(python).parent}:{environment['PATH']}"
    log = folder / f"mlflow-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, preexec_fn=die_with_parent
        )
    try:
        _wait_until_healthy(f"{url}{environment.get('MLFLOW_STATIC_PREFIX', '')}", process, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _login(users: str, config: Path) -> dict[str, str]:
    """Write a configuration of basic-auth. Return the environment that it needs."""
    username, password = ADMINISTRATOR
    config.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {users}\nadmin_username = {username}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 3600\n"  # of one worker, which drops what it changes; each check of a hash takes long
    )
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for tokens against forged requests",
    }


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    began = time.monotonic()
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        if process.poll() is not None or time.monotonic() - began > START_SECONDS:
            raise RuntimeError(f"MLflow did not start:\n{log.read_text()}")
        time.sleep(0.2)


def _run_on_sqlite(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def _number_postgresql(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(NUMBERED)
        await connection.execute(f"SELECT setval('experiments_experiment_id_seq', {FIRST_EXPERIMENT})")
    finally:
        await connection.close()


async def _number_users_on_postgresql(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        for statement in LOGIN_NUMBERED:
            await connection.execute(statement)
        for kind, sequence in LOGIN_SEQUENCES.items():
            await connection.execute(f"SELECT setval('{sequence}', {FIRST_IDS[kind]})")
    finally:
        await connection.close()
