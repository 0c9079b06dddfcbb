"""Each request that creates something finds out whether it was committed when the connection was lost during COMMIT."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from tests.client import Client, running_app
from tests.conftest import prepared_settings
from tests.faults.test_commit_outcome import wait_until_committing
from tests.servers.databases import run_sql
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, proxy_of

pytestmark = pytest.mark.slow

SLOW_COMMITS = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'
"""
SLOW_COMMIT = """
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait()
"""


class Create(NamedTuple):
    table: str
    path: str
    body: dict[str, Any]


CREATES = [
    Create("runs", "runs/create", {"experiment_id": "0"}),
    Create("experiments", "experiments/create", {"name": "new"}),
    Create("logged_models", "logged-models", {"experiment_id": "0", "name": "new"}),
    Create("registered_models", "registered-models/create", {"name": "new"}),
    Create("model_versions", "model-versions/create", {"name": "existing", "source": "s3://bucket/model"}),
    Create(
        "webhooks",
        "webhooks",
        {
            "name": "new",
            "url": "https://93.184.216.34/hook",
            "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
        },
    ),
]


class Site(NamedTuple):
    url: str
    between: Proxy
    client: Client


@pytest.fixture
async def site(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Site]:
    """Yield the application in this process, with a proxy between it and its database."""
    async with postgres.scratch_database() as url, proxy_of(url) as between:
        parts = urlsplit(url)
        address = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{between.port}")).geturl()
        async with running_app(await prepared_settings(address, tmp_path)) as client:
            await client.ok("POST", "registered-models/create", {"name": "existing"})
            await run_sql(url, SLOW_COMMITS)
            yield Site(url, between, client)


@pytest.mark.parametrize("create", CREATES, ids=lambda create: create.path)
async def test_a_create_succeeds_if_the_connection_is_lost_while_postgresql_commits(site: Site, create: Create) -> None:
    await run_sql(site.url, SLOW_COMMIT.format(create.table))
    creating = asyncio.create_task(site.client.post(create.path, create.body))
    await wait_until_committing(site.url)
    await site.between.cut()
    response = await creating
    assert response.status == 200, response.text


@pytest.mark.parametrize("create", CREATES, ids=lambda create: create.path)
async def test_a_create_is_not_processed_if_its_session_ends_before_the_commit(site: Site, create: Create) -> None:
    await run_sql(
        site.url,
        "CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NULL; END'",
        SLOW_COMMIT.format(create.table),
    )
    response = await site.client.post(create.path, create.body)
    assert (response.status, response.json["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    await run_sql(site.url, f"DROP TRIGGER slow ON {create.table}")
    assert (await site.client.post(create.path, create.body)).status == 200, "the client repeats it"
