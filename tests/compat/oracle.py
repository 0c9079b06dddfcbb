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
from tests.compat.play import FIRST_EXPERIMENT
from tests.servers.databases import WEBHOOK_KEY
from tests.servers.postgres import postgres_server
from tests.servers.processes import die_with_parent, free_port

START_SECONDS = 180

NUMBERED = f"""
    INSERT INTO experiments (experiment_id, name, workspace, lifecycle_stage)
    VALUES ({FIRST_EXPERIMENT}, 'numbers begin here', 'default', 'deleted')
"""


@contextlib.asynccontextmanager
async def both_servers(python: str) -> AsyncIterator[tuple[str, str]]:
    """Yield the URLs of servers on SQLite and PostgreSQL. `python`: an interpreter with mlflow and psycopg2."""
    with tempfile.TemporaryDirectory(prefix="mlflow-") as temporary, postgres_server() as postgres:
        folder = Path(temporary)
        async with postgres.scratch_database() as database:
            on_sqlite = mlflow_server(python, f"sqlite:///{folder / 'mlflow.db'}", folder)
            on_postgresql = mlflow_server(python, database.replace("://", "+psycopg2://", 1), folder)
            with on_sqlite as sqlite, on_postgresql as postgresql:
                _number_sqlite(folder / "mlflow.db")
                await _number_postgresql(database)
                yield sqlite, postgresql


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


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    began = time.monotonic()
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        if process.poll() is not None or time.monotonic() - began > START_SECONDS:
            raise RuntimeError(f"MLflow did not start:\n{log.read_text()}")
        time.sleep(0.2)


def _number_sqlite(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(NUMBERED)


async def _number_postgresql(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(NUMBERED)
        await connection.execute(f"SELECT setval('experiments_experiment_id_seq', {FIRST_EXPERIMENT})")
    finally:
        await connection.close()
