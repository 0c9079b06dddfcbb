"""Trace endpoints of the experiment pages, without any traces."""

from typing import Any

from tests.compat.play import Script, get, post
from tests.compat.scenarios.given import experiment

AJAX = "/ajax-api/3.0/mlflow/"
API = "/api/3.0/mlflow/"


def none(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "untraced")
    locations = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}]
    asked: dict[str, Any] = {
        "locations": locations,
        "filter": "attributes.timestamp_ms > 1794799945734 AND attributes.timestamp_ms < 1795404645734",
        "max_results": 25,
        "order_by": ["timestamp DESC"],
    }
    yield post("a search as the page sends it", f"{AJAX}traces/search", asked)
    yield post("a search as clients send it", f"{API}traces/search", {"locations": locations})
    yield post("a search nowhere", f"{AJAX}traces/search", {})
    counted: dict[str, Any] = {
        "experiment_ids": [experiment_id],
        "view_type": "TRACES",
        "metric_name": "trace_count",
        "aggregations": [{"aggregation_type": "COUNT"}],
    }
    yield post("the number of traces", f"{AJAX}traces/metrics", counted)
    times = {"start_time_ms": 1794799945734, "end_time_ms": 1795404745734}
    yield post("the number in a time", f"{AJAX}traces/metrics", counted | times)
    hours = times | {"time_interval_seconds": 3600}
    yield post("the number by hours", f"{AJAX}traces/metrics", counted | hours)
    yield post("the number by name", f"{AJAX}traces/metrics", counted | {"dimensions": ["trace_name"]})
    yield post("the number of sessions", f"{AJAX}traces/metrics", counted | {"metric_name": "session_count"})
    mean = {"metric_name": "latency", "aggregations": [{"aggregation_type": "AVG"}]}
    yield post("the mean latency by hours", f"{AJAX}traces/metrics", counted | mean | hours)
    yield post("no experiments", f"{AJAX}traces/metrics", {k: v for k, v in counted.items() if k != "experiment_ids"})
    datasets = {"experiment_ids": [experiment_id], "order_by": ["created_time DESC"], "max_results": 50}
    yield post("datasets", f"{AJAX}datasets/search", datasets)
    yield get("scorers", f"{AJAX}scorers/list", {"experiment_id": experiment_id})


SCENARIOS = {"traces_none": none}
