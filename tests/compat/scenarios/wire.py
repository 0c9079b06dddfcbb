"""Requests rejected before dispatch: content types, methods, paths, and bodies that are no JSON object."""

import json

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
    model = {"name": prefix + "typed"}
    yield post("given a model", "registered-models/create", model)
    for label, content_type in types.items():
        body = json.dumps({**model, "description": label}).encode()
        yield raw(f"patch as {label}", "registered-models/update", body, content_type, method="PATCH")
        body = json.dumps({**model, "key": label}).encode()
        yield raw(f"delete as {label}", "registered-models/delete-tag", body, content_type, method="DELETE")


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


def slashes(prefix: str) -> Script:
    """Send paths as clients do that join a URL that ends with a slash and a path that begins with one."""
    experiment_id = yield from experiment(prefix, "slashes")
    query = f"?experiment_id={experiment_id}"
    for path in (
        "//version",
        "/////version",
        f"//api/2.0/mlflow/experiments/get{query}",
        f"////ajax-api/2.0/mlflow/experiments/get{query}",
        f"/%2Fapi/2.0/mlflow/experiments/get{query}",
        "//api/2.0/mlflow/logged-models/m-0",
        "//api/2.0/mlflow-artifacts/artifacts?path=nothing-here",
        "//evil.example",
        "//evil.example/version",
        "//evil.example//version",
        f"/api/2.0/mlflow//experiments/get{query}",
        f"/api//2.0///mlflow//experiments/get{query}&x=%2F%2F",
        f"//api/2.0//mlflow/experiments/get{query}",
        f"/api/2.0/mlflow%2F%2Fexperiments/get{query}",
        "/api/2.0/mlflow/logged-models//m-0",
        "/api/2.0/mlflow-artifacts//artifacts?path=nothing-here",
        "/api/2.0/mlflow//nothing",
        "/version//",
    ):
        yield raw(f"get {path.replace(experiment_id, '1')}", path, method="GET", keep=("location",))
    name = f'{{"name": "{prefix}doubled"}}'.encode()
    yield raw("create with two slashes", "//api/2.0/mlflow/experiments/create", name)
    yield raw("create with two inner slashes", "/api/2.0/mlflow//experiments/create", name, keep=("location",))
    yield raw("update by GET with two inner slashes", "/api/2.0/mlflow//experiments/update", method="GET")
    file = f"//api/2.0/mlflow-artifacts/artifacts/{experiment_id}/slashes/a.txt"
    yield raw("put a file", file, b"file", None, method="PUT")
    yield raw("get the file", file[1:], b"", None, method="GET")
    yield raw("delete the file", "/" + file, b"", None, method="DELETE")


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
        '"step": "1e2"}',
        '"step": "1e+05"}',
        '"step": "1.7e+12"}',
        '"step": "1E5"}',
        '"step": "100.0"}',
        '"step": "5."}',
        '"step": "-1e3"}',
        '"step": "+6"}',
        '"step": "00012"}',
        '"step": "9223372036854775807"}',
        '"step": "-9.223372036854775808e18"}',
        '"step": "9007199254740993.0"}',
    ]
    for text in accepted:
        yield raw(f"log-metric {text[:-1]}", "runs/log-metric", (start + text).encode())
    rejected = [
        '"step": 1e-2}',
        '"step": "0x10"}',
        '"step": "1e-2"}',
        '"step": "1e19"}',
        '"step": "1e400"}',
        '"step": "9223372036854775808"}',
        '"step": "9.223372036854775807e18"}',
        '"step": "1.5"}',
        '"step": "1e"}',
        '"step": "5L"}',
        '"step": "1,000"}',
        '"step": "inf"}',
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
    both = {"run_id": run_id, "runId": run_id, "key": "k", "value": "v"}
    yield post("a field in both spellings", "runs/set-tag", both)


def numbers_as_text(prefix: str) -> Script:
    """Send every number as R does: as text, in the shortest notation of a double."""
    experiment_id = yield from experiment(prefix, "numbers")
    body = {"experiment_id": experiment_id, "run_name": "numbers", "start_time": "1.7e+12"}
    created = yield post("a start time", "runs/create", body)
    run_id = created.at("run", "info", "run_id")
    metric = {"key": "m", "value": "1e-05", "timestamp": "1.7e+12", "step": "1e+05"}
    yield post("a metric", "runs/log-metric", {"run_id": run_id, **metric})
    batch = {
        "run_id": run_id,
        "metrics": [{**metric, "key": "b", "step": "-1e3"}, {**metric, "key": "c", "step": "5."}],
    }
    yield post("a batch", "runs/log-batch", batch)
    fraction = {**metric, "key": "d", "step": "1.5"}
    invalid = {"run_id": run_id, "metrics": [{**metric, "key": "d"}, fraction]}
    yield post("a batch with a fraction", "runs/log-batch", invalid)
    yield post("an end time", "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": "1.7000000001e+12"})
    yield post("an end time that is no number", "runs/update", {"run_id": run_id, "end_time": "1e400"})
    yield get("the metric", "metrics/get-history", {"run_id": run_id, "metric_key": "m"})
    yield get("the first of the batch", "metrics/get-history", {"run_id": run_id, "metric_key": "b"})
    yield get("the second of the batch", "metrics/get-history", {"run_id": run_id, "metric_key": "c"})
    ids = {"experiment_ids": [experiment_id]}
    found = ("runs", "info", "run_name")
    yield post("a search", "runs/search", {**ids, "max_results": "100"}, only=found)
    yield get("experiments", "experiments/search", {"max_results": "5", "filter": f"name = '{prefix}numbers'"})
    history = {"run_id": run_id, "metric_key": "m"}
    for number in ("1e+00", "1.0", "25000", "2.5e+4"):
        yield get(f"at most {number} points", "metrics/get-history", {**history, "max_results": number})
    yield post("the deletion", "runs/delete", {"run_id": run_id})


def bodies_of_gets(prefix: str) -> Script:
    """Send what a GET asks for in a body, as people's scripts with curl and mlflow-export-import do."""
    experiment_id = yield from experiment(prefix, "bodies")
    run_id = yield from run(experiment_id, "bodies")
    metric = {"run_id": run_id, "key": "m", "value": 1, "timestamp": STARTED, "step": 1}
    yield post("given a metric", "runs/log-metric", metric)
    for name in ("one", "two"):
        yield post(f"given the model {name}", "registered-models/create", {"name": prefix + name})
    version = {
        "name": prefix + "one",
        "source": f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts",
        "run_id": run_id,
    }
    yield post("given a version", "model-versions/create", version)
    alias = {"name": prefix + "one", "alias": "best", "version": "1"}
    yield post("given an alias", "registered-models/alias", alias)
    body = {"experiment_id": experiment_id, "name": "logged"}
    logged = (yield post("given a logged model", "logged-models", body)).at("model", "info", "model_id")
    model = {"name": prefix + "one"}
    of_model = {"filter": f"name = '{prefix}one'"}
    bodies = {
        "experiments/get": {"experiment_id": experiment_id},
        "experiments/get-by-name": {"experiment_name": prefix + "bodies"},
        "experiments/search": {"filter": f"name = '{prefix}bodies'", "max_results": 5},
        "runs/get": {"run_id": run_id},
        "artifacts/list": {"run_id": run_id, "path": "x"},
        "metrics/get-history": {"run_id": run_id, "metric_key": "m", "max_results": 1},
        "registered-models/get": model,
        "registered-models/search": of_model,
        "registered-models/get-latest-versions": {**model, "stages": ["None"]},
        "registered-models/alias": {**model, "alias": "best"},
        "model-versions/get": {**model, "version": "1"},
        "model-versions/get-download-uri": {**model, "version": "1"},
        "model-versions/search": of_model,
        f"logged-models/{logged}": {},
        f"logged-models/{logged}/artifacts/directories": {"artifact_directory_path": "x"},
        "/api/2.0/mlflow-artifacts/artifacts": {"path": f"{experiment_id}/nothing"},
    }
    for path, body in bodies.items():
        label = path.replace(str(logged), "<model>")
        sent = json.dumps(body).encode()
        yield raw(f"{label} with a body", path, sent, method="GET")
        yield raw(f"{label} with a body of any type", path, sent, "application/x-www-form-urlencoded", method="GET")
        ajax = "/ajax-api" + (path.removeprefix("/api") if path.startswith("/") else f"/2.0/mlflow/{path}")
        yield raw(f"{label} with a body at the pages' path", ajax, sent, method="GET")
    sent = json.dumps(model).encode()
    get_model = "registered-models/get"
    yield raw("the query wins", f"{get_model}?name={prefix}two", sent, method="GET")
    yield raw("a query without the field", f"{get_model}?x=1", sent, method="GET")
    yield raw("a question mark alone", f"{get_model}?", sent, method="GET")
    yield raw("encoded twice", get_model, json.dumps(json.dumps(model)).encode(), method="GET")
    yield raw("null", get_model, b"null", method="GET")
    yield raw("a list", get_model, b"[]", method="GET")
    yield raw("half an object", get_model, b'{"name": ', method="GET")
    yield raw("a form", get_model, b"name=x", "application/x-www-form-urlencoded", method="GET")
    yield raw("a number for a text", "registered-models/search", b'{"filter": 3}', method="GET")
    yield raw("a text for a number", "registered-models/search", b'{"max_results": "x"}', method="GET")


SCENARIOS = {
    "wire_bodies": bodies,
    "wire_content_types": content_types,
    "wire_methods": methods,
    "wire_paths": paths,
    "wire_origins": origins,
    "wire_scalars": scalars,
    "wire_slashes": slashes,
    "wire_numbers_as_text": numbers_as_text,
    "wire_bodies_of_gets": bodies_of_gets,
}
