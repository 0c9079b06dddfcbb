"""Changes of what exists, when the connection is lost during COMMIT: made once more, or looked up (db/recovery.py)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import pytest
from tests.faults.test_commit_outcome import wait_until_committing
from tests.faults.test_commits_of_creates import Site, site  # noqa: F401 (a fixture)
from tests.servers.databases import run_sql

pytestmark = pytest.mark.slow

LOCK = 10
TABLES = (
    "runs",
    "tags",
    "experiments",
    "experiment_tags",
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "model_version_tags",
    "logged_models",
    "logged_model_tags",
    "logged_model_params",
    "webhooks",
)
COMMITS_WAIT = f"""
    CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NULL; END'
"""
SESSIONS_END = """
    CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NULL; END'
"""
AT_COMMIT = """
    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT OR UPDATE OR DELETE ON {} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait()
"""
MODEL_JSON = '{"artifact_path": "a", "flavors": {}, "run_id": "RUN", "utc_time_created": "2026-11-30 12:00:00"}'


class Change(NamedTuple):
    """`path` and `body` may name the run, RUN, the logged model, MODEL, and the webhook, WEBHOOK."""

    method: str
    path: str
    body: dict[str, Any] = {}


REPEATED = [
    Change("POST", "runs/update", {"run_id": "RUN", "status": "FINISHED", "run_name": "n"}),
    Change("POST", "runs/delete", {"run_id": "RUN"}),
    Change("POST", "runs/restore", {"run_id": "RUN"}),
    Change("POST", "experiments/set-experiment-tag", {"experiment_id": "0", "key": "k", "value": "new"}),
    Change("PATCH", "registered-models/update", {"name": "m", "description": "d"}),
    Change("POST", "registered-models/set-tag", {"name": "m", "key": "k", "value": "v"}),
    Change("DELETE", "registered-models/delete-tag", {"name": "m", "key": "k"}),
    Change("POST", "registered-models/alias", {"name": "m", "alias": "a", "version": "1"}),
    Change("DELETE", "registered-models/alias", {"name": "m", "alias": "a"}),
    Change("PATCH", "model-versions/update", {"name": "m", "version": "1", "description": "d"}),
    Change("POST", "model-versions/transition-stage", {"name": "m", "version": "1", "stage": "Production"}),
    Change("POST", "model-versions/set-tag", {"name": "m", "version": "1", "key": "k", "value": "v"}),
    Change("DELETE", "model-versions/delete-tag", {"name": "m", "version": "1", "key": "k"}),
    Change("PATCH", "logged-models/MODEL", {"status": "LOGGED_MODEL_READY"}),
    Change("PATCH", "logged-models/MODEL/tags", {"tags": [{"key": "k", "value": "v"}]}),
    Change("POST", "logged-models/MODEL/params", {"params": [{"key": "k", "value": "v"}]}),
    Change("PATCH", "webhooks/WEBHOOK", {"description": "d"}),
]
LOOKED_UP = [
    Change("POST", "runs/delete-tag", {"run_id": "RUN", "key": "k"}),
    Change("POST", "runs/log-model", {"run_id": "RUN", "model_json": MODEL_JSON}),
    Change("POST", "experiments/delete-experiment-tag", {"experiment_id": "0", "key": "k"}),
    Change("POST", "experiments/delete", {"experiment_id": "0"}),
    Change("POST", "experiments/restore", {"experiment_id": "0"}),
    Change("DELETE", "logged-models/MODEL/tags/k"),
    Change("DELETE", "model-versions/delete", {"name": "m", "version": "1"}),
    Change("POST", "registered-models/rename", {"name": "m", "new_name": "renamed"}),
    Change("DELETE", "registered-models/delete", {"name": "renamed"}),
    Change("DELETE", "webhooks/WEBHOOK"),
]


@pytest.fixture
async def changed(site: Site) -> "Changed":  # noqa: F811
    """Return the site with something to change."""
    post = site.client.ok
    tags = [{"key": "k", "value": "v"}]
    await post("POST", "experiments/set-experiment-tag", {"experiment_id": "0", "key": "k", "value": "v"})
    run = await post("POST", "runs/create", {"experiment_id": "0", "tags": tags})
    await post("POST", "registered-models/create", {"name": "m"})
    await post("POST", "model-versions/create", {"name": "m", "source": "s3://bucket/model"})
    model = await post("POST", "logged-models", {"experiment_id": "0", "name": "l", "tags": tags})
    webhook = await post(
        "POST",
        "webhooks",
        {
            "name": "w",
            "url": "https://93.184.216.34/hook",
            "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
        },
    )
    await run_sql(site.url, COMMITS_WAIT, *map(AT_COMMIT.format, TABLES))
    ids = {
        "RUN": run["run"]["info"]["run_id"],
        "MODEL": model["model"]["info"]["model_id"],
        "WEBHOOK": webhook["webhook"]["webhook_id"],
    }
    return Changed(site, ids)


class Changed(NamedTuple):
    site: Site
    ids: dict[str, str]

    async def send(self, change: Change) -> int:
        """Return the status of the response."""
        path, body = change.path, change.body
        for name, value in self.ids.items():
            path = path.replace(name, value)
            body = {field: value if one == name else one for field, one in body.items()}
        return (await self.site.client.send(change.method, path, json=body or None)).status


@asynccontextmanager
async def commits_held(url: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
        yield
    finally:
        await connection.close()


async def test_a_change_succeeds_if_the_connection_is_lost_while_postgresql_commits(changed: Changed) -> None:
    statuses = {}
    for change in REPEATED + LOOKED_UP:
        async with commits_held(changed.site.url):
            changing = asyncio.create_task(changed.send(change))
            await wait_until_committing(changed.site.url)
            await changed.site.between.cut()
        statuses[change.method, change.path] = await changing
    assert statuses == dict.fromkeys(statuses, 200)


async def test_a_change_is_not_processed_if_its_session_ends_before_the_commit(changed: Changed) -> None:
    """A change that is made once more fails again, and only then its outcome is unknown."""
    statuses = {}
    for change in LOOKED_UP:
        await run_sql(changed.site.url, SESSIONS_END)
        first = await changed.send(change)
        await run_sql(changed.site.url, COMMITS_WAIT)
        statuses[change.method, change.path] = first, await changed.send(change)
    assert statuses == dict.fromkeys(statuses, (429, 200)), "the client repeats it"
