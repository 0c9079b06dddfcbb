"""The loads: each has a name, a number of connections, and the requests that they send in turn.

In a body @n@ and @c@ stand for numbers that wrk/cycle.lua puts in.
"""

import json
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode

from bench.seed import BATCH, CHART_POINTS, HISTORY, LARGE, POINTS, START_MS, run_id

API = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"
CONNECTIONS = 16
RUNS = 8
"""Shared by the connections, each cycling through them."""
ANSWER_LIMIT_S = 60
DEEP = 20
"""Pages of 1,000 before the deep page."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: str = ""


@dataclass(frozen=True)
class Load:
    """`requests` returns the requests to send, and creates what they need. `unit`: what counts, one request or all."""

    name: str
    connections: int
    requests: Callable[[str], Sequence[Request]]
    unit: str = "request"


def post(path: str, body: Any, prefix: str = API) -> Request:
    text = json.dumps(body, separators=(",", ":"))
    return Request("POST", prefix + path, text.replace('"@n@"', "@n@").replace('"@c@"', "@c@"))


def get(path: str, query: dict[str, Any], prefix: str = API) -> Request:
    return Request("GET", f"{prefix}{path}?{urlencode(query, doseq=True)}")


def request_json(url: str, request: Request) -> Any:
    """Send a request and return the JSON of the response, or {}. Raise HTTPError if it is rejected."""
    body = request.body.encode() or None
    sent = urllib.request.Request(url + request.path, body, {"Content-Type": "application/json"}, method=request.method)
    with urllib.request.urlopen(sent, timeout=ANSWER_LIMIT_S) as reply:
        return json.loads(reply.read() or b"{}")


def new_runs(url: str, count: int) -> list[str]:
    created = [
        request_json(url, post("runs/create", {"experiment_id": "0", "start_time": START_MS})) for _ in range(count)
    ]
    return [one["run"]["info"]["run_id"] for one in created]


def log_metric(runs: int) -> Callable[[str], list[Request]]:
    """Each connection logs its own metric, to a run that it shares with others."""

    def requests(url: str) -> list[Request]:
        point = {"value": "@n@", "timestamp": START_MS, "step": "@n@"}
        return [post("runs/log-metric", {"run_id": run, "key": "metric_@c@", **point}) for run in new_runs(url, runs)]

    return requests


def log_batch(size: int) -> Callable[[str], list[Request]]:
    def requests(url: str) -> list[Request]:
        metrics = [
            {"key": f"metric_@c@_{at}", "value": "@n@", "timestamp": START_MS, "step": "@n@"} for at in range(size)
        ]
        return [post("runs/log-batch", {"run_id": run, "metrics": metrics}) for run in new_runs(url, RUNS)]

    return requests


def log_params(url: str) -> list[Request]:
    """Log 100 new params in each request."""
    params = [{"key": f"param_@c@_@n@_{at}", "value": f"value {at}"} for at in range(100)]
    return [post("runs/log-batch", {"run_id": run, "params": params}) for run in new_runs(url, RUNS)]


def create_run(_url: str) -> list[Request]:
    tags = [{"key": "mlflow.user", "value": "bench"}, {"key": "mlflow.source.name", "value": "train.py"}]
    return [post("runs/create", {"experiment_id": "0", "start_time": START_MS, "run_name": "run @n@", "tags": tags})]


def get_small_runs(_url: str) -> list[Request]:
    return [get("runs/get", {"run_id": run_id(LARGE, number)}) for number in range(100, 2_000, 37)]


def get_large_run(_url: str) -> list[Request]:
    return [get("runs/get", {"run_id": run_id(HISTORY, 1)})]


def search(**more: Any) -> Callable[[str], list[Request]]:
    return lambda _url: [post("runs/search", {"experiment_ids": [str(LARGE)], **more})]


FILTERED = {"filter": "metrics.metric_3 > 50", "order_by": ["metrics.metric_3 DESC"], "max_results": 100}


@cache
def search_deep(url: str) -> list[Request]:
    """Fetch the page of 100 after the first 20,000 runs, whose pages are walked once."""
    page: dict[str, Any] = {"experiment_ids": [str(LARGE)], "max_results": 1000}
    for _ in range(DEEP):
        page["page_token"] = request_json(url, post("runs/search", page))["next_page_token"]
    return [post("runs/search", {**page, "max_results": 100})]


def search_experiments(_url: str) -> list[Request]:
    return [get("experiments/search", {"max_results": 25, "order_by": "last_update_time DESC"})]


def get_history(_url: str) -> list[Request]:
    return [get("metrics/get-history", {"run_id": run_id(HISTORY, 2), "metric_key": "loss", "max_results": POINTS})]


def sampled_history(_url: str) -> list[Request]:
    """Fetch 320 points of one metric's 100,000, as a chart does."""
    return [_chart(run_id(HISTORY, 3), "loss")]


def _chart(run: str, key: str) -> Request:
    return get("metrics/get-history-bulk-interval", {"run_ids": [run], "metric_key": key, "max_results": 320}, AJAX)


def duplicates(run: int, points: int) -> Callable[[str], list[Request]]:
    """Send stored batches again, as a client does that lost the response."""

    def requests(_url: str) -> list[Request]:
        steps = range(0, points // BATCH, max(1, points // BATCH // 20))
        return [post("runs/log-batch", {"run_id": run_id(HISTORY, run), "metrics": _stored(step)}) for step in steps]

    return requests


def _stored(step: int) -> list[dict[str, Any]]:
    return [
        {"key": f"batch_{k}", "value": step + k / 7, "timestamp": START_MS + step * 1000, "step": step}
        for k in range(BATCH)
    ]


GET_RUN = """query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { apiError { code message } run {
 info { runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId }
 experiment { experimentId name tags { key value } artifactLocation lifecycleStage lastUpdateTime }
 modelVersions { status version name source }
 data { metrics { key value step timestamp } params { key value } tags { key value } }
 inputs { datasetInputs { dataset { digest name } } modelInputs { modelId } } outputs { modelOutputs { modelId } }
} } }""".replace("\n", "").replace(" }", " __typename }")
GET_EXPERIMENT = """query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) {
 mlflowGetExperiment(input: $input) { apiError { code message } experiment {
 artifactLocation creationTime experimentId lastUpdateTime lifecycleStage name tags { key value }
 } } }""".replace("\n", "").replace(" }", " __typename }")
"""The browser's GraphQL client adds `__typename` to every object."""


def run_page(_url: str) -> list[Request]:
    """Send the browser's requests for a run's page: the run, its uses, and six charts."""
    run = run_id(LARGE, 7)
    query = {"operationName": "GetRun", "variables": {"data": {"runId": run}}, "query": GET_RUN}
    return [
        post("/graphql", query, ""),
        get("experiments/get", {"experiment_id": LARGE}, AJAX),
        get("model-versions/search", {"filter": f"run_id='{run}'"}, AJAX),
        post("runs/search", {"experiment_ids": [str(LARGE)], "filter": f"tags.`mlflow.parentRunId` = '{run}'",
                             "max_results": 10}, AJAX),
        get("artifacts/list", {"run_uuid": run, "path": "images"}, AJAX),
        *(_chart(run, f"metric_{at}") for at in range(1, 7)),
    ]  # fmt: skip


def runs_table(_url: str) -> list[Request]:
    """Send the browser's requests for an experiment's table of runs."""
    experiment = str(LARGE)
    query = {"operationName": "MlflowGetExperimentQuery", "variables": {"input": {"experimentId": experiment}}}
    page = {"run_view_type": "ACTIVE_ONLY", "max_results": 100, "order_by": ["attributes.start_time DESC"]}
    return [
        post("/graphql", {**query, "query": GET_EXPERIMENT}, ""),
        post("runs/search", {"experiment_ids": [experiment], **page}, AJAX),
        post("experiments/search-datasets", {"experiment_ids": [experiment]}, AJAX),
        post("logged-models/search", {"experiment_ids": [experiment]}, AJAX),
    ]


LOADS = (
    Load("log-metric, 1 connection", 1, log_metric(RUNS)),
    Load("log-metric, 1 connection, all to one run", 1, log_metric(1)),
    Load("log-metric", CONNECTIONS, log_metric(RUNS)),
    Load("log-metric, all to one run", CONNECTIONS, log_metric(1)),
    Load("log-batch of 10 metrics", CONNECTIONS, log_batch(10)),
    Load("log-batch of 100 metrics", CONNECTIONS, log_batch(100)),
    Load("log-batch of 500 metrics", CONNECTIONS, log_batch(500)),
    Load("log-batch of 1,000 metrics", CONNECTIONS, log_batch(1000)),
    Load("log-batch of 100 params", CONNECTIONS, log_params),
    Load("re-sent batch of 100, history of 10,000", CONNECTIONS, duplicates(4, 10_000)),
    Load("re-sent batch of 100, history of 200,000", CONNECTIONS, duplicates(5, 200_000)),
    Load("create-run", CONNECTIONS, create_run),
    Load("get-run, 20 metrics", CONNECTIONS, get_small_runs),
    Load("get-run, 1,000 metrics", CONNECTIONS, get_large_run),
    Load("search, page of 100, filter and metric order", 4, search(**FILTERED)),
    Load("search, page of 1,000", 4, search(max_results=1000)),
    Load("search, page of 100 after 20,000 runs", 4, search_deep),
    Load("experiments/search", CONNECTIONS, search_experiments),
    Load("get-history, 20,000 points", 4, get_history),
    Load(f"get-history-bulk-interval, 320 of {CHART_POINTS:,}", 4, sampled_history),
    Load("web page: a run", 4, run_page, unit="page"),
    Load("web page: table of runs", 4, runs_table, unit="page"),
)
