"""log-batch: stored values, atomic rejection, and limits."""

from typing import Any

from tests.compat.play import Script, get, post, raw
from tests.compat.scenarios.given import (
    NOT_A_LIST,
    NOT_A_NUMBER,
    NOT_A_STRING,
    NOT_AN_INTEGER,
    NOWHERE,
    STARTED,
    experiment,
    run,
    shows,
    with_each,
    without_each,
)

PATH = "runs/log-batch"


def metric(key: str, value: Any = 1.0, **more: Any) -> dict[str, Any]:
    return {"key": key, "value": value, "timestamp": STARTED, **more}


def pair(key: str, value: Any = "1") -> dict[str, Any]:
    return {"key": key, "value": value}


def contents(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "batch")
    run_id = yield from run(experiment_id, "batch")
    whole: dict[str, Any] = {
        "run_id": run_id,
        "metrics": [metric("loss", 0.5, step=1), metric("loss", 0.4, step=2), metric("acc", "NaN")],
        "params": [pair("lr", "0.1"), pair("layers", "3")],
        "tags": [pair("team", "vision")],
    }
    yield post("all three", PATH, whole)
    yield post("all three again", PATH, whole)
    yield from shows(run_id, "after the same batch twice")
    yield get("the history after the same batch twice", "metrics/get-history", {"run_id": run_id, "metric_key": "loss"})
    yield post("nothing but the run", PATH, {"run_id": run_id})
    yield post("empty lists", PATH, {"run_id": run_id, "metrics": [], "params": [], "tags": []})
    yield post("null lists", PATH, {"run_id": run_id, "metrics": None, "params": None, "tags": None})
    yield post("by the old name", PATH, {"run_uuid": run_id})
    for label, body in without_each(whole, "run_id"):
        yield post(label, PATH, body)
    for label, body in with_each(whole, "run_id", NOT_A_STRING):
        yield post(label, PATH, body)
    for field in ("metrics", "params", "tags"):
        for label, body in with_each({"run_id": run_id}, field, NOT_A_LIST):
            yield post(label, PATH, body)
    yield post("a run that is not there", PATH, {**whole, "run_id": NOWHERE})
    yield post("a run that is not there, and nothing to log", PATH, {"run_id": NOWHERE})

    for label, item in without_each(metric("m", 2.0, step=3), "key", "value", "timestamp", "step"):
        yield post(f"a metric: {label}", PATH, {"run_id": run_id, "metrics": [item]})
    for kind in ("params", "tags"):
        for label, item in without_each(pair("p"), "key", "value"):
            yield post(f"one of {kind}: {label}", PATH, {"run_id": run_id, kind: [item]})
    yield from shows(run_id, "at the end")


def types(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "types")
    run_id = yield from run(experiment_id, "types")
    for field, wrong in (
        ("key", NOT_A_STRING),
        ("value", NOT_A_NUMBER),
        ("timestamp", NOT_AN_INTEGER),
        ("step", NOT_AN_INTEGER),
    ):
        for label, item in with_each(metric("m", 2.0, step=3), field, wrong):
            yield post(f"a metric: {label}", PATH, {"run_id": run_id, "metrics": [metric("fine"), item]})
    for kind in ("params", "tags"):
        for field in ("key", "value"):
            for label, item in with_each(pair("p"), field, NOT_A_STRING):
                yield post(f"one of {kind}: {label}", PATH, {"run_id": run_id, kind: [item]})
    mixed = {"metrics": [metric("a", "x")], "params": [pair("b", "1")], "tags": [pair("c")]}
    yield post("a bad metric before good params and tags", PATH, {"run_id": run_id, **mixed})
    yield from shows(run_id, "after the wrong types")


def conflicts(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "conflicts")
    run_id = yield from run(experiment_id, "conflicts")
    yield post("given a param", PATH, {"run_id": run_id, "params": [pair("lr", "0.1")]})
    changed = [pair("lr", "0.2"), pair("new", "1")]
    yield post(
        "a changed param",
        PATH,
        {"run_id": run_id, "metrics": [metric("m")], "params": changed, "tags": [pair("t")]},
    )
    yield from shows(run_id, "after the changed param")
    yield post("two changed params", PATH, {"run_id": run_id, "params": [pair("lr", "a"), pair("lr2", "b")]})
    yield post("now both changed", PATH, {"run_id": run_id, "params": [pair("lr", "c"), pair("lr2", "d")]})
    yield post("one param twice, alike", PATH, {"run_id": run_id, "params": [pair("a", "1"), pair("a", "1")]})
    yield post("one param twice, unlike", PATH, {"run_id": run_id, "params": [pair("b", "1"), pair("b", "2")]})
    known = {"run_id": run_id, "params": [pair("lr", "0.1"), pair("lr", "0.3")]}
    yield post("a known param twice, unlike", PATH, known)
    three = [pair("x", "1"), pair("y", "2"), pair("x", "3"), pair("y", "4"), pair("x", "5")]
    yield post("two params several times", PATH, {"run_id": run_id, "params": three})
    yield post("one tag twice", PATH, {"run_id": run_id, "tags": [pair("t", "1"), pair("t", "2")]})
    bad = {"run_id": run_id, "metrics": [metric("good"), metric("bad!key")], "params": [pair("kept?")]}
    yield post("a bad metric key", PATH, bad)
    bad = {"run_id": run_id, "params": [pair("good"), pair("bad!key")], "tags": [pair("kept?")]}
    yield post("a bad param key", PATH, bad)
    bad = {"run_id": run_id, "tags": [pair("good"), pair("../bad")], "metrics": [metric("kept")]}
    yield post("a bad tag key", PATH, bad)
    yield from shows(run_id, "after the refusals")
    bad = {"run_id": run_id, "params": [pair("b!")], "tags": [pair("d!")], "metrics": [metric("e!")]}
    yield post("every key bad", PATH, bad)
    names = {"run_id": run_id, "tags": [pair("mlflow.runName", "renamed in a batch")]}
    yield post("the name's tag", PATH, names)
    yield from shows(run_id, "renamed in a batch")
    names = {"run_id": run_id, "tags": [pair("mlflow.runName", "one"), pair("mlflow.runName", "two")]}
    yield post("the name's tag twice", PATH, names)
    yield from shows(run_id, "renamed twice in a batch")


def limits(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "limits")
    run_id = yield from run(experiment_id, "limits")
    other = yield from run(experiment_id, "limits of params and tags")
    for count in (1000, 1001):
        metrics = [metric("m", float(n), step=n) for n in range(count)]
        yield post(f"{count} metrics", PATH, {"run_id": run_id, "metrics": metrics})
    for count in (100, 101):
        params = [pair(f"p{n:03}") for n in range(count)]
        yield post(f"{count} params", PATH, {"run_id": other, "params": params})
        tags = [pair(f"t{n:03}") for n in range(count)]
        yield post(f"{count} tags", PATH, {"run_id": other, "tags": tags})
    metrics = [metric("all", float(n), step=n) for n in range(800)]
    params = [pair(f"p{n:03}") for n in range(100)]
    tags = [pair(f"t{n:03}") for n in range(100)]
    yield post("1000 of all three", PATH, {"run_id": other, "metrics": metrics, "params": params, "tags": tags})
    metrics.append(metric("all", 1.0, step=801))
    yield post("1001 of all three", PATH, {"run_id": other, "metrics": metrics, "params": params, "tags": tags})
    for length in (250, 251):
        yield post(f"a metric key of {length}", PATH, {"run_id": run_id, "metrics": [metric("k" * length)]})
        yield post(f"a param key of {length}", PATH, {"run_id": run_id, "params": [pair("k" * length)]})
        yield post(f"a tag key of {length}", PATH, {"run_id": run_id, "tags": [pair("k" * length)]})
    for length in (6000, 6001):
        yield post(f"a param value of {length}", PATH, {"run_id": run_id, "params": [pair(f"p{length}", "v" * length)]})
    for length in (8000, 8001):
        yield post(f"a tag value of {length}", PATH, {"run_id": run_id, "tags": [pair(f"t{length}", "v" * length)]})
    megabyte = {"run_id": run_id, "tags": [pair(f"big{n}", "v" * 7990) for n in range(100)], "filler": "x" * 250_000}
    yield post("more than a megabyte", PATH, megabyte)
    yield post("just under a megabyte", PATH, {"run_id": run_id, "filler": "x" * 999_000})
    body = b'{"run_id": "%s"%s}' % (run_id.encode(), b" " * 1_100_000)
    yield raw("a megabyte of spaces", PATH, body)
    yield get("how many came", "metrics/get-history", {"run_id": run_id, "metric_key": "m", "max_results": 3})
    yield get("how many of all came", "metrics/get-history", {"run_id": other, "metric_key": "all", "max_results": 3})


def latest(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "latest")
    run_id = yield from run(experiment_id, "latest")
    sets: dict[str, list[tuple[str, Any, int, int]]] = {
        "a later step": [("step", 1.0, 5, 1), ("step", 2.0, 4, 9)],
        "a later time": [("time", 1.0, 1, 5), ("time", 2.0, 1, 4)],
        "a greater value": [("value", 1.0, 1, 1), ("value", 3.0, 1, 1), ("value", 2.0, 1, 1)],
        "negative steps": [("negative", 1.0, -5, 1), ("negative", 2.0, -4, 1)],
        "NaN beside a number": [("nan", "NaN", 1, 1), ("nan", -1.0, 1, 1)],
        "NaN beside zero": [("nan0", "NaN", 1, 1), ("nan0", 0.0, 1, 1)],
        "a number beside NaN": [("nan2", 5.0, 1, 1), ("nan2", "NaN", 1, 1)],
        "NaN twice": [("nan3", "NaN", 1, 1), ("nan3", "NaN", 1, 1)],
        "infinities": [("inf", "Infinity", 1, 1), ("inf", "-Infinity", 1, 1), ("inf2", "-Infinity", 1, 1)],
        "the greatest double beside infinity": [("max", 1.7976931348623157e308, 1, 1), ("max", "Infinity", 1, 1)],
    }
    for label, rows in sets.items():
        metrics = [{"key": k, "value": v, "step": s, "timestamp": STARTED + t} for k, v, s, t in rows]
        yield post(label, PATH, {"run_id": run_id, "metrics": metrics})
    yield post(
        "an older step in a batch of its own", PATH, {"run_id": run_id, "metrics": [metric("step", 9.0, step=1)]}
    )
    yield from shows(run_id, "with its latest metrics")
    for key in ("step", "value", "nan", "inf", "max"):
        yield get(f"the history of {key}", "metrics/get-history", {"run_id": run_id, "metric_key": key})


def models_and_data(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "of-models")
    run_id = yield from run(experiment_id, "of models")
    model = "m-" + NOWHERE
    items = {
        "a model that is not there": metric("m", model_id=model),
        "an empty model id": metric("m", model_id=""),
        "a null model id": metric("m", model_id=None),
        "a model id that is a number": metric("m", model_id=3),
        "a dataset by name and digest": metric("d", dataset_name="d", dataset_digest="1"),
        "a dataset by name alone": metric("d", dataset_name="d"),
        "a dataset by digest alone": metric("d", dataset_digest="1"),
        "a dataset name that is a number": metric("d", dataset_name=3),
        "a run id in the metric": metric("r", run_id=NOWHERE),
    }
    for label, item in items.items():
        yield post(label, PATH, {"run_id": run_id, "metrics": [item]})
    yield from shows(run_id, "after them")
    yield get("the history of d", "metrics/get-history", {"run_id": run_id, "metric_key": "d"})


SCENARIOS = {
    "log_batch_contents": contents,
    "log_batch_types": types,
    "log_batch_conflicts": conflicts,
    "log_batch_limits": limits,
    "log_batch_latest": latest,
    "log_batch_models_and_data": models_and_data,
}
