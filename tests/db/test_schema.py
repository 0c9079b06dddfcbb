"""What Railtrack makes of an empty database is what MLflow 3.18.0 makes of it, fact by fact."""

import asyncio
from pathlib import Path

import pytest
from tests.db.catalogue import catalogue, rows
from tests.db.record_catalogue import recorded
from tests.servers.databases import scratch_database
from tests.servers.postgres import DEBIAN_15, postgres_cluster

from railtrack.db import schema
from railtrack.db.open import open_database, prepare
from railtrack.db.url import parse_database_url


def _prepare(url: str, location: str = "mlflow-artifacts:/0") -> None:
    async def prepared() -> None:
        address = parse_database_url(url)
        db = open_database(address, connections=1)
        try:
            await prepare(db, address, default_location=location)
        finally:
            await db.close()

    asyncio.run(prepared())


def _engine(url: str) -> str:
    return url.partition(":")[0]


def test_an_empty_database_gets_the_tables_keys_and_indexes_of_mlflow(url: str) -> None:
    _prepare(url)
    expected = recorded(_engine(url))["catalogue"]
    made = catalogue(url)
    assert len(made["tables"]) == 71
    for name, table in expected["tables"].items():
        assert made["tables"][name] == table, name
    assert made == expected


def test_an_empty_database_gets_the_rows_of_mlflow(url: str) -> None:
    _prepare(url)
    assert rows(url) == recorded(_engine(url))["rows"]


@pytest.mark.postgresql
def test_the_tables_are_the_same_on_an_older_major_version(tmp_path: Path) -> None:
    binaries = DEBIAN_15 if DEBIAN_15.exists() else None
    with postgres_cluster(binaries, fsync=False) as old, scratch_database("postgresql", tmp_path, old) as url:
        _prepare(url)
        assert catalogue(url) == recorded("postgresql")["catalogue"]


def test_preparing_a_second_time_changes_nothing(url: str) -> None:
    _prepare(url)
    before = catalogue(url), rows(url)
    _prepare(url, "s3://elsewhere/0")
    assert (catalogue(url), rows(url)) == before


def test_the_default_experiment_has_the_configured_location(url: str) -> None:
    _prepare(url, "s3://bucket/prefix/0")
    assert rows(url)["experiments"] == [[0, "Default", "s3://bucket/prefix/0", "active", "time", "time", "default"]]


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_every_statement_makes_one_thing(engine: schema.Engine) -> None:
    kinds = ("CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX ", "CREATE TRIGGER ", "CREATE FUNCTION ")
    statements = schema.create_statements(engine)
    assert [statement for statement in statements if not statement.startswith(kinds)] == []
    assert sum(statement.count("CREATE ") for statement in statements) == len(statements)


def test_what_an_other_revision_is_judged_by_are_the_columns_of_the_tables_in_use() -> None:
    needed = schema.used_columns()
    assert needed["metrics"] == {"key", "value", "timestamp", "run_uuid", "step", "is_nan"}
    assert needed["input_tags"] == {"input_uuid", "name", "value"}
    assert needed["registered_model_aliases"] >= {"alias", "version", "name"}
    assert needed.keys() <= set(schema.tables())


def test_a_revision_is_older_when_mlflow_had_it_before() -> None:
    assert schema.is_older("451aebb31d03")
    assert schema.is_older("75868b020152")
    assert not schema.is_older(schema.REVISION)
    assert not schema.is_older("0123456789ab")
