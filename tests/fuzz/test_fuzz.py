"""Generated requests to every endpoint cause no 5xx, and rejected ones change nothing."""

import json
import os
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.client import Client, Response
from tests.conftest import USED_TABLES
from tests.fuzz.requests import ODD_TEXTS, body_of, junk, texts

from railtrack.api import endpoints
from railtrack.db import Db
from railtrack.errors import STATUS
from railtrack.wire.routing import Route

EXAMPLES = int(os.environ.get("RAILTRACK_FUZZ_EXAMPLES", "40"))
"""Examples per endpoint and engine. With 40, all endpoints take about a minute."""

# /api and /ajax-api share handlers, so one of them is enough.
ROUTES = {
    name: route
    for name, route in sorted(endpoints().items())
    if not name[1].startswith("/ajax-api") or (name[0], name[1].replace("/ajax-api", "/api", 1)) not in endpoints()
}
WITH_STRUCT = [route for route in ROUTES.values() if route.struct is not None]
RAW = [route for route in ROUTES.values() if route.struct is None]

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
async def known(client: Client) -> dict[str, list[str]]:
    """Create a run with data. Return existing values by the names of the fields that refer to them."""
    run = await client.ok("POST", "runs/create", {"experiment_id": "0", "run_name": "fuzzed"})
    run_id = run["run"]["info"]["run_id"]
    batch = {
        "run_id": run_id,
        "metrics": [{"key": "loss", "value": step, "timestamp": step, "step": step} for step in range(5)],
        "params": [{"key": "lr", "value": "0.1"}],
        "tags": [{"key": "team", "value": "vision"}],
    }
    await client.ok("POST", "runs/log-batch", batch)
    return {
        "run_id": [run_id],
        "run_uuid": [run_id],
        "experiment_id": ["0"],
        "metric_key": ["loss"],
        "key": ["loss", "team"],
    }


async def state(db: Db) -> list[tuple[Any, ...]]:
    """Return a summary of the database: row counts of all tables that requests write to, and some sums."""
    counts = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in (*USED_TABLES, "experiments"))
    sums = """
        SELECT 'names', sum(length(name) + length(lifecycle_stage) + length(status)) FROM runs UNION ALL
        SELECT 'titles', sum(length(name) + length(lifecycle_stage)) FROM experiments UNION ALL
        SELECT 'latest', sum(step) FROM latest_metrics UNION ALL
        SELECT 'values', sum(length(value)) FROM tags
    """
    return [tuple(row) for row in await db.fetch(f"{counts} UNION ALL {sums} ORDER BY 1")]


def check(response: Response, request: str) -> None:
    """Check that the response is a success or an error in MLflow's form without internals. `request` describes it."""
    if response.status < 400:
        return
    assert response.status < 500 or response.status == 501, f"{request}: {response.status} {response.text[:500]}"
    code = response.json["error_code"]
    assert code in STATUS, request
    assert response.json["message"], request
    for word in ("Traceback", "sqlite3", "asyncpg", "SELECT ", "INSERT "):
        # A message may quote the request, which may contain such a word.
        assert word in request or word not in response.json["message"], request


def query_of(body: dict[str, Any]) -> str:
    pairs = [(key, one) for key, value in body.items() for one in (value if isinstance(value, list) else [value])]
    return "&".join(f"{quote(key, errors='replace')}={quote(_text(value), errors='replace')}" for key, value in pairs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def path_of(route: Route, known: dict[str, list[str]], text: str) -> str:
    """Return the route's path with values for its parameters."""
    path = route.path
    for name, values in known.items():
        path = path.replace(f"{{{name}}}", values[0])
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + quote(text or "x", errors="replace") + rest.partition("}")[2]
    return path


@pytest.mark.parametrize("route", WITH_STRUCT, ids=name_of)
@fuzz
@given(data=st.data())
async def test_a_generated_request_succeeds_or_changes_nothing(
    client: Client, db: Db, known: dict[str, list[str]], route: Route, data: st.DataObject
) -> None:
    body = data.draw(body_of(route, known))
    path = path_of(route, known, data.draw(texts))
    before = await state(db)
    if route.method == "GET":
        response = await client.send("GET", f"{path}?{query_of(body)}")
    else:
        response = await client.send(route.method, path, json=body)
    check(response, f"{name_of(route)} {body!r}")
    if response.status >= 400:
        assert await state(db) == before, f"{name_of(route)} {body!r} changed the database"


@pytest.mark.parametrize("route", [route for route in WITH_STRUCT if route.method != "GET"], ids=name_of)
@fuzz
@given(body=st.one_of(junk.map(lambda value: json.dumps(value).encode()), st.binary(max_size=200)))
@example(body=b"null")
@example(body=b"[]")
@example(body=b'"{}"')
@example(body=b"{" * 5000)
@example(body=b'{"run_id": "\\ud800"}')
@example(body=b'{"run_id": "\xff"}')
@example(body=b'{"run_id": 1e999, "key": NaN}')
async def test_a_junk_body_succeeds_or_changes_nothing(client: Client, db: Db, route: Route, body: bytes) -> None:
    before = await state(db)
    headers = {"Content-Type": "application/json"}
    response = await client.send(route.method, path_of(route, {}, "x"), body=body, headers=headers)
    check(response, f"{name_of(route)} {body!r}")
    if response.status >= 400:
        assert await state(db) == before


@pytest.mark.parametrize("route", RAW, ids=name_of)
@fuzz
@given(text=texts, query=st.dictionaries(st.sampled_from(["path", "run_id", "run_uuid", "x"]), texts, max_size=3))
@example(text="../../../etc/passwd", query={})
@example(text="a" * 5000, query={})
async def test_a_generated_path_or_query_causes_no_server_error(
    client: Client, known: dict[str, list[str]], route: Route, text: str, query: dict[str, str]
) -> None:
    path = f"{path_of(route, known, text)}?{query_of(query)}"
    check(await client.send(route.method, path, body=b"x"), f"{name_of(route)} {text!r} {query!r}")


@pytest.mark.parametrize("text", [text for text in ODD_TEXTS if "\ud800" not in text])
async def test_an_undeclared_path_is_not_found(client: Client, text: str) -> None:
    for method in ("GET", "POST", "PATCH", "PROPFIND"):
        response = await client.send(method, "/api/2.0/mlflow/" + quote(text))
        assert response.status in (404, 405)
        check(response, text)
