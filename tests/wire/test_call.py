"""Every request reaches its handler through call(), where access is checked, over HTTP and from GraphQL."""

import ast
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.client import Client, running_app
from tests.house.test_imports import MODULES, PACKAGE, short

from railtrack.artifacts import Location
from railtrack.auth import (
    EXPERIMENT_READ,
    EXPERIMENTS_READ,
    RUN_EDIT,
    RUN_READ,
    RUNS_READ,
    RUNS_SEARCH,
    SIGNED_IN,
    Access,
)
from railtrack.auth.grants import EVERYTHING, ReadFilter
from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.errors import ApiError


class Recorder:
    """A policy that records what it is asked and denies the accesses in `denied`."""

    def __init__(self) -> None:
        self.denied: set[Access] = set()
        self.checked: list[tuple[Access, str]] = []

    async def check(self, access: Access, context: Any, request: Any) -> None:
        self.checked.append((access, type(request).__name__))
        if access in self.denied:
            raise ApiError("PERMISSION_DENIED", f"No access: {access.describe()}.")

    async def check_artifact(self, access: Access, context: Any, location: Location) -> None:
        """Permit every artifact: no request here names one by its path."""

    async def check_new_location(self, tx: Any, context: Any, location: Location) -> None:
        """Permit every location."""

    async def read_filter(self, context: Any, resource_type: str, part: str = "") -> ReadFilter:
        return EVERYTHING

    async def is_denied(self, context: Any, part: str) -> bool:
        return False


@pytest.fixture
def policy() -> Recorder:
    return Recorder()


@pytest.fixture
async def guarded(db: Db, settings: Settings, policy: Recorder) -> AsyncIterator[Client]:
    async with running_app(settings, policy) as client:
        yield client


@pytest.fixture
async def run_id(client: Client) -> str:
    created = await client.ok("POST", "runs/create", {"experiment_id": "0"})
    run_id: str = created["run"]["info"]["run_id"]
    return run_id


async def test_a_request_is_checked_with_its_routes_access_before_its_handler(
    guarded: Client, policy: Recorder, run_id: str
) -> None:
    assert (await guarded.get("runs/get", {"run_id": run_id})).status == 200
    policy.denied = {RUN_EDIT}
    answer = await guarded.post("runs/set-tag", {"run_id": run_id, "key": "a", "value": "b"})
    assert (answer.status, answer.json["error_code"]) == (403, "PERMISSION_DENIED")
    run = await guarded.ok("GET", "runs/get", query={"run_id": run_id})
    assert "a" not in {tag["key"] for tag in run["run"]["data"]["tags"]}
    assert policy.checked == [(RUN_READ, "GetRun"), (RUN_EDIT, "SetTag"), (RUN_READ, "GetRun")]


async def test_a_handler_that_reads_the_body_itself_is_checked_before_it_reads(
    guarded: Client, policy: Recorder, run_id: str
) -> None:
    policy.denied = {RUN_EDIT}
    path = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=a"
    assert (await guarded.send("POST", path, body=b"x")).status == 403
    assert policy.checked == [(RUN_EDIT, "HttpRequest")]


RUN_QUERY = (
    '{ mlflowGetRun(input: {runId: "RUN"}) { run { info { runId } experiment { name } modelVersions { name } } } }'
)
QUERIES = [
    ('{ mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name } } }', [EXPERIMENT_READ]),
    (RUN_QUERY, [RUN_READ, EXPERIMENT_READ, SIGNED_IN]),
    ('{ mlflowListArtifacts(input: {runId: "RUN"}) { rootUri } }', [RUN_READ]),
    ('{ mlflowSearchRuns(input: {experimentIds: ["0"]}) { nextPageToken } }', [RUNS_SEARCH]),
    ('mutation { mlflowSearchRuns(input: {experimentIds: ["0"]}) { nextPageToken } }', [RUNS_SEARCH]),
    ("{ mlflowSearchModelVersions { nextPageToken } }", [SIGNED_IN]),
    (
        '{ mlflowGetMetricHistoryBulkInterval(input: {runIds: ["RUN"], metricKey: "m"}) { metrics { key } } }',
        [RUNS_READ],
    ),
    (
        'mutation { mlflowSearchDatasets(input: {experimentIds: ["0"]}) { datasetSummaries { name } } }',
        [EXPERIMENTS_READ],
    ),
]


@pytest.mark.parametrize(("query", "accesses"), QUERIES)
async def test_a_graphql_resolver_is_checked_as_the_rest_endpoint_is(
    guarded: Client, policy: Recorder, run_id: str, query: str, accesses: list[Access]
) -> None:
    answer = await guarded.ok("POST", "/graphql", {"query": query.replace("RUN", run_id)})
    assert answer["errors"] is None
    assert [access for access, _ in policy.checked] == [SIGNED_IN, *accesses]


@pytest.mark.parametrize("query", [query for query, accesses in QUERIES if accesses[0] != SIGNED_IN])
async def test_a_resolver_without_access_is_an_error_in_the_response(
    guarded: Client, policy: Recorder, run_id: str, query: str
) -> None:
    policy.denied = {EXPERIMENT_READ, EXPERIMENTS_READ, RUN_READ, RUNS_READ, RUNS_SEARCH}
    answer = await guarded.ok("POST", "/graphql", {"query": query.replace("RUN", run_id)})
    assert list(answer["data"].values()) == [None]
    assert answer["errors"][0].startswith("No access: ")


def test_only_call_reaches_a_handler() -> None:
    readers = {
        short(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "handler"
    }
    # The description of the API reads a handler's name, docstring and annotations, and calls none.
    assert readers == {"wire/call.py", "wire/openapi.py"}
    description = ast.parse((PACKAGE / "wire" / "openapi.py").read_text())
    called = [node.func for node in ast.walk(description) if isinstance(node, ast.Call)]
    assert not [func for func in called if isinstance(func, ast.Attribute) and func.attr == "handler"]
