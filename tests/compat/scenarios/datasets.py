"""Inputs and outputs of runs: log-inputs, outputs, search-datasets."""

from typing import Any

from tests.compat.play import AJAX, Script, get, post
from tests.compat.scenarios.given import (
    NOT_A_LIST,
    NOT_A_STRING,
    NOWHERE,
    experiment,
    run,
    shows,
    with_each,
    without_each,
)

PATH = "runs/log-inputs"
DATASET: dict[str, Any] = {"name": "coco", "digest": "abc", "source_type": "s3", "source": "s3://b/coco"}
CONTEXT = {"key": "mlflow.data.context", "value": "training"}


def inputs(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "inputs")
    run_id = yield from run(experiment_id, "inputs")
    whole = {"run_id": run_id, "datasets": [{"dataset": DATASET, "tags": [CONTEXT]}]}
    yield post("a dataset", PATH, whole)
    yield post("the same again", PATH, whole)
    yield from shows(run_id, "with a dataset")
    other = {**CONTEXT, "value": "validation"}
    yield post("the same with another context", PATH, {**whole, "datasets": [{"dataset": DATASET, "tags": [other]}]})
    rich = {**DATASET, "name": "rich", "schema": '{"a": 1}', "profile": "{}"}
    yield post("with schema and profile, no tags", PATH, {**whole, "datasets": [{"dataset": rich}]})
    twice = [{"dataset": {**DATASET, "name": "twice"}}, {"dataset": {**DATASET, "name": "twice"}}]
    yield post("one dataset twice", PATH, {**whole, "datasets": twice})
    changed = {**DATASET, "source": "s3://b/changed", "profile": "new"}
    yield post("the same name and digest, another source", PATH, {**whole, "datasets": [{"dataset": changed}]})
    yield from shows(run_id, "with its datasets")
    several = [{"dataset": {**DATASET, "name": name}} for name in ("z", "a", "m")]
    yield post("several datasets", PATH, {**whole, "datasets": several})
    yield from shows(run_id, "with several datasets")
    yield post("nothing but the run", PATH, {"run_id": run_id})
    yield post("empty lists", PATH, {"run_id": run_id, "datasets": [], "models": []})
    for label, body in without_each(whole, "run_id"):
        yield post(label, PATH, body)
    for label, body in with_each(whole, "run_id", NOT_A_STRING):
        yield post(label, PATH, body)
    yield post("by the old name", PATH, {"run_uuid": run_id, "datasets": whole["datasets"]})
    for label, body in with_each({"run_id": run_id}, "datasets", NOT_A_LIST):
        yield post(label, PATH, body)
    for label, body in with_each({"run_id": run_id}, "models", NOT_A_LIST):
        yield post(label, PATH, body)
    fields = ("name", "digest", "source_type", "source", "schema", "profile")
    for label, item in without_each({**rich, "name": "new"}, *fields):
        yield post(f"a dataset: {label}", PATH, {"run_id": run_id, "datasets": [{"dataset": item}]})
    for field in fields:
        for label, item in with_each(rich, field, NOT_A_STRING):
            yield post(f"a dataset: {label}", PATH, {"run_id": run_id, "datasets": [{"dataset": item}]})
    yield post("a dataset that is null", PATH, {"run_id": run_id, "datasets": [{"dataset": None}]})
    yield post("a dataset that is a text", PATH, {"run_id": run_id, "datasets": [{"dataset": "d"}]})
    yield post("only tags", PATH, {"run_id": run_id, "datasets": [{"tags": [CONTEXT]}]})
    for label, tag in {
        "no key": {"value": "v"},
        "no value": {"key": "k"},
        "an empty key": {"key": "", "value": "v"},
        "an empty value": {"key": "k", "value": ""},
        "a key that is a number": {"key": 3, "value": "v"},
        "a key of 256 characters": {"key": "k" * 256, "value": "v"},
        "a value of 501 characters": {"key": "k", "value": "v" * 501},
    }.items():
        items = [{"dataset": {**DATASET, "name": f"tagged {label}"}, "tags": [tag]}]
        yield post(f"a tag with {label}", PATH, {"run_id": run_id, "datasets": items})
    lengths = [
        ("name", 500),
        ("name", 501),
        ("digest", 36),
        ("digest", 37),
        ("source_type", 36),
        ("source", 65535),
        ("source", 65536),
        ("schema", 65535),
        ("schema", 65536),
        ("schema", 1048575),
        ("schema", 1048576),
        ("profile", 65536),
        ("profile", 16777216),
    ]
    for field, length in lengths:
        item = {**DATASET, "name": f"l{length}", field: "x" * length}
        yield post(f"a {field} of {length} characters", PATH, {"run_id": run_id, "datasets": [{"dataset": item}]})
    item = {**DATASET, "name": "이름 🚀", "source": "a\nb"}
    yield post("a name in Korean with an emoji", PATH, {"run_id": run_id, "datasets": [{"dataset": item}]})
    yield post("a run that is not there", PATH, {**whole, "run_id": NOWHERE})
    yield post("a run that is not there, and nothing", PATH, {"run_id": NOWHERE})


def models(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "models")
    run_id = yield from run(experiment_id, "models")
    model = "m-" + NOWHERE
    yield post("a model goes in", PATH, {"run_id": run_id, "models": [{"model_id": model}]})
    yield post("it goes in again", PATH, {"run_id": run_id, "models": [{"model_id": model}]})
    yield post("two models go in", PATH, {"run_id": run_id, "models": [{"model_id": "m-a"}, {"model_id": "m-b"}]})
    for label, item in {"no id": {}, "an empty id": {"model_id": ""}, "a number": {"model_id": 3}}.items():
        yield post(f"a model in with {label}", PATH, {"run_id": run_id, "models": [item]})
    yield from shows(run_id, "with models in it")
    path = "runs/outputs"
    whole = {"run_id": run_id, "models": [{"model_id": model, "step": 3}]}
    yield post("a model comes out", path, whole)
    yield post("it comes out again", path, whole)
    yield post("it comes out at another step", path, {**whole, "models": [{"model_id": model, "step": 4}]})
    yield post("a model comes out without a step", path, {**whole, "models": [{"model_id": "m-stepless"}]})
    for label, item in {
        "no id": {"step": 1},
        "an empty id": {"model_id": "", "step": 1},
        "a number for id": {"model_id": 3, "step": 1},
        "a step in text": {"model_id": "m-d", "step": "7"},
        "a negative step": {"model_id": "m-e", "step": -7},
    }.items():
        yield post(f"a model out with {label}", path, {"run_id": run_id, "models": [item]})
    for label, body in with_each({"run_id": run_id}, "models", NOT_A_LIST):
        yield post(f"out: {label}", path, body)
    for label, body in without_each(whole, "run_id", "models"):
        yield post(f"out: {label}", path, body)
    for label, body in with_each(whole, "run_id", NOT_A_STRING):
        yield post(f"out: {label}", path, body)
    yield post("out of a run that is not there", path, {**whole, "run_id": NOWHERE})
    yield from shows(run_id, "with models out of it")
    other = yield from run(experiment_id, "refused")
    yield post("a model out with a wordy step", path, {"run_id": other, "models": [{"model_id": "m-c", "step": "x"}]})
    yield from shows(other, "after the wordy step")
    yield post("delete the run", "runs/delete", {"run_id": run_id})
    yield post("out of a deleted run", path, {**whole, "models": [{"model_id": "m-late", "step": 1}]})


def search(prefix: str) -> Script:
    path = AJAX + "experiments/search-datasets"
    experiment_id = yield from experiment(prefix, "search")
    other_id = yield from experiment(prefix, "other")
    run_id = yield from run(experiment_id, "one")
    again = yield from run(experiment_id, "two")
    last = yield from run(other_id, "three")
    items = [{"dataset": DATASET, "tags": [CONTEXT]}, {"dataset": {**DATASET, "name": "plain"}}]
    yield post("given datasets", PATH, {"run_id": run_id, "datasets": items})
    items = [{"dataset": DATASET, "tags": [{**CONTEXT, "value": "test"}, {"key": "other", "value": "x"}]}]
    yield post("given one in another context", PATH, {"run_id": again, "datasets": items})
    yield post("given one in another experiment", PATH, {"run_id": last, "datasets": items})
    yield post("of one experiment", path, {"experiment_ids": [experiment_id]})
    yield post("of two experiments", path, {"experiment_ids": [experiment_id, other_id]})
    yield post("of none", path, {"experiment_ids": []})
    yield post("of nothing", path, {})
    yield post("of one that is not there", path, {"experiment_ids": ["999999999"]})
    yield post("of one whose id is no number", path, {"experiment_ids": ["abc"]})
    yield post("of 20 experiments", path, {"experiment_ids": [experiment_id] * 20})
    yield post("of 21 experiments", path, {"experiment_ids": [experiment_id] * 21})
    for label, body in with_each({}, "experiment_ids", NOT_A_LIST):
        yield post(label, path, body)
    yield post("a filter", path, {"experiment_ids": [experiment_id], "filter": "name = 'plain'"})
    yield post("at the clients' path", "experiments/search-datasets", {"experiment_ids": [experiment_id]})
    yield get("by GET", path, {"experiment_ids": experiment_id})
    yield post("delete a run", "runs/delete", {"run_id": run_id})
    yield post("after a run was deleted", path, {"experiment_ids": [experiment_id]})
    yield post("delete the other experiment", "experiments/delete", {"experiment_id": other_id})
    yield post("of a deleted experiment", path, {"experiment_ids": [other_id]})


SCENARIOS = {"datasets_inputs": inputs, "datasets_models": models, "datasets_search": search}
