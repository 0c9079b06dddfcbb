"""Deeply nested JSON, which every endpoint rejects, wherever it is in a request."""

import json
import re

import pytest
from tests.client import Client

from railtrack.api import endpoints
from railtrack.wire.json_limits import DEPTH_LIMIT

WITH_BODY = sorted(
    (method, re.sub(r"\{.*?\}", "1", path))
    for (method, path), route in endpoints().items()
    if route.struct is not None and method != "GET" and not route.only_with_login
)
JSON_TYPE = {"content-type": "application/json"}


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("levels", [DEPTH_LIMIT, 972, 5000])
async def test_every_endpoint_rejects_deeply_nested_json(client: Client, levels: int) -> None:
    for method, path in WITH_BODY:
        for body in (nested(levels), f'{{"unknown": {nested(levels - 1)}}}', '{"a":' * levels + "1" + "}" * levels):
            response = await client.send(method, path, body=body.encode(), headers=JSON_TYPE)
            assert response.status == 400, (method, path, response.text)
            assert f"nested {DEPTH_LIMIT} levels" in response.json["message"]


@pytest.mark.parametrize("levels", [3, DEPTH_LIMIT - 1])
async def test_no_endpoint_fails_with_json_within_the_limit(client: Client, levels: int) -> None:
    for method, path in WITH_BODY:
        for body in (f'{{"unknown": {nested(levels - 1)}}}', f'{{"unknown": ["\\u0000", {nested(levels - 2)}]}}'):
            response = await client.send(method, path, body=body.encode(), headers=JSON_TYPE)
            assert response.status < 500 or response.json["error_code"] == "NOT_IMPLEMENTED", (path, response.text)


@pytest.mark.parametrize("levels", [DEPTH_LIMIT - 4, 300, 972])
async def test_variables_and_queries_of_graphql_may_not_be_nested_deeply(client: Client, levels: int) -> None:
    query = "query ($data: MlflowGetRunInput) { mlflowGetRun(input: $data) { run { info { runId } } } }"
    body = f'{{"query": {json.dumps(query)}, "variables": {{"data": {{"runId": {nested(levels)}}}}}}}'
    response = await client.send("POST", "/graphql", body=body.encode(), headers=JSON_TYPE)
    if levels < DEPTH_LIMIT - 3:
        assert (response.status, response.json["data"]) == (200, None)
        assert "'$data'" in response.json["errors"][0]
    else:
        assert response.status == 400
    literal = f"{{ mlflowGetRun(input: {{runId: {nested(levels)}}}) {{ run {{ info {{ runId }} }} }} }}"
    response = await client.post("/graphql", {"query": literal})
    assert (response.status, response.json["data"]) == (200, None)
    assert len(response.json["errors"][0]) < 1000


@pytest.mark.parametrize("levels", [DEPTH_LIMIT, 972, 3000])
async def test_a_text_that_holds_deeply_nested_json_is_rejected(client: Client, levels: int) -> None:
    run = await client.ok("POST", "runs/create", {"experiment_id": "0"})
    run_id = run["run"]["info"]["run_id"]
    fields = '"artifact_path": "m", "run_id": "r", "utc_time_created": "now", "flavors": {"a": %s}'
    model_json = "{" + fields % nested(levels) + "}"
    response = await client.post("runs/log-model", {"run_id": run_id, "model_json": model_json})
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")

    # A tag that the server reads as JSON.
    tag = {"run_id": run_id, "key": "mlflow.log-model.history", "value": nested(levels)}
    await client.ok("POST", "runs/set-tag", tag)
    response = await client.post("runs/log-model", {"run_id": run_id, "model_json": "{" + fields % "1" + "}"})
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("levels", [DEPTH_LIMIT, 972, 3000])
async def test_a_tag_with_deeply_nested_json_does_not_prevent_a_registration(client: Client, levels: int) -> None:
    model = (await client.ok("POST", "logged-models", {"experiment_id": "0"}))["model"]
    model_id = model["info"]["model_id"]
    tags = [{"key": "mlflow.modelVersions", "value": nested(levels)}]
    await client.ok("PATCH", f"logged-models/{model_id}/tags", {"tags": tags})
    await client.ok("POST", "registered-models/create", {"name": "m"})
    created = {"name": "m", "source": f"models:/{model_id}", "model_id": model_id}
    await client.ok("POST", "model-versions/create", created)
    model = (await client.ok("GET", f"logged-models/{model_id}"))["model"]
    assert model["info"]["tags"] == [{"key": "mlflow.modelVersions", "value": '[{"name": "m", "version": 1}]'}]
