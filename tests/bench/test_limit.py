"""PostgreSQL alone: requests are converted to pgbench scripts, which write the same rows."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from bench.limit import CONNECTION, NUMBER, Transaction, alone_grouped, pgbench, script, transactions
from bench.loads import Request, post
from tests.servers.postgres import PostgresServer

from railtrack.config.settings import load
from railtrack.db.open import open_database, prepare
from railtrack.db.url import parse_database_url

RUN = "0" * 31 + "1"
LOG = post("runs/log-metric", {"run_id": RUN, "key": "m_@c@", "value": "@n@", "timestamp": 1, "step": "@n@"})
CREATE = post("runs/create", {"experiment_id": "0", "start_time": 1, "run_name": "run @n@"})


def statements_of(text: str) -> list[str]:
    """Return the lines of a script without its counters."""
    return [line for line in text.splitlines() if not line.startswith("\\set")]


def test_a_single_statement_is_its_own_transaction() -> None:
    recorded = [Transaction(True, [("SELECT $1,\n  $2", (1.5, None))])]
    assert statements_of(script(recorded)) == ["SELECT 1.5, NULL;"]


def test_several_statements_are_one_transaction() -> None:
    recorded = [Transaction(True, [("SELECT $1", (True,)), ("SELECT $2, $1", ("it's", 2))])]
    assert statements_of(script(recorded)) == ["BEGIN;", "SELECT True;", "SELECT 2, E'it''s';", "COMMIT;"]


def test_varying_values_use_pgbench_variables_and_colons_are_escaped() -> None:
    recorded = [Transaction(True, [("SELECT $1, $2", (f'{{"n":{NUMBER}}}', f"c{CONNECTION}00"))])]
    number = f"""replace(E'{{"n"\\x3a{NUMBER}}}', '{NUMBER}', CAST(:n AS text))"""
    connection = f"replace(E'c{CONNECTION}00', '{CONNECTION}', CAST(:client_id AS text))"
    assert statements_of(script(recorded)) == [f"SELECT {number}, {connection};"]


def test_list_elements_with_commas_and_quotes_are_quoted() -> None:
    recorded = [Transaction(True, [("SELECT $1, $2", (['a,"b', "c"], [1, 2]))])]
    assert statements_of(script(recorded)) == ['SELECT E\'{"a,\\\\"b","c"}\', E\'{1,2}\';']


def test_a_value_without_a_literal_is_rejected() -> None:
    with pytest.raises(TypeError, match="no literal for b'x'"):
        script([Transaction(True, [("SELECT $1", (b"x",))])])


@pytest.fixture
async def database(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[str]:
    """Yield the URL of a Railtrack database with one run."""
    async with postgres.scratch_database() as url:
        settings = load({"database.uri": url, "data_folder": str(tmp_path)}, {})
        address = parse_database_url(url)
        db = open_database(address, connections=1)
        await prepare(db, address, default_location=settings.artifacts.experiment_location(0))
        await db.execute(
            "INSERT INTO runs (run_uuid, lifecycle_stage, experiment_id, status) VALUES ($1, 'active', 0, 'RUNNING')",
            RUN,
        )
        await db.close()
        yield url


async def counted(database: str, sql: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


async def test_concurrent_requests_are_recorded_as_one_transaction(database: str, tmp_path: Path) -> None:
    [alone], [group] = await transactions(database, tmp_path, [[LOG], [LOG] * 3])
    assert alone.by_key
    assert [str(one.statements).count('"key":"m_') for one in (alone, group)] == [
        2,
        6,
    ]  # the point and the latest value


async def test_replayed_points_differ_by_client_number_and_position_in_the_group(database: str, tmp_path: Path) -> None:
    [group] = await transactions(database, tmp_path, [[LOG] * 3])
    before = await counted(database, "SELECT count(*) FROM metrics")
    rate = pgbench(database, [group], 2, 1)
    stored = await counted(database, "SELECT count(*) FROM metrics") - before
    clients = "SELECT count(DISTINCT key) FROM latest_metrics WHERE key LIKE 'm_0%' OR key LIKE 'm_1%'"
    latest = "SELECT count(*) FROM latest_metrics l WHERE step < (SELECT max(step) FROM metrics m WHERE m.key = l.key)"
    assert rate > 0
    assert stored >= 6
    assert stored % 3 == 0
    assert await counted(database, clients) == 6
    assert await counted(database, latest) == 0


async def test_each_replayed_create_run_inserts_a_new_run(database: str, tmp_path: Path) -> None:
    [created] = await transactions(database, tmp_path, [[CREATE]])
    before = await counted(database, "SELECT count(*) FROM runs")
    pgbench(database, [[one] for one in created], 2, 1)
    assert await counted(database, "SELECT count(*) FROM runs") - before >= 2
    assert await counted(database, "SELECT count(*) FROM tags WHERE key = 'mlflow.runName'") >= 2


async def test_a_failing_script_raises_an_error(database: str) -> None:
    with pytest.raises(RuntimeError, match="division by zero"):
        pgbench(database, [[Transaction(True, [("SELECT 1 / $1", (0,))])]], 1, 1)


async def test_a_rejected_request_is_not_replayed(database: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="RESOURCE_DOES_NOT_EXIST"):
        await transactions(database, tmp_path, [[Request("GET", "/api/2.0/mlflow/runs/get?run_id=none")]])


def test_the_rate_of_groups_counts_their_requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sent = []

    async def recorded(_database: str, _folder: Path, batches: list[list[Request]]) -> list[list[Transaction]]:
        sent.extend(batches)
        return [[Transaction(True)]]

    monkeypatch.setattr("bench.limit.transactions", recorded)
    monkeypatch.setattr("bench.limit.pgbench", lambda *_: 100.0)
    assert alone_grouped("", tmp_path, [LOG, CREATE], 3, 2, 1) == 300
    assert sent == [[LOG, CREATE, LOG]]
