"""Databases that old versions of MLflow filled, upgraded: the result is that of MLflow's own upgrade."""

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.client import running_app
from tests.db.catalogue import catalogue
from tests.db.old_databases.record import VERSIONS, all_rows, recorded_rows
from tests.db.record_catalogue import recorded
from tests.db.test_open import run_sql
from tests.db.upgrade.databases_of_mlflow import restored, upgrade, upgrade_killed_at
from tests.db.with_mlflow import mlflow_store
from tests.servers import databases
from tests.servers.databases import ENGINES
from tests.servers.processes import until

from railtrack.cli import main
from railtrack.config.settings import load
from railtrack.db import schema
from railtrack.db.upgrade import conversions, trace_figures
from railtrack.db.upgrade.releases import OLDEST, RELEASES, is_upgradable, versions_of
from railtrack.errors import StartError

BOTH = [(version, engine) for version in VERSIONS for engine in ENGINES]


def revision_of(url: str) -> Any:
    return databases.rows(url, "SELECT version_num FROM alembic_version")[0][0]


def without_casts(value: Any) -> Any:
    """Return a catalogue in which checks have no casts and parentheses: those differ once pg_dump restored them."""
    if isinstance(value, dict):
        return {key: without_casts(one) for key, one in value.items()}
    is_check = isinstance(value, str) and value.startswith("CHECK (")
    return re.sub(r"::[a-z ]+(?:\[\])?|[()\s]", "", value) if is_check else value


def check(url: str, version: str) -> None:
    """Compare catalogue and rows with those that MLflow's own upgrade left."""
    engine = url.partition(":")[0]
    assert without_casts(catalogue(url)) == without_casts(recorded(engine)["catalogue"])
    assert all_rows(url) == recorded_rows(version, engine)


@pytest.mark.parametrize(("version", "engine"), BOTH)
def test_the_result_is_that_of_mlflows_own_upgrade(
    version: str, engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with restored(version, engine, tmp_path, request) as url:
        lines: list[str] = []
        assert asyncio.run(upgrade(url, lines))
        assert lines[-1] == f"The database has revision {schema.REVISION} now."
        check(url, version)
        assert not asyncio.run(upgrade(url))


@pytest.mark.parametrize("engine", ENGINES)
def test_railtrack_serves_the_data_of_2_9(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async def found(url: str) -> dict[str, Any]:
        async with running_app(load({"database.uri": url, "data_folder": str(tmp_path)}, {})) as client:
            return await client.ok(
                "POST", "runs/search", {"experiment_ids": ["1"], "order_by": ["attribute.start_time"]}
            )

    with restored("2.9.2", engine, tmp_path, request) as url:
        asyncio.run(upgrade(url))
        runs = asyncio.run(found(url))["runs"]
    [first] = [run for run in runs if run["info"]["run_name"] == "first"]
    metrics = {metric["key"]: metric["value"] for metric in first["data"]["metrics"]}
    assert metrics["loss"] == 0.1 + 19 / 7
    assert {param["key"]: param["value"] for param in first["data"]["params"]}["layers"] == "[64, 32]"
    assert first["inputs"]["dataset_inputs"][0]["dataset"]["digest"] == "d1g35t"


@pytest.mark.mlflow
@pytest.mark.parametrize(("version", "engine"), [("2.9.2", "postgresql"), ("3.16.1", "sqlite")])
def test_mlflow_opens_an_upgraded_database(
    version: str, engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with restored(version, engine, tmp_path, request) as url:
        asyncio.run(upgrade(url))
        assert "검출기" not in mlflow_store("open", url)
        assert '"loss": [19,' in mlflow_store("read", url)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.9.2", "3.10.0"])
def test_an_upgrade_of_postgresql_may_be_killed_at_any_step(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each attempt is killed a step later than the one before, which has left it less to do."""
    with restored(version, "postgresql", tmp_path, request) as url:
        attempts = next(line for line in range(2, 100) if not upgrade_killed_at(line, url))
        assert attempts > 8
        check(url, version)


@pytest.mark.slow
def test_an_upgrade_of_sqlite_that_is_killed_leaves_the_file_as_it_was(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with restored("3.10.0", "sqlite", tmp_path, request) as url:
        before = catalogue(url), all_rows(url)
        for line in (1, 20, 40):
            assert upgrade_killed_at(line, url)
            assert (catalogue(url), all_rows(url)) == before
        asyncio.run(upgrade(url))
        check(url, "3.10.0")


@pytest.mark.parametrize("engine", ENGINES)
def test_of_two_upgrades_at_once_one_does_the_work(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async def both(url: str) -> list[bool]:
        return await asyncio.gather(upgrade(url, lines), upgrade(url, lines))

    lines: list[str] = []
    with restored("3.16.1", engine, tmp_path, request) as url:
        assert sorted(asyncio.run(both(url))) == [False, True]
        check(url, "3.16.1")
    assert sum(line.startswith("Nothing to do") for line in lines) == 1
    if engine == "postgresql":
        assert "Another upgrade of this database is running. Waiting for it." in lines


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dry_run_changes_nothing(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with restored("2.22.0", engine, tmp_path, request) as url:
        before = catalogue(url), all_rows(url)
        lines: list[str] = []
        assert asyncio.run(upgrade(url, lines, is_dry_run=True))
        assert (catalogue(url), all_rows(url)) == before
    assert lines[-1] == "This was a dry run: nothing was changed."
    assert any("ALTER TABLE inputs ADD COLUMN step" in line for line in lines)


def test_a_step_makes_way_for_writers_while_another_transaction_uses_its_table(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """An open transaction that has read `issues` blocks ALTER TABLE, and whatever waits behind that."""

    async def blocked(url: str) -> None:
        reader, writer = await asyncpg.connect(url), await asyncpg.connect(url)
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("SELECT * FROM issues")
        upgrading = asyncio.create_task(upgrade(url, lines))
        await until(lambda: any("Trying again" in line for line in lines))
        for _ in range(20):
            await writer.execute("UPDATE issues SET severity = 'high'", timeout=10)
        assert not upgrading.done()
        await reading.rollback()
        assert await upgrading
        await reader.close()
        await writer.close()

    lines: list[str] = []
    with restored("3.17.2", "postgresql", tmp_path, request) as url:
        asyncio.run(blocked(url))
        assert without_casts(catalogue(url)) == without_casts(recorded("postgresql")["catalogue"])


def test_a_server_keeps_its_writes_while_a_database_of_3_17_is_upgraded(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async def logged(url: str) -> tuple[list[float], list[float]]:
        async with running_app(load({"database.uri": url, "data_folder": str(tmp_path)}, {})) as client:
            run = await client.ok("POST", "runs/create", {"experiment_id": "1"})
            run_id = run["run"]["info"]["run_id"]
            upgrading = asyncio.create_task(upgrade(url))
            acknowledged: list[float] = []
            while not upgrading.done() or len(acknowledged) < 50:
                step = len(acknowledged)
                metric = {"run_id": run_id, "key": "live", "value": step, "timestamp": step, "step": step}
                await client.ok("POST", "runs/log-metric", metric)
                acknowledged.append(step)
            assert await upgrading
            query = {"run_id": run_id, "metric_key": "live", "max_results": "10000"}
            history = await client.ok("GET", "metrics/get-history", query=query)
            return acknowledged, sorted(metric["value"] for metric in history["metrics"])

    with restored("3.17.2", "postgresql", tmp_path, request) as url:
        acknowledged, stored = asyncio.run(logged(url))
        assert stored == acknowledged
        assert revision_of(url) == schema.REVISION


@pytest.mark.parametrize("engine", ENGINES)
def test_objects_of_others_are_kept(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with restored("3.10.0", engine, tmp_path, request) as url:
        run_sql(
            url,
            "CREATE INDEX mine ON experiments (lifecycle_stage)",
            "CREATE VIEW names AS SELECT name FROM experiments",
            "CREATE TABLE other (id INTEGER PRIMARY KEY)",
        )
        asyncio.run(upgrade(url))
        assert "mine" in catalogue(url)["tables"]["experiments"]["indexes"]
        assert len(databases.rows(url, "SELECT * FROM names")) == len(databases.rows(url, "SELECT * FROM experiments"))


def test_attributes_of_spans_that_would_be_lost_stop_the_upgrade(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with restored("3.16.1", "sqlite", tmp_path, request) as url:
        run_sql(url, """UPDATE spans SET dimension_attributes = '{"mine": "x"}'""")
        before = all_rows(url)
        with pytest.raises(StartError, match="dimension_attributes that have no column"):
            asyncio.run(upgrade(url))
        assert all_rows(url) == before


def test_a_database_from_before_2_9_is_rejected(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with restored("2.9.2", "sqlite", tmp_path, request) as url:
        run_sql(url, "UPDATE alembic_version SET version_num = '2d6e25af4d3e'")
        with pytest.raises(StartError, match="from before MLflow 2\\.9"):
            asyncio.run(upgrade(url))


def test_the_command_upgrades_and_checks(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    with restored("3.1.0", "sqlite", tmp_path, request) as url:
        with pytest.raises(SystemExit) as exit:
            main(["db", "check", url])
        assert exit.value.code == 0
        report = capsys.readouterr().out
        assert "6953534de441, too old for Railtrack" in report
        assert f"railtrack db upgrade {url}" in report
        assert "Versions that open this database: 3.0 and 3.1." in report
        with pytest.raises(SystemExit) as exit:
            main(["db", "upgrade", url])
        assert exit.value.code == 0
        assert revision_of(url) == schema.REVISION
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main(["db", "check", url])
        assert "Versions that open this database: 3.18." in capsys.readouterr().out


def test_every_release_has_a_revision_that_can_be_upgraded() -> None:
    assert list(RELEASES) == [one for one in schema.revisions() if one in RELEASES]
    assert next(iter(RELEASES)) == OLDEST
    assert all(is_upgradable(revision) for revision in RELEASES if revision != schema.REVISION)
    assert not is_upgradable(schema.REVISION)
    assert not is_upgradable("2d6e25af4d3e")
    assert versions_of("ffffffffffff") == ""
    assert {one.revision for one in conversions.CONVERSIONS} <= set(schema.revisions())


@pytest.mark.parametrize(
    ("text", "aggregate"),
    [
        ("3", (3.0, True)),
        ("-2e3", (-2000.0, True)),
        ("true", (1.0, False)),
        ('" Yes "', (1.0, False)),
        ("no", (0.0, False)),
        ('"3.5"', (None, False)),
        ("NaN", (None, False)),
        ("1" * 400, (None, False)),
        ("[1]", (None, False)),
    ],
)
def test_an_assessment_counts_as_a_number(text: str, aggregate: tuple[float | None, bool]) -> None:
    assert trace_figures.aggregate_of(text) == aggregate


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("5", 5),
        (5.0, 5),
        ("1e3", 1000),
        (1.5, None),
        (True, None),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        ("1e999999999", None),
        ("nan", None),
        ("inf", None),
        ("x", None),
        (None, None),
        ([1], None),
    ],
)
def test_tokens_are_whole_numbers(value: Any, count: int | None) -> None:
    assert trace_figures._count(value) == count
