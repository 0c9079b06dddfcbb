"""What clients in other languages send for one small training: paths, headers and spellings of their libraries.

Found by reading the public clients: Java and R of MLflow, MLFlowClient.jl, an SDK for Go, clients for PHP, JavaScript
and .NET, and scripts with curl.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from tests.compat.play import Exchange, Script
from tests.compat.scenarios.given import STARTED

API = "/api/2.0/mlflow/"
JSON = {"Content-Type": "application/json"}


def _sent(
    name: str,
    method: str,
    path: str,
    body: Any = None,
    query: Mapping[str, Any] | None = None,
    *,
    headers: Mapping[str, str] = JSON,
    only: tuple[str, ...] = (),
) -> Exchange:
    url = f"{path}?{urlencode(query, doseq=True, quote_via=quote)}" if query else path
    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    shows = sent.decode() if isinstance(body, bytes) else body
    return Exchange(name, method, url, sent, dict(headers), shows=shows, only=only)


def java(prefix: str) -> Script:
    """org.mlflow:mlflow-client with a tracking URI that ends in a slash: `//api`, and 64-bit integers as text."""
    api, agent = "//api/2.0/mlflow/", {"User-Agent": "mlflow-java-client/3.17.2"}
    typed = {**JSON, **agent}
    created = yield _sent("create", "POST", api + "experiments/create", {"name": prefix + "java"}, headers=typed)
    experiment_id = created.at("experiment_id")
    yield _sent(
        "by name", "GET", api + "experiments/get-by-name", query={"experiment_name": prefix + "java"}, headers=agent
    )
    tags = [{"key": "mlflow.user", "value": "duke"}]
    body = {"experiment_id": experiment_id, "start_time": str(STARTED), "tags": tags, "run_name": "java run"}
    run_id = (yield _sent("run", "POST", api + "runs/create", body, headers=typed)).at("run", "info", "run_id")
    metric = {"key": "loss", "value": 0.5, "timestamp": str(STARTED), "step": "1"}
    yield _sent("metric", "POST", api + "runs/log-metric", {"run_id": run_id, **metric}, headers=typed)
    nan = {**metric, "value": "NaN", "step": "9007199254740993"}
    params = [{"key": "lr", "value": "0.1"}]
    body = {"run_id": run_id, "metrics": [{**metric, "step": "2"}, nan], "params": params}
    yield _sent("batch", "POST", api + "runs/log-batch", body, headers=typed)
    body = {"run_id": run_id, "status": "FINISHED", "end_time": str(STARTED + 1)}
    yield _sent("end", "POST", api + "runs/update", body, headers=typed)
    yield _sent("get", "GET", api + "runs/get", query={"run_id": run_id}, headers=agent)
    history = {"run_id": run_id, "metric_key": "loss"}
    yield _sent("history", "GET", api + "metrics/get-history", query=history, headers=agent)
    body = {
        "experiment_ids": [experiment_id],
        "run_view_type": "ACTIVE_ONLY",
        "max_results": 1000,
        "filter": "metrics.loss < 1",
    }
    yield _sent("search", "POST", api + "runs/search", body, headers=typed, only=("runs", "info", "run_name"))
    yield _sent("artifacts", "GET", api + "artifacts/list", query={"run_id": run_id, "path": "model"}, headers=agent)
    yield _sent("model", "POST", api + "registered-models/create", {"name": prefix + "java"}, headers=typed)
    body = {"name": prefix + "java", "source": f"runs:/{run_id}/model", "run_id": run_id}
    yield _sent("version", "POST", api + "model-versions/create", body, headers=typed)
    stages = {"name": prefix + "java", "stages": ["None", "Staging"]}
    yield _sent("latest", "GET", api + "registered-models/get-latest-versions", query=stages, headers=agent)
    yield _sent("unknown run", "GET", api + "runs/get", query={"run_id": "0" * 32}, headers=agent)


def r(prefix: str) -> Script:
    """The mlflow package of R: every number as text, both names of the run, and no content type for GET."""
    accept = {"Accept": "application/json, text/xml, application/xml, */*", "User-Agent": "mlflow-r-client/3.17.2"}
    typed = {**accept, **JSON}
    body = {"name": prefix + "r", "tags": [{"key": "lang", "value": "R"}]}
    experiment_id = (yield _sent("create", "POST", API + "experiments/create", body, headers=typed)).at("experiment_id")
    body = {"experiment_id": experiment_id, "user_id": "unknown", "start_time": "1.7e+12"}
    run_id = (yield _sent("run", "POST", API + "runs/create", body, headers=typed)).at("run", "info", "run_id")
    both = {"run_uuid": run_id, "run_id": run_id}
    metric = {"key": "rmse", "value": "0.0123456789012345", "timestamp": "1700000000123", "step": "1e+05"}
    yield _sent("metric", "POST", API + "runs/log-metric", {**both, **metric}, headers=typed)
    for value in ("NaN", "Infinity", "-Infinity", "1e-05"):
        yield _sent(
            f"metric {value}",
            "POST",
            API + "runs/log-metric",
            {**both, **metric, "key": value, "value": value},
            headers=typed,
        )
    yield _sent("param", "POST", API + "runs/log-parameter", {**both, "key": "alpha", "value": "0.5"}, headers=typed)
    yield _sent("tag", "POST", API + "runs/set-tag", {**both, "key": "t", "value": "v"}, headers=typed)
    frame = [
        {"key": "a", "value": "1", "step": "0", "timestamp": "1.7e+12"},
        {"key": "b", "value": "2", "step": "2", "timestamp": "1.7e+12"},
    ]
    yield _sent("batch", "POST", API + "runs/log-batch", {"run_id": run_id, "metrics": frame}, headers=typed)
    yield _sent(
        "end", "POST", API + "runs/update", {**both, "status": "FINISHED", "end_time": "1.7e+12"}, headers=typed
    )
    yield _sent("get", "GET", API + "runs/get", query=both, headers=accept)
    yield _sent("history", "GET", API + "metrics/get-history", query={**both, "metric_key": "rmse"}, headers=accept)
    yield _sent("artifacts", "GET", API + "artifacts/list", query=both, headers=accept)
    body = {"experiment_ids": [experiment_id], "run_view_type": "ACTIVE_ONLY", "order_by": []}
    yield _sent("search", "POST", API + "runs/search", body, headers=typed, only=("runs", "info", "run_id"))
    body = {"max_results": "1000", "view_type": "ACTIVE_ONLY", "filter": f"name = '{prefix}r'"}
    yield _sent("experiments", "POST", API + "experiments/search", body, headers=typed)
    yield _sent("delete", "POST", API + "runs/delete", {"run_id": run_id}, headers=typed)


def julia(prefix: str) -> Script:
    """MLFlowClient.jl: null for what is missing, and the fields of a DELETE in both the query and the body."""
    typed = {"Connection": "close", **JSON}
    body = {"name": prefix + "julia", "artifact_location": None, "tags": []}
    experiment_id = (yield _sent("create", "POST", API + "experiments/create", body, headers=typed)).at("experiment_id")
    body = {"experiment_id": experiment_id, "run_name": None, "start_time": STARTED, "tags": []}
    run_id = (yield _sent("run", "POST", API + "runs/create", body, headers=typed)).at("run", "info", "run_id")
    body = {"run_id": run_id, "key": "loss", "value": 1, "timestamp": STARTED, "step": None}
    yield _sent("metric", "POST", API + "runs/log-metric", body, headers=typed)
    body = {"run_id": run_id, "metrics": [], "params": [{"key": "lr", "value": "0.1"}], "tags": []}
    yield _sent("batch", "POST", API + "runs/log-batch", body, headers=typed)
    body = {
        "experiment_ids": [experiment_id],
        "filter": "",
        "run_view_type": "ACTIVE_ONLY",
        "max_results": 1000,
        "order_by": [],
        "page_token": "",
    }
    yield _sent("search", "POST", API + "runs/search", body, headers=typed, only=("runs", "info", "run_id"))
    body = {"run_id": run_id, "status": "FINISHED", "end_time": STARTED + 1, "run_name": None}
    yield _sent("update", "POST", API + "runs/update", body, headers=typed)
    yield _sent("get", "GET", API + "runs/get", query={"run_id": run_id}, headers=typed)
    model = {"name": prefix + "julia"}
    body = {**model, "tags": [], "description": None}
    yield _sent("model", "POST", API + "registered-models/create", body, headers=typed)
    yield _sent("tag", "POST", API + "registered-models/set-tag", {**model, "key": "k", "value": "v"}, headers=typed)
    tag = {**model, "key": "k"}
    yield _sent("delete the tag", "DELETE", API + "registered-models/delete-tag", tag, tag, headers=typed)
    yield _sent("delete the model", "DELETE", API + "registered-models/delete", model, model, headers=typed)
    file = f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts/a.txt"
    yield _sent(
        "put", "PUT", file, b"julia", headers={"Connection": "close", "Content-Type": "application/octet-stream"}
    )
    yield _sent("files", "GET", API + "artifacts/list", query={"run_id": run_id, "path": ""}, headers=typed)


def go(prefix: str) -> Script:
    """An SDK for Go, with a content type for all methods, and one that encodes protobuf's JSON in camel case."""
    typed = {**JSON, "Accept": "application/json", "User-Agent": "Go-http-client/1.1"}
    experiment_id = (
        yield _sent("create", "POST", API + "experiments/create", {"name": prefix + "go"}, headers=typed)
    ).at("experiment_id")
    yield _sent("get", "GET", API + "experiments/get", query={"experiment_id": experiment_id}, headers=typed)
    body = {
        "experiment_id": experiment_id,
        "start_time": STARTED,
        "run_name": "go",
        "tags": [{"key": "k", "value": ""}],
    }
    run_id = (yield _sent("run", "POST", API + "runs/create", body, headers=typed)).at("run", "info", "run_id")
    body = {"run_id": run_id, "key": "m", "value": 1e-7, "timestamp": STARTED, "step": 0}
    yield _sent("metric", "POST", API + "runs/log-metric", body, headers=typed)
    yield _sent(
        "end", "POST", API + "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": STARTED}, headers=typed
    )
    name = {"name": prefix + "go"}
    yield _sent("model", "POST", API + "registered-models/create", name, headers=typed)
    yield _sent("delete the model", "DELETE", API + "registered-models/delete", name, headers=typed)
    body = {"experimentId": experiment_id, "startTime": str(STARTED), "runName": "camel"}
    yield _sent("camel: run", "POST", API + "runs/create", body, headers=typed)
    body = {
        "experimentIds": [experiment_id],
        "maxResults": 1,
        "orderBy": ["attributes.run_name DESC"],
        "runViewType": "ALL",
    }
    yield _sent("camel: search", "POST", API + "runs/search", body, headers=typed, only=("runs", "info", "run_name"))
    body = {"maxResults": "3", "viewType": "ALL", "filter": f"name = '{prefix}go'"}
    yield _sent("camel: experiments", "POST", API + "experiments/search", body, headers=typed)


def php(prefix: str) -> Script:
    """A client for PHP on Guzzle: a list for every empty array, and floats without a fraction as integers."""
    typed = {**JSON, "Accept": "application/json", "User-Agent": "GuzzleHttp/7"}
    experiment_id = (
        yield _sent("create", "POST", API + "experiments/create", {"name": prefix + "php"}, headers=typed)
    ).at("experiment_id")
    body = {
        "experiment_id": experiment_id,
        "run_name": "php",
        "tags": [{"key": "n", "value": "1"}],
        "start_time": STARTED,
    }
    run_id = (yield _sent("run", "POST", API + "runs/create", body, headers=typed)).at("run", "info", "run_id")
    body = {
        "run_id": run_id,
        "metrics": [{"key": "m", "value": 2, "timestamp": STARTED}],
        "params": [{"key": "p", "value": "1"}],
    }
    yield _sent("batch", "POST", API + "runs/log-batch", body, headers=typed)
    yield _sent("get", "GET", API + "runs/get", query={"run_id": run_id}, headers=typed)
    body = {"experiment_ids": [], "run_view_type": "ACTIVE_ONLY"}
    yield _sent("search of nothing", "POST", API + "runs/search", body, headers=typed)
    body = {
        "experiment_ids": [experiment_id],
        "run_view_type": "DELETED_ONLY",
        "order_by": ["metrics.m DESC"],
        "max_results": 10,
    }
    yield _sent("search", "POST", API + "runs/search", body, headers=typed)
    model = {"run_id": run_id, "artifact_path": "m", "flavors": {"python_function": {}}}
    yield _sent("model without its JSON", "POST", API + "runs/log-model", model, headers=typed)
    yield _sent(
        "end", "POST", API + "runs/update", {"run_id": run_id, "status": "KILLED", "end_time": STARTED}, headers=typed
    )


def javascript(prefix: str) -> Script:
    """A client for JavaScript on fetch: spaces as `+`, parameters of GET also as JSON, and the browser-like headers."""
    typed = {**JSON, "Accept": "*/*", "Accept-Language": "*", "Sec-Fetch-Mode": "cors", "User-Agent": "node"}
    experiment_id = (
        yield _sent("create", "POST", API + "experiments/create", {"name": prefix + "java script"}, headers=typed)
    ).at("experiment_id")
    by_name = f"{API}experiments/get-by-name?experiment_name={prefix}java+script"
    yield _sent("by name", "GET", by_name, headers=typed)
    body = {"experiment_id": experiment_id, "run_name": "js", "start_time": STARTED + 0.0}
    run_id = (yield _sent("run", "POST", API + "runs/create", body, headers=typed)).at("run", "info", "run_id")
    body = {"run_id": run_id, "key": "m", "value": 0.30000000000000004, "timestamp": STARTED, "step": 1e3}
    yield _sent("metric", "POST", API + "runs/log-metric", body, headers=typed)
    yield _sent("null for NaN", "POST", API + "runs/log-metric", {**body, "value": None}, headers=typed)
    yield _sent(
        "update",
        "POST",
        API + "runs/update",
        {"run_id": run_id, "status": "FINISHED", "end_time": STARTED},
        headers=typed,
    )
    yield _sent("get", "GET", API + "runs/get", query={"run_id": run_id}, headers=typed)
    name = {"name": prefix + "js model"}
    yield _sent(
        "model", "POST", API + "registered-models/create", {**name, "tags": [], "description": ""}, headers=typed
    )
    yield _sent("describe", "PATCH", API + "registered-models/update", {**name, "description": "d"}, headers=typed)
    query = {"filter": f"name = '{prefix}js model'", "max_results": "100"}
    yield _sent("models", "GET", API + "registered-models/search", query=query, headers=typed)
    yield _sent("delete", "DELETE", API + "registered-models/delete", name, headers=typed)


def dotnet(prefix: str) -> Script:
    """A client for .NET: a content type with a charset, both names of the run, and Accept with a quality."""
    typed = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json; q=1"}
    experiment_id = (
        yield _sent("create", "POST", API + "experiments/create", {"name": prefix + ".NET"}, headers=typed)
    ).at("experiment_id")
    body = {
        "experiment_id": experiment_id,
        "user_id": "u",
        "run_name": "net",
        "start_time": STARTED,
        "source_type": "LOCAL",
        "source_name": "x",
        "tags": None,
    }
    run_id = (yield _sent("run", "POST", API + "runs/create", body, headers=typed)).at("run", "info", "run_id")
    body = {"run_uuid": run_id, "run_id": run_id, "key": "m", "value": 1.0, "timestamp": STARTED}
    yield _sent("metric", "POST", API + "runs/log-metric", body, headers=typed)
    yield _sent(
        "param", "POST", API + "runs/log-parameter", {"run_uuid": run_id, "key": "p", "value": "v"}, headers=typed
    )
    yield _sent("get", "GET", API + "runs/get", query={"run_uuid": run_id}, headers=typed)


def curl(prefix: str) -> Script:
    """People's scripts with curl: a JSON body for GET, and its default content type for PATCH and DELETE."""
    form = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*", "User-Agent": "curl/8.5.0"}
    typed = {**form, **JSON}
    experiment_id = (
        yield _sent("create", "POST", API + "experiments/create", {"name": prefix + "curl"}, headers=typed)
    ).at("experiment_id")
    yield _sent(
        "create with the default type", "POST", API + "experiments/create", {"name": prefix + "form"}, headers=form
    )
    yield _sent("get", "GET", API + "experiments/get", {"experiment_id": experiment_id}, headers=form)
    run_id = (
        yield _sent(
            "run",
            "POST",
            API + "runs/create",
            {"experiment_id": experiment_id, "run_name": "c", "start_time": STARTED},
            headers=typed,
        )
    ).at("run", "info", "run_id")
    yield _sent("get the run", "GET", API + "runs/get", {"run_id": run_id}, headers=form)
    name = {"name": prefix + "curl"}
    yield _sent("model", "POST", API + "registered-models/create", name, headers=typed)
    yield _sent("models", "GET", API + "registered-models/search", {"filter": f"name = '{prefix}curl'"}, headers=form)
    yield _sent("describe", "PATCH", API + "registered-models/update", {**name, "description": "d"}, headers=form)
    yield _sent("delete", "DELETE", API + "registered-models/delete", name, headers=form)
    file = f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts/a.txt"
    yield _sent("upload by --data-binary", "PUT", file, b"text", headers=form)
    yield _sent("download", "GET", file, headers={"Accept": "*/*"})


SCENARIOS = {
    f"language_{scenario.__name__}": scenario for scenario in (java, r, julia, go, php, javascript, dotnet, curl)
}
