"""Fixtures for all tests: a real PostgreSQL, a database of each engine, and a client of the application in-process."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.client import Client, running_app
from tests.servers.databases import ENGINES, WEBHOOK_KEY
from tests.servers.postgres import PostgresServer, postgres_server

from railtrack.config.settings import Settings, load
from railtrack.db import Db
from railtrack.db.open import open_database, prepare
from railtrack.db.url import parse_database_url

TESTS = Path(__file__).parent


FOLDER_MARKS = {
    "cli": "slow",
    "clients": "mlflow",
    "examples_backend": "mlflow",
    "faults": "alone",
    "fuzz": "slow",
    "image": "alone",
    "packaging": "mlflow",
    "ui": "browser",
}
"""A mark for every test of a folder; single modules and tests carry theirs themselves. pyproject.toml explains them."""


def pytest_configure() -> None:
    """Let programs that tests start receive SIGINT, also if pytest is a background job of a shell.

    Such a job ignores SIGINT, and its subprocesses inherit that. They do not inherit a handler.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they need, before pytest selects them by `-m`."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in FOLDER_MARKS:
            item.add_marker(FOLDER_MARKS[folder])
        if needs_postgresql(item):
            item.add_marker("postgresql")


def needs_postgresql(item: pytest.Item) -> bool:
    """Return whether a test uses PostgreSQL: as a parameter, or by a fixture while no parameter is SQLite."""
    values = item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    uses_a_server = not {"postgres", "cluster"}.isdisjoint(getattr(item, "fixturenames", ()))
    return "postgresql" in values or (uses_a_server and "sqlite" not in values)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Return the PostgreSQL of this test session. It starts when a test first uses it."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Return the name of a database engine. Every test that uses it, as `db` and `client` do, runs on both engines."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
async def sqlite_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data = tmp_path_factory.mktemp("sqlite")
    return await prepared_settings(f"sqlite:///{data / 'mlflow.db'}", data)


@pytest.fixture(scope="session")
async def postgresql_settings(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Settings]:
    async with postgres.scratch_database() as url:
        yield await prepared_settings(url, tmp_path_factory.mktemp("postgresql"))


@pytest.fixture(scope="session")
def settings(engine: str, request: pytest.FixtureRequest) -> Settings:
    """Return the settings of a server whose prepared database and data folder all tests of the session share.

    Both engines stay ready: pytest keeps one value of a parametrized fixture, and would prepare a database
    again each time that tests change the engine.
    """
    settings: Settings = request.getfixturevalue(f"{engine}_settings")
    return settings


async def prepared_settings(uri: str, data: Path) -> Settings:
    """Return the settings of a server with this database, which is prepared, and this data folder."""
    environ = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": WEBHOOK_KEY}
    settings = load({"database.uri": uri, "data_folder": str(data)}, environ)
    url = parse_database_url(uri)
    db = open_database(url, connections=1)
    await prepare(db, url, default_location=settings.artifacts.experiment_location(0))
    await db.close()
    return settings


@pytest.fixture(scope="session")
async def shared_db(settings: Settings) -> AsyncIterator[Db]:
    db = open_database(parse_database_url(settings.database.uri), connections=settings.server.threads)
    yield db
    await db.close()


@pytest.fixture
async def db(shared_db: Db) -> AsyncIterator[Db]:
    """Yield a database as on a new server: MLflow's tables and the experiment Default."""
    yield shared_db
    await _empty(shared_db)


async def _empty(db: Db) -> None:
    """Delete all that a test wrote. DELETE takes 4 ms on 35 nearly empty tables, TRUNCATE 300."""
    async with db.write() as tx:
        for table in USED_TABLES:
            await tx.execute(f"DELETE FROM {table}")
        await tx.execute("DELETE FROM experiments WHERE experiment_id > 0")
        await tx.execute("UPDATE experiments SET name = 'Default', lifecycle_stage = 'active'")


USED_TABLES = (
    "entity_associations",
    "evaluation_dataset_records",
    "evaluation_dataset_tags",
    "evaluation_datasets",
    "scorer_versions",
    "scorers",
    "issues",
    "review_queue_items",
    "review_queue_label_schemas",
    "review_queue_users",
    "review_queues",
    "label_schemas",
    "assessments",
    "trace_info",
    "railtrack_audit_log",
    "railtrack_role_assignments",
    "railtrack_role_permissions",
    "railtrack_roles",
    "railtrack_sessions",
    "railtrack_tokens",
    "railtrack_users",
    "railtrack_webhook_deliveries",
    "webhook_events",
    "webhooks",
    "model_version_tags",
    "model_versions",
    "registered_model_aliases",
    "registered_model_tags",
    "registered_models",
    "logged_model_metrics",
    "logged_model_params",
    "logged_model_tags",
    "logged_models",
    "input_tags",
    "inputs",
    "datasets",
    "latest_metrics",
    "metrics",
    "params",
    "tags",
    "runs",
    "experiment_tags",
)
"""In an order in which no row is referenced when it is deleted."""


@pytest.fixture
async def client(db: Db, settings: Settings) -> AsyncIterator[Client]:
    """Yield a client of the application in this process: `await client.post(path, {...})`."""
    async with running_app(settings) as client:
        yield client
