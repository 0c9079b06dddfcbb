"""What every request goes through: routes, methods, bodies, the guard, headers, and the error form."""

import asyncio
import gzip
import json
import re
from typing import Any

import pytest
from tests.client import Client, running_app

from railtrack.api import endpoints
from railtrack.config.settings import Settings
from railtrack.wire.dispatch import REQUEST_ID
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import Routes


async def test_an_unknown_path_gets_mlflows_error_form(client: Client) -> None:
    answer = await client.post("experiments/frobnicate", {})
    assert answer.status == 404
    assert answer.json["error_code"] == "ENDPOINT_NOT_FOUND"
    assert "experiments/frobnicate" in answer.json["message"]
    assert answer.headers["content-type"] == "application/json"


async def test_a_wrong_method_gets_405_with_the_allowed_ones(client: Client) -> None:
    answer = await client.get("runs/create")
    assert (answer.status, answer.json["error_code"]) == (405, "BAD_REQUEST")
    assert answer.headers["allow"] == "OPTIONS, POST"
    assert answer.headers["allow"] in answer.json["message"]


@pytest.mark.parametrize(
    "path",
    ["/health", "/ready", "/version", "/", "/static-files/manifest.json", "/api/2.0/mlflow-artifacts/artifacts"],
)
@pytest.mark.parametrize("slashes", ["/", "//////", "%2F"])
async def test_leading_slashes_count_as_one(client: Client, path: str, slashes: str) -> None:
    """Clients join a tracking URI that ends with a slash, and a path."""
    assert (await client.get(f"/{slashes}{path.removeprefix('/')}")).body == (await client.get(path)).body


async def test_further_slashes_are_redirected_to_the_path_without_them(client: Client) -> None:
    for method, path, location in (
        (
            "GET",
            "/api/2.0//mlflow/experiments/get?experiment_id=0&x=//",
            "/api/2.0/mlflow/experiments/get?experiment_id=0&x=//",
        ),
        ("HEAD", "///api//2.0/mlflow///version-is-not-here", ""),
        ("POST", "//api/2.0/mlflow//runs/create", "/api/2.0/mlflow/runs/create"),
        ("DELETE", "/api/2.0/mlflow/logged-models//a%20b%3F%0d%0ac", "/api/2.0/mlflow/logged-models/a%20b%3F%0D%0Ac"),
    ):
        answer = await client.send(method, path, body=b"{}")
        assert (answer.status, answer.headers.get("location", "")) == (308 if location else 404, location)
    assert (await client.get("/api/2.0/mlflow//runs/create")).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "//evil.example/health",
        "//evil.example//health",
        "///evil.example/%2e%2e//health",
        "/%2Fevil.example//health",
        "/%5Cevil.example//health",
        "//health//evil.example",
    ],
)
async def test_no_path_is_redirected_to_another_host(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status, "location" in answer.headers) == (404, False)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("runs/create", "OPTIONS, POST"),
        ("runs/get", "GET, HEAD, OPTIONS"),
        ("logged-models/m", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("logged-models/m/tags", "OPTIONS, PATCH"),
        ("logged-models/search", "DELETE, GET, HEAD, OPTIONS, PATCH, POST"),
        ("/api/2.0/mlflow-artifacts/artifacts/a/b", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/*", ""),
    ],
)
async def test_options_lists_the_methods_of_a_path(client: Client, path: str, allowed: str) -> None:
    answer = await client.send("OPTIONS", path)
    assert answer.status == (204 if allowed else 404)
    assert answer.headers.get("allow", "") == allowed
    if allowed:
        assert answer.body == b""
        assert "content-length" not in answer.headers
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            assert ((await client.send(method, path, body=b"{}")).status == 405) == (method not in allowed)


async def test_options_of_the_server_lists_all_methods() -> None:
    routes = Routes.of(endpoints())
    route = routes.find(HttpRequest({"method": "OPTIONS", "path": "*", "headers": []}, _no_receive))
    response = await route.handler(None, None)
    assert response == BytesResponse(
        b"", status=204, headers=((b"allow", b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),)
    )


async def _no_receive() -> dict[str, Any]:
    raise AssertionError("OPTIONS has no body to read")


@pytest.mark.parametrize(
    ("method", "path"),
    sorted(route for route in endpoints() if "{" in route[1] and not route[1].startswith("/ajax-api/")),
)
async def test_a_nul_in_a_path_parameter_is_rejected(client: Client, method: str, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.send(method, re.sub(r"\{.*?\}", "a%00b", path), body=b"{}", headers=headers)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_a_body_of_another_content_type_is_rejected(client: Client) -> None:
    answer = await client.send("POST", "runs/create", body=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json["message"] == "Bad Request. Content-Type must be one of ['application/json']."


async def test_a_get_without_a_query_has_its_parameters_in_the_body(client: Client) -> None:
    for name in ("one", "two"):
        await client.ok("POST", "registered-models/create", {"name": name})
    for root in ("/api", "/ajax-api"):
        for method in ("GET", "HEAD"):
            answer = await client.send(
                method,
                f"{root}/2.0/mlflow/registered-models/get",
                body=b'{"name": "one"}',
                headers={"content-type": "text/plain"},
            )
            assert answer.status == 200
        searched = await client.get(
            "registered-models/search", body=b'{"filter": "name = \'two\'", "max_results": "1e+01"}'
        )
        assert [model["name"] for model in searched.json["registered_models"]] == ["two"]
    both = await client.get("registered-models/get?name=two", body=b'{"name": "one"}')
    assert both.json["registered_model"]["name"] == "two"


async def test_the_body_of_a_get_has_the_limits_of_other_bodies(client: Client) -> None:
    for body, status in (
        (b'{"name": "x"', 400),
        (b"[" * 200 + b"]" * 200, 400),
        ([b"x" * 1_000_000] * 21, 413),
        (b'{"name": "a\\u0000"}', 400),
    ):
        assert (await client.get("registered-models/get", body=body)).status == status


async def test_only_a_post_needs_a_content_type(client: Client) -> None:
    """Browsers ask before they send any PATCH or DELETE to another site, but not before a POST as a form."""
    await client.ok("POST", "registered-models/create", {"name": "m"})
    for headers in ({}, {"content-type": "application/x-www-form-urlencoded"}):
        for method, path, status in (
            ("PATCH", "registered-models/update", 200),
            ("DELETE", "registered-models/delete-tag", 200),
            ("POST", "registered-models/set-tag", 400),
        ):
            answer = await client.send(method, path, body=b'{"name": "m", "key": "k"}', headers=headers)
            assert answer.status == status


async def test_names_in_camel_case_are_never_ignored(client: Client) -> None:
    """Clients that encode protobuf messages as JSON send them by default."""
    for name in ("a", "b"):
        await client.ok("POST", "runs/create", {"experimentId": "0", "runName": name})
    body = {"experimentIds": ["0"], "maxResults": "1", "orderBy": ["attributes.run_name"], "runViewType": "ALL"}
    found = await client.ok("POST", "runs/search", body)
    assert [run["info"]["run_name"] for run in found["runs"]] == ["a"]
    quoted = {"experiment_ids": ["0"], "filter": "tags.`\"maxResults\":` = 'x'"}
    assert await client.ok("POST", "runs/search", quoted) == {}
    created = await client.ok("POST", "experiments/create", {"name": "x", "artifactLocation": "s3://bucket/x"})
    experiment = await client.ok("GET", "experiments/get", query={"experiment_id": created["experiment_id"]})
    assert experiment["experiment"]["artifact_location"] == "s3://bucket/x"
    both = await client.ok("POST", "runs/update", {"run_id": found["runs"][0]["info"]["run_id"], "runName": "c"})
    assert both["run_info"]["run_name"] == "c"


async def test_names_in_camel_case_are_read_in_nested_objects(client: Client) -> None:
    created = [
        await client.ok("POST", "logged-models", {"experiment_id": "0", "name": name, "modelType": "t"})
        for name in "ab"
    ]
    ids = [one["model"]["info"]["model_id"] for one in created]
    run_id = (await client.ok("POST", "runs/create", {"experiment_id": "0"}))["run"]["info"]["run_id"]
    metric = {"key": "acc", "value": 0.5, "timestamp": 1, "modelId": ids[0], "datasetName": "d", "datasetDigest": "1"}
    await client.ok("POST", "runs/log-batch", {"run_id": run_id, "metrics": [metric]})
    for clauses, expected in (
        ({"order_by": [{"fieldName": "name", "ascending": True}]}, ids),
        ({"order_by": [{"field_name": "metrics.acc", "datasetName": "d", "datasetDigest": "1"}]}, ids),
        ({"datasets": [{"datasetName": "d", "datasetDigest": "1"}], "filter": "metrics.acc > 0"}, ids[:1]),
        ({"datasets": [{"dataset_name": "d", "datasetDigest": "2"}], "filter": "metrics.acc > 0"}, []),
    ):
        found = await client.ok("POST", "logged-models/search", {"experiment_ids": ["0"], **clauses})
        assert [model["info"]["model_id"] for model in found.get("models", [])] == expected, clauses


async def test_a_charset_beside_the_content_type_is_fine(client: Client) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await client.send("POST", "runs/create", body=b'{"experiment_id": "0"}', headers=headers)
    assert answer.status == 200


async def test_another_workspace_is_rejected_and_never_ignored(client: Client) -> None:
    other = {"x-mlflow-workspace": "other"}
    answer = await client.send("POST", "experiments/create", json={"name": "x"}, headers=other)
    assert (answer.status, answer.json["error_code"]) == (400, "FEATURE_DISABLED")
    assert "'other'" in answer.json["message"]
    assert (await client.get("/nowhere", headers=other)).status == 400
    assert (await client.get("/api/3.0/mlflow/server-info", headers=other)).status == 200
    for name in ("default", " default ", ""):
        assert (
            await client.get("experiments/get", {"experiment_id": "0"}, headers={"x-mlflow-workspace": name})
        ).status == 200


async def test_a_nul_in_a_body_is_rejected_before_it_reaches_the_database(client: Client) -> None:
    answer = await client.post("runs/create", {"experiment_id": "0", "run_name": "a\0b"})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "NUL" in answer.json["message"]


async def test_a_giant_body_is_rejected_before_it_is_held_in_memory(client: Client) -> None:
    pieces = [b"x" * 1024 * 1024] * 21
    answer = await client.send("POST", "runs/create", body=pieces, headers={"Content-Type": "application/json"})
    assert answer.status == 413
    assert answer.json["error_code"] == "BAD_REQUEST"


async def test_large_bodies_of_unknown_length_are_all_taken(client: Client) -> None:
    tags = [{"key": f"t{number}", "value": "x" * 3000} for number in range(900)]
    body = json.dumps({"experiment_id": "0", "tags": tags}).encode()
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    headers = {"Content-Type": "application/json"}
    sent = [client.send("POST", "runs/create", body=pieces, headers=headers) for _ in range(4)]
    assert [answer.status for answer in await asyncio.gather(*sent)] == [200] * 4


async def test_a_large_body_must_be_strictly_right(client: Client) -> None:
    body = json.dumps({"experiment_id": 0, "padding": "x" * 3_000_000}).encode()
    answer = await client.send("POST", "runs/create", body=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "experiment_id" in answer.json["message"]


async def test_a_query_that_is_not_utf_8_is_rejected(client: Client) -> None:
    answer = await client.get("runs/get?run_id=%ff")
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_every_answer_has_a_request_id_and_safe_headers(client: Client) -> None:
    answer = await client.get("runs/get", {"run_id": "x"}, headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    other = await client.get("runs/get", {"run_id": "x"}, headers={"X-Request-ID": "a\r\nb"})
    assert other.headers["x-request-id"] not in ("", "a\r\nb")


async def test_no_two_requests_get_the_same_id(client: Client, settings: Settings) -> None:
    async with running_app(settings) as after_a_restart:
        clients = [client, client, after_a_restart, after_a_restart]
        ids = [(await one.get("runs/get", {"run_id": "x"})).headers["x-request-id"] for one in clients]
    assert len(set(ids)) == len(ids)
    assert all(REQUEST_ID.fullmatch(one) for one in ids)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://localhost.evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.localhost"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_change_that_another_site_asks_for_is_blocked(client: Client, headers: dict[str, str]) -> None:
    answer = await client.post("runs/create", {"experiment_id": "0"}, headers=headers)
    assert (answer.status, answer.json["error_code"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}])
async def test_own_pages_and_programs_may_change_things(client: Client, headers: dict[str, str]) -> None:
    assert (await client.post("runs/create", {"experiment_id": "0"}, headers=headers)).status == 200


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip, deflate", True),
        ("GZIP;q=0.001", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("xgzip, gzip-9", False),
    ],
)
async def test_a_large_answer_is_compressed_for_who_takes_it(
    client: Client, accepted: str, is_compressed: bool
) -> None:
    tags = [{"key": f"tag{number}", "value": "x" * 1000} for number in range(60)]
    created = await client.ok("POST", "runs/create", {"experiment_id": "0", "tags": tags})
    query = {"run_id": created["run"]["info"]["run_id"]}
    plain = await client.get("runs/get", query)
    packed = await client.get("runs/get", query, headers={"Accept-Encoding": accepted})
    assert packed.headers["vary"] == plain.headers["vary"] == "Origin, accept-encoding"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) == len(packed.body)
    if is_compressed:
        assert packed.headers["content-encoding"] == "gzip"
        assert len(packed.body) < len(plain.body) / 5
        assert json.loads(gzip.decompress(packed.body)) == plain.json
    else:
        assert "content-encoding" not in packed.headers
        assert packed.json == plain.json


async def test_head_answers_as_get_does_without_the_body(client: Client) -> None:
    answer = await client.send("HEAD", "runs/get", query={"run_id": "x"})
    assert (answer.status, answer.body) == (404, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "body", [b'{"run_name": "\xff\xfe"}', b'{"a":' * 2000, b"[" * 100_000, b"\xef\xbb\xbf", b"{,}"]
)
async def test_an_invalid_json_body_is_rejected(client: Client, body: bytes) -> None:
    answer = await client.send("POST", "runs/create", body=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
