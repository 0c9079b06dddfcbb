"""What is found out of a PostgreSQL: what a start would do with it, rights, room for connections, poolers, clock."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from tests.servers.databases import run_sql
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import PostgresServer

from railtrack.checks import Finding
from railtrack.checks.database import check_database
from railtrack.checks.postgres import clock_finding, distance_finding
from railtrack.config.settings import load
from railtrack.db import schema
from railtrack.db.open import open_database, prepare
from railtrack.db.url import parse_database_url


@pytest.fixture
async def empty(postgres: PostgresServer) -> AsyncIterator[str]:
    async with postgres.scratch_database() as url:
        yield url


@pytest.fixture(scope="module")
async def template(postgres: PostgresServer) -> AsyncIterator[str]:
    """Create a database with MLflow's tables, as a template, and return its URL."""
    async with postgres.scratch_database() as url:
        db = open_database(parse_database_url(url), connections=1)
        await prepare(db, parse_database_url(url), default_location="mlflow-artifacts:/0")
        await db.close()
        yield url


@pytest.fixture
async def made(postgres: PostgresServer, template: str) -> AsyncIterator[str]:
    """Create a database with MLflow's tables, and return its URL."""
    name = f"copy_{uuid4().hex[:12]}"
    await run_sql(postgres.url, f"CREATE DATABASE {name} TEMPLATE {template.rpartition('/')[2]}")
    yield postgres.database_url(name)
    await run_sql(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


async def examined(url: str, **pool: str) -> dict[str, Finding]:
    flags = {f"server.{name}": value for name, value in pool.items()}
    found = await check_database(load({"database.uri": url, **flags}, {}))
    assert len({one.check for one in found}) == len(found)
    return {one.check: one for one in found}


def problems(found: dict[str, Finding]) -> set[str]:
    """Return the checks with a problem, except the distance: a busy machine may respond late."""
    return {name for name, one in found.items() if one.status != "ok"} - {"database distance"}


async def test_an_empty_database_is_ok_and_stays_empty(empty: str) -> None:
    found = await examined(empty)
    assert problems(found) == set()
    assert found["database schema"].finding == f"Empty. The start creates MLflow's {len(schema.tables())} tables."
    assert found["database rights"].finding == "The role may create tables in the schema public"
    assert found["database version"].finding.startswith("PostgreSQL 1")
    assert found["database login"].finding.startswith("postgres in test_")
    connection = await asyncpg.connect(empty)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.close()


async def test_a_database_of_this_revision_is_ok(made: str) -> None:
    found = await examined(made)
    assert problems(found) == set()
    assert schema.REVISION in found["database schema"].finding
    assert found["database rights"].finding == "SELECT, INSERT, UPDATE and DELETE on all tables in use"


@pytest.mark.parametrize(
    ("statement", "status", "message"),
    [
        ("UPDATE alembic_version SET version_num = '75868b020152'", "problem", "made by an older MLflow"),
        ("UPDATE alembic_version SET version_num = 'ffffffffffff'", "ok", "newer revision ffffffffffff, which is comp"),
        ("DROP TABLE experiments, runs CASCADE; DELETE FROM alembic_version", "problem", "by another application"),
    ],
)
async def test_the_schema_is_checked_as_at_the_start(made: str, statement: str, status: str, message: str) -> None:
    await run_sql(made, statement)
    found = (await examined(made))["database schema"]
    assert found.status == status
    assert message in found.finding
    assert bool(found.next_step) == (status == "problem")


@pytest.fixture
async def clerk(made: str) -> AsyncIterator[str]:
    """Create a role without rights, and return the URL of its login."""
    await run_sql(made, "CREATE ROLE clerk LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield f"postgresql://clerk@{made.rpartition('@')[2]}"
    await run_sql(made, "DROP OWNED BY clerk", "DROP ROLE clerk")


async def test_missing_rights_are_reported_by_table(made: str, clerk: str) -> None:
    everything = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    await run_sql(made, f"GRANT {everything} TO clerk", "REVOKE INSERT, DELETE ON metrics FROM clerk")
    found = (await examined(clerk))["database rights"]
    assert found.status == "problem"
    assert found.finding == "The role lacks INSERT, DELETE on metrics; USAGE on experiments_experiment_id_seq."
    await run_sql(made, f"GRANT {everything} TO clerk", "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk")
    assert (await examined(clerk))["database rights"].status == "ok"


async def test_a_role_that_may_not_create_tables_in_an_empty_database_is_a_problem(empty: str) -> None:
    await run_sql(empty, "CREATE ROLE visitor LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        found = (await examined(f"postgresql://visitor@{empty.rpartition('@')[2]}"))["database rights"]
        assert found.status == "problem"
        assert found.finding == "The role may not create tables in the schema public."
    finally:
        await run_sql(empty, "DROP ROLE visitor")


async def test_a_read_only_database_is_a_problem(made: str) -> None:
    found = (await examined(f"{made}?options=-cdefault_transaction_read_only%3Don"))["database rights"]
    assert (found.status, found.finding) == ("problem", "The database is read-only.")


async def test_connections_are_compared_with_every_limit(made: str, clerk: str) -> None:
    name = made.rpartition("/")[2]
    found = (await examined(made, workers="2", threads="4"))["database connections"]
    assert found.status == "ok"
    assert found.finding.startswith("2 workers x 4 threads + 1 = 9 of ")
    assert "(max_connections minus reserved ones)" in found.finding
    assert (await examined(made, workers="50", threads="4"))["database connections"].status == "problem"

    await run_sql(made, "ALTER ROLE clerk CONNECTION LIMIT 9")
    assert (await examined(clerk))["database connections"].status == "ok"
    found = (await examined(clerk, threads="5"))["database connections"]
    assert found.status == "problem"
    assert found.finding == "2 workers x 5 threads + 1 = 11 of 9 (the role's limit), 0 of which others use: too few."

    other = await asyncpg.connect(clerk)
    of_ours = await asyncpg.connect(clerk, server_settings={"application_name": "railtrack"})
    found = (await examined(clerk))["database connections"]
    assert found.status == "warning"  # connections of a running Railtrack do not count, others do
    assert "9 (the role's limit), 1 of which others use: too few now." in found.finding
    await other.close()
    await of_ours.close()

    await run_sql(made, f"ALTER DATABASE {name} CONNECTION LIMIT 5")
    assert "of 5 (the database's limit)" in (await examined(made))["database connections"].finding


async def test_a_pooler_is_recognized(made: str) -> None:
    with pgbouncer(made, pool_size=2) as pooled:
        found = await examined(pooled)
    assert problems(found) == set()
    assert found["database login"].finding.endswith("through a transaction-mode pooler")
    assert "the pooler limits" in found["database connections"].finding


def test_a_wrong_clock_and_a_distant_database_are_warned_of() -> None:
    assert (clock_finding(0.3).status, clock_finding(-4).status) == ("ok", "ok")
    assert clock_finding(61).finding == "The database's clock is 61 s ahead of this machine's."
    assert clock_finding(-3600).finding == "The database's clock is 3600 s behind this machine's."
    assert (distance_finding(0.002).status, distance_finding(0.08).status) == ("ok", "warning")
