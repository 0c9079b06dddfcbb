"""Opening a database at start: waiting, creating, recognizing, rejecting, and several starts at once."""

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from tests.db.catalogue import catalogue, rows
from tests.db.record_catalogue import recorded
from tests.db.with_mlflow import FOLDERS, REFERENCE, mlflow_store
from tests.servers import databases
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster, PostgresServer, postgres_cluster
from tests.servers.processes import TIMEOUT_S, free_port, wait_until

from railtrack.db import Engine, schema
from railtrack.db.open import open_database, prepare, wait_for_database
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError

LOCATION = "mlflow-artifacts:/0"
LONG = 120
"""Seconds that a start may wait for its database where the test is about something that comes before."""


def start(url: str, *, wait: float = 0) -> None:
    """What the server's start does with the database."""

    async def started() -> None:
        address = parse_database_url(url)
        db = open_database(address, connections=1)
        try:
            await wait_for_database(db, address, wait)
            await prepare(db, address, default_location=LOCATION)
        finally:
            await db.close()

    asyncio.run(started())


def start_error(url: str, *, wait: float = 0) -> str:
    """The one line with which a start on this database ends."""
    with pytest.raises(StartError) as error:
        start(url, wait=wait)
    line = str(error.value)
    assert "\n" not in line
    assert "MLFLOW_BACKEND_STORE_URI" in line
    return line


def run_sql(url: str, *statements: str) -> None:
    if url.startswith("sqlite:"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
    else:
        asyncio.run(databases.run_sql(url, *statements))


def is_complete(url: str, version: str = REFERENCE) -> bool:
    record = recorded(url.partition(":")[0], version)
    return bool(catalogue(url) == record["catalogue"] and rows(url) == record["rows"])


# Waiting


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster(fsync=False, password="pä ss@/#?%") as cluster:
        yield cluster


def test_a_password_of_special_characters_opens_the_door(cluster: PostgresCluster) -> None:
    start(cluster.url)


def test_a_wrong_password_ends_the_wait_at_once(cluster: PostgresCluster) -> None:
    url = f"postgresql://postgres:wrong@{cluster.url.rpartition('@')[2]}"
    began = time.monotonic()
    line = start_error(url, wait=LONG)
    assert time.monotonic() - began < LONG
    assert 'password authentication failed for user "postgres"' in line
    assert "wrong" not in line
    assert "postgresql://postgres:***@127.0.0.1" in line


def test_a_missing_database_ends_the_wait_at_once(cluster: PostgresCluster) -> None:
    began = time.monotonic()
    line = start_error(cluster.database_url("nowhere"), wait=LONG)
    assert time.monotonic() - began < LONG
    assert 'database "nowhere" does not exist' in line
    assert "Create that database" in line


@pytest.mark.slow
def test_an_address_where_nothing_listens_times_out_after_the_wait() -> None:
    began = time.monotonic()
    line = start_error(f"postgresql://user:secret@127.0.0.1:{free_port()}/railway", wait=1)
    assert 1 <= time.monotonic() - began < LONG
    assert line.startswith("Could not connect to backend store postgresql://user:***@127.0.0.1")
    assert "secret" not in line


def test_a_host_without_an_address_times_out_after_the_wait() -> None:
    assert "Could not connect to backend store" in start_error("postgresql://user@no.such.host.invalid/railway", wait=0)


def test_a_server_without_tls_is_not_taken_where_it_is_required(cluster: PostgresCluster) -> None:
    assert "rejected SSL upgrade" in start_error(f"{cluster.url}?sslmode=require")


def test_the_start_waits_for_a_server_that_comes_later_and_logs_it(
    cluster: PostgresCluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("railtrack.db.open.LOG_INTERVAL_S", 0.3)
    where = f" of {LONG} s for PostgreSQL at 127.0.0.1:{urlsplit(cluster.url).port}: "

    def waiting_lines() -> list[str]:
        return [line for line in caplog.messages if line.startswith("Waited ") and where in line]

    cluster.stop()
    with ThreadPoolExecutor() as pool, caplog.at_level("INFO", "railtrack"):
        starter = pool.submit(start, cluster.url, wait=LONG)
        wait_until(lambda: len(waiting_lines()) >= 2)
        assert not starter.done()
        cluster.start()
        starter.result(TIMEOUT_S)
    assert quote("pä ss@/#?%", safe="") not in caplog.text


def test_a_sqlite_file_in_a_missing_folder_is_rejected(tmp_path: Path) -> None:
    assert "unable to open database file" in start_error(f"sqlite:///{tmp_path}/missing/mlflow.db")


def test_a_file_that_is_not_a_database_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("This is no SQLite file, and long enough to be looked at as if it were one. " * 20)
    assert "file is not a database" in start_error(f"sqlite:///{path}")
    assert path.read_text().startswith("This is no")


# Creating, recognizing, rejecting


@pytest.mark.mlflow
@pytest.mark.parametrize("version", FOLDERS)
def test_a_database_that_mlflow_made_is_taken_as_it_is(url: str, version: str) -> None:
    mlflow_store("create", url, version)
    before = rows(url)
    start(url)
    assert is_complete(url, version)
    assert rows(url) == before


def test_a_database_without_any_experiment_gets_the_default_one(url: str) -> None:
    # `mlflow db upgrade` on an empty database makes the tables but no experiment.
    start(url)
    run_sql(url, "DELETE FROM experiments")
    start(url)
    assert is_complete(url)


def test_the_default_experiment_stays_away_where_another_one_is(url: str) -> None:
    start(url)
    run_sql(url, "UPDATE experiments SET experiment_id = 7, name = 'mine'")
    start(url)
    assert [row[:2] for row in rows(url)["experiments"]] == [[7, "mine"]]


def test_tables_are_created_beside_those_of_another_application(url: str) -> None:
    run_sql(url, "CREATE TABLE customers (id INTEGER)", "INSERT INTO customers VALUES (1)")
    start(url)
    assert rows(url)["customers"] == [[1]]
    run_sql(url, "DROP TABLE customers")
    assert is_complete(url)


def test_another_applications_tables_with_names_of_mlflow_are_rejected(url: str) -> None:
    run_sql(url, "CREATE TABLE jobs (id INTEGER)", "CREATE TABLE tags (id INTEGER)")
    line = start_error(url)
    assert "names that MLflow uses: jobs, tags" in line
    assert "CREATE DATABASE mlflow" in line
    assert set(catalogue(url)["tables"]) == {"jobs", "tags"}


def test_another_applications_alembic_version_is_rejected(url: str) -> None:
    run_sql(url, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    run_sql(url, "INSERT INTO alembic_version VALUES ('0123456789ab')")
    assert "another application, which has an alembic_version table" in start_error(url)
    assert rows(url) == {"alembic_version": [["0123456789ab"]]}


@pytest.mark.parametrize(
    ("revision", "command"),
    [
        ("UPDATE alembic_version SET version_num = '75868b020152'", "railtrack db upgrade"),
        ("DELETE FROM alembic_version", "mlflow db upgrade"),
    ],
    ids=["the revision before", "no revision"],
)
def test_an_older_database_is_rejected_with_the_command_that_upgrades_it(url: str, revision: str, command: str) -> None:
    start(url)
    run_sql(url, revision)
    before = rows(url)
    # The command for PostgreSQL reads the server's variables: its URL has a password.
    if command.startswith("railtrack") and parse_database_url(url).engine == "sqlite":
        command += f" {parse_database_url(url).masked}"
    assert command in start_error(url)
    assert rows(url) == before


def test_a_database_of_mlflow_3_17_2_is_served_unchanged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    start(url)
    tables = ("skill_aliases", "skill_version_tags", "skill_tags", "skill_versions", "skills", "issue_categories")
    run_sql(
        url,
        "UPDATE alembic_version SET version_num = 'dc11669786a5'",
        *(f"DROP TABLE {table}" for table in tables),
        "DROP INDEX index_issues_experiment_updated",
        "DROP INDEX index_issues_experiment_last_seen",
        *(f"ALTER TABLE issues DROP COLUMN {name}" for name in ("metadata", "last_updated_by", "last_seen_timestamp")),
    )
    assert is_complete(url, "3.17.2")
    caplog.clear()
    start(url)
    assert is_complete(url, "3.17.2")
    assert caplog.messages == []


def test_a_newer_database_is_served_when_all_is_there_that_we_need(url: str) -> None:
    start(url)
    run_sql(
        url,
        "UPDATE alembic_version SET version_num = 'ffffffffffff'",
        "ALTER TABLE runs ADD COLUMN novelty VARCHAR(20)",
        "ALTER TABLE params ADD COLUMN kind INTEGER NOT NULL DEFAULT 0",
        "DROP TABLE scheduler_leases",
    )
    start(url)
    assert rows(url)["alembic_version"] == [["ffffffffffff"]]


def test_a_newer_database_is_rejected_if_it_lacks_columns(url: str) -> None:
    start(url)
    run_sql(
        url,
        "UPDATE alembic_version SET version_num = 'ffffffffffff'",
        "ALTER TABLE metrics RENAME COLUMN step TO stride",
        "DROP TABLE input_tags",
    )
    line = start_error(url)
    assert "It lacks metrics.step, input_tags.input_uuid, input_tags.name, input_tags.value." in line
    assert "newer MLflow (revision ffffffffffff)" in line


def test_a_newer_database_is_rejected_if_it_requires_unknown_columns(postgres: PostgresServer, tmp_path: Path) -> None:
    # SQLite can't add such a column to a table that is there.
    with scratch_database("postgresql", tmp_path, postgres) as url:
        start(url)
        run_sql(
            url,
            "UPDATE alembic_version SET version_num = 'ffffffffffff'",
            "ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL",
        )
        assert "It requires values for runs.owner." in start_error(url)


def test_another_schema_of_the_same_database_is_empty(postgres: PostgresServer, tmp_path: Path) -> None:
    with scratch_database("postgresql", tmp_path, postgres) as url:
        run_sql(url, "CREATE TABLE jobs (id INTEGER)", "CREATE SCHEMA mlflow")
        start(f"{url}?options=-csearch_path%3Dmlflow")
        assert databases.rows(url, "SELECT version_num FROM mlflow.alembic_version") == [(schema.REVISION,)]


def test_a_role_that_may_not_create_tables_is_reported(postgres: PostgresServer, tmp_path: Path) -> None:
    with scratch_database("postgresql", tmp_path, postgres) as url:
        run_sql(url, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN")
        run_sql(url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        line = start_error(f"postgresql://reader@{url.rpartition('@')[2]}")
        assert "permission denied for schema public" in line
        assert "grant this role USAGE and CREATE" in line


def test_a_missing_schema_is_named(postgres: PostgresServer, tmp_path: Path) -> None:
    with scratch_database("postgresql", tmp_path, postgres) as url:
        line = start_error(f"{url}?options=-csearch_path%3Dmlflow")
        assert "no schema of the search_path (mlflow) exists" in line
        assert "CREATE SCHEMA" in line


def test_a_closed_schema_is_named_with_the_grant(postgres: PostgresServer, tmp_path: Path) -> None:
    with scratch_database("postgresql", tmp_path, postgres) as url:
        run_sql(url, "DROP ROLE IF EXISTS kept_out", "CREATE ROLE kept_out LOGIN", "CREATE SCHEMA mlflow")
        line = start_error(f"postgresql://kept_out@{url.rpartition('@')[2]}?options=-csearch_path%3Dmlflow")
        assert 'GRANT USAGE, CREATE ON SCHEMA "mlflow" TO "kept_out"' in line


# Several starters


def in_a_process(work: Callable[..., None], *args: Any) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=work, args=args)
    process.start()
    return process


def start_and_die(url: str, after: int) -> None:
    """A start that is killed when `after` statements of the creation are done, and nothing is committed yet."""
    create_statements = schema.create_statements

    def deadly(engine: Engine) -> Iterator[str]:
        yield from create_statements(engine)[:after]
        os.kill(os.getpid(), signal.SIGKILL)

    schema.create_statements = deadly  # type: ignore[assignment]
    start(url)


@pytest.mark.slow
def test_several_starters_at_once_make_one_database(url: str) -> None:
    starters = [in_a_process(start, url) for _ in range(6)]
    for starter in starters:
        starter.join(LONG)
    assert [starter.exitcode for starter in starters] == [0] * 6
    assert is_complete(url)


def test_a_start_waits_for_another_that_is_writing_to_a_new_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor() as pool:
        other.execute("BEGIN IMMEDIATE")
        starter = pool.submit(start, f"sqlite:///{path}")
        time.sleep(0.5)
        assert not starter.done()
        other.execute("COMMIT")
        starter.result(TIMEOUT_S)
    assert is_complete(f"sqlite:///{path}")


@pytest.mark.slow
def test_a_starter_may_be_killed_at_any_step(url: str) -> None:
    for after in (0, 1, 70, len(schema.create_statements("sqlite"))):
        starter = in_a_process(start_and_die, url, after)
        starter.join(LONG)
        assert starter.exitcode == -signal.SIGKILL
        assert catalogue(url)["tables"] == {}
    start(url)
    assert is_complete(url)
