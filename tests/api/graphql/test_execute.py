"""POST /graphql: the UI's two queries as it sends them, and rejected requests."""

import math
import subprocess
import sys
from typing import Any

import pytest
from tests.api.graphql.queries import GET_EXPERIMENT, GET_RUN, GET_SAMPLES, SEARCH_RUNS, ask, errors
from tests.client import Client

from railtrack.api.graphql.execute import PAGE_LIMIT, POINTS_LIMIT, RUN_POINTS_LIMIT
from railtrack.db import Db


def without_typename(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_typename(inner) for key, inner in value.items() if key != "__typename"}
    return [without_typename(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
async def run(client: Client) -> str:
    created = await client.ok(
        "POST", "runs/create", {"experiment_id": "0", "run_name": "first", "start_time": 12, "user_id": "me"}
    )
    run_id: str = created["run"]["info"]["run_id"]
    return run_id


async def test_the_experiment_page_gets_its_experiment(client: Client, db: Db) -> None:
    async with db.write() as tx:
        await tx.execute("INSERT INTO experiment_tags (experiment_id, key, value) VALUES (0, 'team', 'vision')")
    data, found = await ask(client, GET_EXPERIMENT, {"input": {"experimentId": "0"}}, "MlflowGetExperimentQuery")
    assert found is None
    answer = data["mlflowGetExperiment"]
    assert answer["__typename"] == "MlflowGetExperimentResponse"
    assert answer["apiError"] is None
    experiment = answer["experiment"]
    assert experiment.pop("creationTime").isdigit()
    assert experiment.pop("lastUpdateTime").isdigit()
    assert experiment == {
        "__typename": "MlflowExperiment",
        "experimentId": "0",
        "name": "Default",
        "artifactLocation": "mlflow-artifacts:/0",
        "lifecycleStage": "active",
        "effectiveTraceArchivalRetention": "",
        "tags": [{"__typename": "MlflowExperimentTag", "key": "team", "value": "vision"}],
    }


async def test_the_run_page_gets_its_run_with_all_that_was_logged(client: Client, db: Db, run: str) -> None:
    await client.ok(
        "POST",
        "runs/log-batch",
        {
            "run_id": run,
            "metrics": [
                {"key": "loss", "value": 0.5, "timestamp": 1795402610910, "step": 19},
                {"key": "nan", "value": "NaN", "timestamp": 1, "step": 0},
                {"key": "inf", "value": "-Infinity", "timestamp": 1, "step": 0},
            ],
            "params": [{"key": "lr", "value": "0.1"}],
            "tags": [{"key": "note", "value": ""}],
        },
    )
    async with db.write() as tx:
        await tx.execute("INSERT INTO registered_models (name, creation_time, last_updated_time) VALUES ('m', 1, 1)")
        for version, stage in ((1, "None"), (2, "Production"), (3, "Deleted_Internal")):
            await tx.execute(
                """
                INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source,
                    run_id, status, workspace) VALUES ('m', $1, 1, $4, $2, 'models:/m-1', $3, 'READY', 'default')
                """,
                version,
                stage,
                run,
                version,
            )
        for statement in (
            """INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source)
               VALUES ('d1', 0, 'train', 'abc', 'local', '{}')""",
            f"""INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
                VALUES ('i1', 'DATASET', 'd1', 'RUN', '{run}', 0)""",
            "INSERT INTO input_tags (input_uuid, name, value) VALUES ('i1', 'mlflow.data.context', 'training')",
            f"""INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
                VALUES ('i2', 'RUN_OUTPUT', '{run}', 'MODEL_OUTPUT', 'm-1', 3)""",
        ):
            await tx.execute(statement)
    try:
        data, found = await ask(client, GET_RUN, {"data": {"runId": run}}, "GetRun")
    finally:
        async with db.write() as tx:
            await tx.execute("DELETE FROM model_versions")
            await tx.execute("DELETE FROM registered_models")
    assert found is None
    answer = data["mlflowGetRun"]
    assert [answer["__typename"], answer["run"]["__typename"]] == ["MlflowGetRunResponse", "MlflowRunExtension"]
    assert answer["run"]["data"]["metrics"][0]["__typename"] == "MlflowMetricExtension"
    shown = without_typename(answer["run"])
    assert shown.pop("experiment")["name"] == "Default"
    assert shown == {
        "info": {
            "runName": "first",
            "status": "RUNNING",
            "runUuid": run,
            "experimentId": "0",
            "artifactUri": f"mlflow-artifacts:/0/{run}/artifacts",
            "startTime": "12",
            "endTime": "0",
            "lifecycleStage": "active",
            "userId": "me",
        },
        "modelVersions": [
            {"status": "READY", "version": "2", "name": "m", "source": "models:/m-1"},
            {"status": "READY", "version": "1", "name": "m", "source": "models:/m-1"},
        ],
        "data": {
            "metrics": [
                {"key": "inf", "value": -1.7976931348623157e308, "step": "0", "timestamp": "1"},
                {"key": "loss", "value": 0.5, "step": "19", "timestamp": "1795402610910"},
                {"key": "nan", "value": None, "step": "0", "timestamp": "1"},
            ],
            "params": [{"key": "lr", "value": "0.1"}],
            "tags": [{"key": "mlflow.runName", "value": "first"}, {"key": "note", "value": ""}],
        },
        "inputs": {
            "datasetInputs": [
                {
                    "dataset": {
                        "digest": "abc",
                        "name": "train",
                        "profile": "",
                        "schema": "",
                        "source": "{}",
                        "sourceType": "local",
                    },
                    "tags": [{"key": "mlflow.data.context", "value": "training"}],
                }
            ],
            "modelInputs": [],
        },
        "outputs": {"modelOutputs": [{"modelId": "m-1", "step": "3"}]},
    }


async def test_the_other_queries_of_the_ui_are_within_the_limits(client: Client, run: str) -> None:
    metrics = [{"key": f"m{number}", "value": number, "timestamp": 1, "step": 2} for number in range(120)]
    await client.ok("POST", "runs/log-batch", {"run_id": run, "metrics": metrics})
    asked = {"filter": "attributes.status = 'RUNNING'", "experimentIds": ["0"]}
    data, found = await ask(client, SEARCH_RUNS, {"data": asked}, "SearchRuns")
    assert found is None
    [searched] = data["mlflowSearchRuns"]["runs"]
    data, found = await ask(client, GET_RUN, {"data": {"runId": run}}, "GetRun")
    assert found is None
    assert data["mlflowGetRun"]["run"] == searched
    assert sorted(point["key"] for point in searched["data"]["metrics"]) == sorted(each["key"] for each in metrics)
    data, found = await ask(client, GET_SAMPLES, {"data": {"runIds": [run], "metricKey": "m7"}})
    assert found is None
    [point] = data["mlflowGetMetricHistoryBulkInterval"]["metrics"]
    sample = {"timestamp": "1", "step": "2", "runId": run, "key": "m7", "value": 7.0}
    assert point == sample | {"__typename": "MlflowMetricWithRunId"}


async def test_a_runs_artifacts_are_listed_in_pages(client: Client, run: str) -> None:
    for name in ("a/one", "a/two", "b"):
        await client.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/{name}", body=b"xx")
    query = """query($i: MlflowListArtifactsInput!) {
        mlflowListArtifacts(input: $i) { rootUri nextPageToken files { path isDir fileSize } }
    }"""
    data, found = await ask(client, query, {"i": {"runUuid": run, "path": "a"}})
    assert found is None
    assert data["mlflowListArtifacts"] == {
        "rootUri": f"mlflow-artifacts:/0/{run}/artifacts",
        "nextPageToken": "",
        "files": [
            {"path": "a/one", "isDir": False, "fileSize": "2"},
            {"path": "a/two", "isDir": False, "fileSize": "2"},
        ],
    }
    data, _ = await ask(client, query, {"i": {"runId": run, "pageToken": "a"}})
    assert [file["path"] for file in data["mlflowListArtifacts"]["files"]] == ["b"]
    assert await errors(client, query, {"i": {"runId": run, "path": "../x"}}) == ["Invalid path"]


async def test_a_missing_resource_is_an_error_message_beside_null_data(client: Client) -> None:
    assert await ask(client, GET_RUN, {"data": {"runId": "nope"}}) == (
        {"mlflowGetRun": None},
        ["Run with id=nope not found"],
    )
    assert await errors(client, GET_EXPERIMENT, {"input": {"experimentId": "999"}}) == [
        "No Experiment with id=999 exists"
    ]
    assert await errors(client, GET_EXPERIMENT, {"input": {"experimentId": "abc"}}) == [
        "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."
    ]
    assert await errors(client, "{ mlflowGetRun { run { info { runId } } } }") == ["Run with id= not found"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ nope }", "Cannot query field 'nope' on type 'Query'."),
        ("{ mlflowGetRun(x: 1) { run { info { runId } } } }", "Unknown argument 'x' on field 'Query.mlflowGetRun'."),
        (
            "query($d: MlflowGetRunInput!) { mlflowGetRun(input: $d) { apiError { code } } }",
            "Variable '$d'",
        ),
        ("{ mlflowGetRun(", "Syntax Error"),
        ("query A { __typename } query B { __typename }", "Must provide operation name"),
        ("mutation { x }", ""),
        ("subscription { x }", ""),
        ("fragment F on Query { __typename }", ""),
    ],
)
async def test_an_invalid_query_gets_an_error_message(client: Client, query: str, message: str) -> None:
    assert (await errors(client, query))[0].startswith(message)


async def test_of_several_operations_the_named_one_runs(client: Client) -> None:
    query = "query A { __typename } query B { b: __typename }"
    assert await ask(client, query, operation="B") == ({"b": "Query"}, None)
    assert await errors(client, query, operation="C") == ["Unknown operation named 'C'."]


async def test_an_invalid_request_body_is_rejected(client: Client) -> None:
    async def error_message(body: bytes, content_type: str = "application/json") -> str:
        answer = await client.send("POST", "/graphql", body=body, headers={"content-type": content_type})
        assert answer.status == 400
        message: str = answer.json["message"]
        return message

    assert "must be a JSON object" in await error_message(b'[{"query":"{__typename}"}]')
    assert "'query'" in await error_message(b"{}")
    assert "'query'" in await error_message(b'{"query":""}')
    assert "'query'" in await error_message(b'{"query":3}')
    assert "'variables'" in await error_message(b'{"query":"{__typename}","variables":[1]}')
    assert "not valid JSON" in await error_message(b"nonsense")
    assert "Content-Type" in await error_message(b'{"query":"{__typename}"}', "text/plain")
    assert (await client.get("/graphql")).status == 405


async def test_invalid_variables_are_rejected_by_name(client: Client) -> None:
    for wrong in (3, {"zzz": 1}, {"runId": 1}, None):
        assert "'$data'" in (await errors(client, GET_RUN, {"data": wrong}))[0]


def test_a_process_without_queries_does_not_load_the_library() -> None:
    program = "import sys; from railtrack.api import endpoints; endpoints(); sys.exit('graphql' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_a_page_of_runs_is_short_whatever_is_asked_for_and_its_token_leads_on(client: Client) -> None:
    experiment_id = (await client.ok("POST", "experiments/create", {"name": "many"}))["experiment_id"]
    for number in range(PAGE_LIMIT + 5):
        await client.ok("POST", "runs/create", {"experiment_id": experiment_id, "run_name": f"run {number}"})
    query = (
        "query ($data: MlflowSearchRunsInput) "
        "{ mlflowSearchRuns(input: $data) { nextPageToken runs { info { runName } } } }"
    )
    names: list[str] = []
    asked: dict[str, Any] = {"experimentIds": [experiment_id], "maxResults": 50_000}
    while True:
        page = (await ask(client, query, {"data": asked}))[0]["mlflowSearchRuns"]
        assert len(page["runs"]) <= PAGE_LIMIT
        names += [one["info"]["runName"] for one in page["runs"]]
        if not page["nextPageToken"]:
            break
        asked["pageToken"] = page["nextPageToken"]
    assert len(set(names)) == len(names) == PAGE_LIMIT + 5


async def test_sampled_points_are_bounded_over_all_runs(client: Client, db: Db) -> None:
    experiment_id = (await client.ok("POST", "experiments/create", {"name": "long"}))["experiment_id"]
    run = await client.ok("POST", "runs/create", {"experiment_id": experiment_id})
    run_id = run["run"]["info"]["run_id"]
    for at in range(0, 3000, 1000):
        metrics = [{"key": "loss", "value": 1, "timestamp": 1, "step": step} for step in range(at, at + 1000)]
        await client.ok("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics})
    query = (
        "query ($data: MlflowGetMetricHistoryBulkIntervalInput) "
        "{ mlflowGetMetricHistoryBulkInterval(input: $data) { metrics { step } } }"
    )
    for runs, points in ((1, RUN_POINTS_LIMIT), (100, POINTS_LIMIT // 100)):
        asked = {"runIds": [run_id] + ["nobody"] * (runs - 1), "metricKey": "loss"}
        data, _ = await ask(client, query, {"data": asked})
        assert len(data["mlflowGetMetricHistoryBulkInterval"]["metrics"]) == points


@pytest.mark.parametrize(
    ("max_results", "is_valid"),
    [
        ("many", False),
        ("1.5", False),
        ("", False),
        ([1], False),
        ({"a": 1}, False),
        (math.inf, False),
        ("9" * 30, True),
    ],
)
async def test_an_invalid_number_is_rejected_as_over_rest(client: Client, max_results: Any, is_valid: bool) -> None:
    query = (
        "query ($data: MlflowSearchModelVersionsInput) "
        "{ mlflowSearchModelVersions(input: $data) { modelVersions { name } } }"
    )
    _, found = await ask(client, query, {"data": {"maxResults": max_results}})
    assert (found is None) == is_valid


@pytest.mark.parametrize("variables", [{"data": {"runId": "\ud800"}}, {"\ud800": 1}, {"data": [{"a": ["\ud800"]}]}])
async def test_a_text_that_is_no_unicode_is_rejected(client: Client, variables: Any) -> None:
    answer = await client.post("/graphql", {"query": GET_RUN, "variables": variables})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
