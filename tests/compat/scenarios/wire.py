"""Requests rejected before dispatch: content types, methods, paths, and bodies that are no JSON object."""

from tests.compat.play import AJAX, Script, get, post, raw
from tests.compat.scenarios.given import STARTED, experiment, run

CREATE = "experiments/create"


def bodies(prefix: str) -> Script:
    texts = {
        "nothing": b"",
        "a space": b" ",
        "a list": b"[]",
        "a list of objects": b'[{"name": "x"}]',
        "a text": b'"name"',
        "a text with an object in it": f'"{{\\"name\\": \\"{prefix}in-text\\"}}"'.encode(),
        "a number": b"3",
        "null": b"null",
        "true": b"true",
        "half an object": b'{"name": "x"',
        "an object and more": b'{"name": "x"} trailing',
        "single quotes": b"{'name': 'x'}",
        "a comma at the end": b'{"name": "x",}',
        "a form": b"name=x",
        "XML": b"<name>x</name>",
        "bytes that are no UTF-8": b'{"name": "\xff\xfe"}',
        "UTF-16": '{"name": ""}'.encode("utf-16"),
        "a control character": b'{"name": "a\x01b"}',
        "nested lists": b"[" * 2000 + b"]" * 2000,
        "nested objects": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    }
    for label, body in texts.items():
        yield raw(f"a body of {label}", CREATE, body)
    bom = b"\xef\xbb\xbf" + f'{{"name": "{prefix}bom"}}'.encode()
    yield raw("a byte order mark", CREATE, bom)
    twice = f'{{"name": "{prefix}one", "name": "{prefix}two"}}'.encode()
    made = yield raw("a member twice", CREATE, twice)
    yield get("which of the two", "experiments/get", {"experiment_id": made.at("experiment_id")})
    yield raw("the body of a search by nothing", "runs/search", b"")
    yield raw("the body of a search by null", "runs/search", b"null")
    yield raw("a body as a base64 text", CREATE, b'"eyJuYW1lIjogIngifQ=="')
    giant = b'{"name": "' + b"n" * 3_000_000 + b'"}'
    yield raw("a name of three megabytes", CREATE, giant)


def content_types(prefix: str) -> Script:
    types: dict[str, str | None] = {
        "none": None,
        "empty": "",
        "text/plain": "text/plain",
        "a form": "application/x-www-form-urlencoded",
        "a multipart form": "multipart/form-data; boundary=x",
        "XML": "application/xml",
        "JSON with a charset": "application/json; charset=utf-8",
        "JSON with another charset": "application/json; charset=latin-1",
        "JSON in capitals": "Application/JSON",
        "JSON of a kind": "application/vnd.api+json",
        "text/json": "text/json",
        "JSON with spaces": " application/json ",
        "nonsense": "nonsense",
    }
    for number, (label, content_type) in enumerate(types.items()):
        body = f'{{"name": "{prefix}{number}"}}'.encode()
        yield raw(f"post as {label}", CREATE, body, content_type)
    experiment_id = yield from experiment(prefix, "typed")
    for label, content_type in types.items():
        path = f"experiments/get?experiment_id={experiment_id}"
        yield raw(f"get as {label}", path, b"", content_type, method="GET")
    body = f'{{"experiment_id": "{experiment_id}"}}'.encode()
    yield raw("get with a body", "experiments/get", body, method="GET")
    yield raw(
        "get with both", f"experiments/get?experiment_id={experiment_id}", b'{"experiment_id": "9"}', method="GET"
    )
    yield raw("post with a query", f"experiments/update?experiment_id={experiment_id}&new_name=x", b"")
    body = f'{{"new_name": "{prefix}queried"}}'.encode()
    yield raw("post with a query and a body", f"experiments/update?experiment_id={experiment_id}", body)
    yield raw("an empty post without a type", "experiments/create", b"", None)


def methods(prefix: str) -> Script:
    for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO"):
        yield raw(f"{method} on experiments/create", CREATE, b"", method=method)
    for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        yield raw(
            f"{method} on experiments/get",
            "experiments/get?experiment_id=999999999",
            b"{}" if method != "HEAD" else b"",
            method=method,
        )
    yield raw("PATCH on runs/update", "runs/update", b'{"run_id": "x"}', method="PATCH")
    yield raw("DELETE on runs/delete", "runs/delete", b'{"run_id": "x"}', method="DELETE")


def paths(prefix: str) -> Script:
    for path in (
        "nothing",
        "experiments",
        "experiments/",
        "experiments/nothing",
        "runs/nothing/at/all",
        "/api/2.0/mlflow",
        "/api/2.0/mlflow/",
        "/api/2.0/",
        "/api",
        "/api/1.0/mlflow/experiments/get",
        "/api/2.0/preview/mlflow/experiments/get",
        "/api/3.0/mlflow/experiments/get",
        "/api/4.0/mlflow/experiments/get",
        "/ajax-api/2.0/preview/mlflow/experiments/get",
        "/ajax-api/2.0/mlflow/nothing",
        "/nothing",
        "/static-files/nothing.js",
        "/api/2.0/mlflow/Experiments/Get",
        "/api/2.0/mlflow//experiments/get",
        "/api/2.0/mlflow/experiments/get/",
        "/api/2.0/mlflow/experiments/../experiments/get",
        "/api/2.0/mlflow/experiments%2Fget",
        "/api/2.0/mlflow/%65xperiments/get",
        "/%00",
        "/api/2.0/mlflow/experiments/get%00",
    ):
        yield get(f"get {path}", path, {"experiment_id": "999999999"})
    yield post("post to nothing", "nothing", {})
    yield post("create through the pages' path", AJAX + CREATE, {"name": prefix + "ajax"})
    yield get("a search without a query", "runs/search")


def origins(prefix: str) -> Script:
    body = b'{"name": ""}'
    for label, headers in {
        "no origin": {},
        "this machine's": {"Origin": "http://localhost:3000"},
        "a foreign one": {"Origin": "http://evil.example"},
        "null": {"Origin": "null"},
    }.items():
        yield raw(f"post with the origin {label}", CREATE, body, headers=headers)
        yield raw(
            f"get with the origin {label}",
            "experiments/get?experiment_id=999999999",
            b"",
            method="GET",
            headers=headers,
        )
    yield raw(
        "a foreign host", "experiments/get?experiment_id=999999999", b"", method="GET", headers={"Host": "evil.example"}
    )
    yield raw("a foreign host asks for the health", "/health", b"", method="GET", headers={"Host": "evil.example"})


def scalars(prefix: str) -> Script:
    """Send numbers and texts in every spelling that protobuf's JSON mapping defines."""
    experiment_id = yield from experiment(prefix, "scalars")
    run_id = yield from run(experiment_id, "scalars")
    start = f'{{"run_id": "{run_id}", "key": "k", "value": 1, "timestamp": {STARTED}, '
    accepted = [
        '"step": 1e2}',
        '"step": 1.0e2}',
        '"step": 0.0}',
        '"step": -0}',
        '"step": "-1"}',
        '"step": 9223372036854775807}',
        '"step": 9007199254740993}',
        '"step": 1e18}',
        '"step": null}',
        '"stEp": 3}',
        '"Step": 3}',
        '"step": 1, "step": 2}',
    ]
    for text in accepted:
        yield raw(f"log-metric {text[:-1]}", "runs/log-metric", (start + text).encode())
    rejected = [
        '"step": 1e-2}',
        '"step": "0x10"}',
        '"step": "1e2"}',
        '"step": "\uff11"}',
        '"step": " 1"}',
        '"step": "--1"}',
        '"step": NaN}',
        '"step": Infinity}',
        '"step": "NaN"}',
        '"step": 9223372036854775808}',
        '"step": -9223372036854775809}',
        '"step": 1e19}',
        '"step": 123456789012345678901234567890}',
        '"step": false}',
    ]
    for text in rejected:
        body = start.replace('"k"', '"refused"') + text
        yield raw(f"log-metric {text[:-1]}", "runs/log-metric", body.encode())
    yield get("the history of the steps", "metrics/get-history", {"run_id": run_id, "metric_key": "k"})
    camel = {"runId": run_id, "key": "k", "value": 1, "timestamp": STARTED}
    yield post("the name of a field in camel case", "runs/log-metric", camel)
    camel = {"experimentId": experiment_id, "runName": "camel"}
    yield post("a run in camel case", "runs/create", camel)
    camel = {"experiment_ids": [experiment_id], "maxResults": 1, "orderBy": ["run_name"]}
    yield post("a search in camel case", "runs/search", camel, only=("runs", "info", "run_name"))
    yield get("a parameter in camel case", "runs/get", {"runId": run_id})


SCENARIOS = {
    "wire_bodies": bodies,
    "wire_content_types": content_types,
    "wire_methods": methods,
    "wire_paths": paths,
    "wire_origins": origins,
    "wire_scalars": scalars,
}
