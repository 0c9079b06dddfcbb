"""Fill databases by old versions of MLflow, and record them, and what MLflow's own upgrade makes of them.

python -m tests.db.old_databases.record: <version>.<engine>.sql.gz is the database, <version>.<engine>.json.gz the rows
of all tables after `mlflow db upgrade` of the newest MLflow. The old versions are in .cache/mlflow-<version>.
"""

import contextlib
import gzip
import json
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.db.catalogue import catalogue
from tests.servers import databases
from tests.servers.databases import ENGINES, scratch_database
from tests.servers.postgres import PostgresServer, embedded_binaries, postgres_server

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache"
VERSIONS = ("2.9.2", "2.14.3", "2.22.0", "3.1.0", "3.10.0", "3.16.1", "3.17.2")
NEWEST = "3.18.0"


def python_of(version: str) -> str:
    return str(CACHE / f"mlflow-{version}" / "bin" / "python")


def run_mlflow(version: str, *arguments: str, folder: str) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": folder, "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([python_of(version), *arguments], check=True, capture_output=True, cwd=folder, env=environ)


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg2:")


def recorded_text(name: str) -> str:
    return gzip.decompress((HERE / name).read_bytes()).decode()


def all_rows(url: str) -> dict[str, list[str]]:
    """Return all rows as text. The time at which an upgrade ended a job is left out."""
    tables = catalogue(url)["tables"]
    return {name: sorted(map(_row_text, databases.rows(url, f"SELECT * FROM {name}"))) for name in tables}


def _row_text(row: Iterable[Any]) -> str:
    return repr(["now" if isinstance(value, int) and 1_760_000_000_000 < value < 10**13 else value for value in row])


def recorded_rows(version: str, engine: str) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = json.loads(recorded_text(f"{version}.{engine}.json.gz"))
    return rows


def dump(url: str) -> str:
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return "\n".join(connection.iterdump())
    command = [str(embedded_binaries() / "pg_dump"), "--inserts", "--rows-per-insert=100", "--no-owner", "-d", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # psql's commands, and settings that older servers do not have.
    lines = (line for line in text.splitlines() if not line.startswith(("\\", "--", "SET transaction_timeout")))
    return "\n".join(line for line in lines if line)


def write(name: str, text: str) -> None:
    (HERE / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def record(version: str, engine: str, postgres: PostgresServer) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        scratch_database(engine, Path(folder), postgres) as url,
    ):
        run_mlflow(version, str(HERE / "fill.py"), sqlalchemy_url(url), folder=folder)
        write(f"{version}.{engine}.sql.gz", dump(url))
        run_mlflow(NEWEST, "-m", "mlflow", "db", "upgrade", sqlalchemy_url(url), folder=folder)
        write(f"{version}.{engine}.json.gz", json.dumps(all_rows(url), ensure_ascii=False, indent=0))


def main() -> None:
    with postgres_server() as postgres:
        for version in VERSIONS:
            for engine in ENGINES:
                record(version, engine, postgres)


if __name__ == "__main__":
    main()
