"""Metric histories: get-history and its pages, bulk, bulk-interval."""

from typing import Any

from tests.compat.play import AJAX, Script, get, post
from tests.compat.scenarios.given import NOWHERE, STARTED, experiment, run

PATH = "metrics/get-history"
BULK = AJAX + "metrics/get-history-bulk"
INTERVAL = AJAX + "metrics/get-history-bulk-interval"


def log(label: str, run_id: str, rows: list[tuple[str, Any, int, int]]) -> Script:
    metrics = [{"key": k, "value": v, "step": s, "timestamp": STARTED + t} for k, v, s, t in rows]
    yield post(label, "runs/log-batch", {"run_id": run_id, "metrics": metrics})


def history(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "history")
    run_id = yield from run(experiment_id, "history")
    rows: list[tuple[str, Any, int, int]] = [("loss", n / 4, n, n) for n in range(7)]
    yield from log("given seven values", run_id, rows)
    odd: list[tuple[str, Any, int, int]] = [
        ("odd", 2.0, 3, 1),
        ("odd", 1.0, 1, 3),
        ("odd", "NaN", 2, 2),
        ("odd", "Infinity", 2, 2),
        ("odd", "-Infinity", -1, 2),
        ("odd", 0.1, 2, 2),
        ("odd", 1e-7, 0, 0),
    ]
    yield from log("given odd values", run_id, odd)
    asked = {"run_id": run_id, "metric_key": "loss"}
    yield get("all", PATH, asked)
    yield get("odd ones", PATH, {**asked, "metric_key": "odd"})
    yield get("by the old name", PATH, {"run_uuid": run_id, "metric_key": "loss"})
    token = None
    for number in range(4):
        query = {**asked, "max_results": 3, **({"page_token": token} if token else {})}
        page = yield get(f"page {number + 1}", PATH, query)
        token = page.json.get("next_page_token")
        if not token:
            break
    first = yield get("odd ones, page 1", PATH, {**asked, "metric_key": "odd", "max_results": 4})
    token = first.at("next_page_token")
    yield get("odd ones, page 2", PATH, {**asked, "metric_key": "odd", "max_results": 4, "page_token": token})
    yield get("a token of another metric", PATH, {**asked, "max_results": 4, "page_token": token})
    yield get("a token without max_results", PATH, {**asked, "page_token": token})
    yield get("a bad token", PATH, {**asked, "max_results": 4, "page_token": "nonsense"})
    yield get("an empty token", PATH, {**asked, "max_results": 4, "page_token": ""})
    yield get("exactly as many", PATH, {**asked, "max_results": 7})
    for value in (
        "0",
        "-1",
        "",
        "x",
        "1.5",
        "25000",
        "25001",
        "50000",
        "1000000",
        "3000000000",
        "99999999999999999999",
    ):
        yield get(f"max_results {value!r}", PATH, {**asked, "max_results": value})
    yield get("no run", PATH, {"metric_key": "loss"})
    yield get("an empty run", PATH, {"run_id": "", "metric_key": "loss"})
    yield get("no metric", PATH, {"run_id": run_id})
    yield get("an empty metric", PATH, {"run_id": run_id, "metric_key": ""})
    yield get("a metric that is not there", PATH, {**asked, "metric_key": "never"})
    yield get("a run that is not there", PATH, {**asked, "run_id": NOWHERE})
    yield get("nothing at all", PATH)
    yield get("through the pages' path", AJAX + PATH, {**asked, "max_results": 1})


def bulk(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "bulk")
    one = yield from run(experiment_id, "one")
    two = yield from run(experiment_id, "two")
    deleted = yield from run(experiment_id, "deleted")
    yield from log("given values of one", one, [("loss", n / 2, n, n) for n in range(5)])
    nan: list[tuple[str, Any, int, int]] = [("loss", "NaN", 2, 2), ("loss", 1.0, 1, 9), ("loss", "Infinity", 1, 1)]
    yield from log("given values of two", two, nan)
    yield from log("given values of the deleted", deleted, [("loss", 9.0, 0, 0)])
    yield post("given a deleted run", "runs/delete", {"run_id": deleted})
    yield get("one run", BULK, {"run_id": one, "metric_key": "loss"})
    yield get("a deleted run", BULK, {"run_id": deleted, "metric_key": "loss"})
    yield get("a run that is not there", BULK, {"run_id": NOWHERE, "metric_key": "loss"})
    yield get("a run twice", BULK, {"run_id": [one, one], "metric_key": "loss", "max_results": 2})
    yield get("with a limit", BULK, {"run_id": [one], "metric_key": "loss", "max_results": 3})
    yield get("with a limit of zero", BULK, {"run_id": [one], "metric_key": "loss", "max_results": 0})
    yield get("with a negative limit", BULK, {"run_id": [one], "metric_key": "loss", "max_results": -1})
    yield get("with a wordy limit", BULK, {"run_id": [one], "metric_key": "loss", "max_results": "x"})
    yield get("a metric that is not there", BULK, {"run_id": [one], "metric_key": "never"})
    yield get("no runs", BULK, {"metric_key": "loss"})
    yield get("an empty run", BULK, {"run_id": "", "metric_key": "loss"})
    yield get("no metric", BULK, {"run_id": one})
    yield get("an empty metric", BULK, {"run_id": one, "metric_key": ""})
    yield get("101 runs", BULK, {"run_id": [one] * 101, "metric_key": "loss"})
    yield get("at the clients' path", "metrics/get-history-bulk", {"run_id": one, "metric_key": "loss"})


def interval(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "interval")
    one = yield from run(experiment_id, "one")
    two = yield from run(experiment_id, "two")
    empty = yield from run(experiment_id, "empty")
    yield from log("given values of one", one, [("loss", n / 8, n, n) for n in range(20)])
    rows: list[tuple[str, Any, int, int]] = [("loss", float(n), n * 10, n) for n in range(8)]
    yield from log(
        "given values of two", two, [*rows, ("loss", "NaN", 100, 1), ("loss", 5.5, 0, 5), ("loss", 7.0, 0, 6)]
    )
    asked: dict[str, Any] = {"run_ids": [one], "metric_key": "loss"}
    for number in (1, 2, 3, 5, 10, 19, 20, 320, 2500):
        yield get(f"one run, {number} results", INTERVAL, {**asked, "max_results": number})
    for number in (1, 2, 5, 320):
        yield get(f"the other run, {number} results", INTERVAL, {**asked, "run_ids": [two], "max_results": number})
    steps = {"start_step": 3, "end_step": 9}
    yield get("between steps", INTERVAL, {**asked, **steps, "max_results": 320})
    yield get("between steps, sampled", INTERVAL, {**asked, **steps, "max_results": 3})
    yield get("a step alone", INTERVAL, {**asked, "start_step": 3, "end_step": 3, "max_results": 320})
    yield get("steps the wrong way round", INTERVAL, {**asked, "start_step": 9, "end_step": 3, "max_results": 320})
    yield get("only a start step", INTERVAL, {**asked, "start_step": 3, "max_results": 320})
    yield get("only an end step", INTERVAL, {**asked, "end_step": 3, "max_results": 320})
    yield get("a wordy step", INTERVAL, {**asked, "start_step": "x", "end_step": 3, "max_results": 320})
    yield get("negative steps", INTERVAL, {**asked, "start_step": -5, "end_step": 2, "max_results": 320})
    yield get("without max_results", INTERVAL, asked)
    for value in ("0", "-1", "2501", "x", "1.5", ""):
        yield get(f"max_results {value!r}", INTERVAL, {**asked, "max_results": value})
    yield get("no runs", INTERVAL, {"metric_key": "loss", "max_results": 5})
    yield get("an empty run", INTERVAL, {"run_ids": "", "metric_key": "loss", "max_results": 5})
    yield get("no metric", INTERVAL, {"run_ids": one, "max_results": 5})
    yield get("an empty metric", INTERVAL, {"run_ids": one, "metric_key": "", "max_results": 5})
    yield get("a run without the metric", INTERVAL, {**asked, "run_ids": [empty], "max_results": 5})
    yield get("a run that is not there", INTERVAL, {**asked, "run_ids": [NOWHERE], "max_results": 5})
    yield get("one that is there and one that is not", INTERVAL, {**asked, "run_ids": [one, NOWHERE], "max_results": 2})
    yield get("one run twice", INTERVAL, {**asked, "run_ids": [one, one], "max_results": 2})
    yield get("101 runs", INTERVAL, {**asked, "run_ids": [one] * 101, "max_results": 2})
    yield get("run_id for run_ids", INTERVAL, {"run_id": one, "metric_key": "loss", "max_results": 2})
    yield get("at the clients' path", "metrics/get-history-bulk-interval", {**asked, "max_results": 2})


SCENARIOS = {"metrics_history": history, "metrics_bulk": bulk, "metrics_bulk_interval": interval}
