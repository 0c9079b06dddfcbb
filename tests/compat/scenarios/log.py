"""One value at a time: log-metric, log-parameter, set-tag, delete-tag, log-model."""

from typing import Any

from tests.compat.play import Script, get, post, raw
from tests.compat.scenarios.given import (
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

KEYS = {
    "with every allowed sign": "aZ09_-. :/x",
    "in Korean": "손실",
    "with an accent": "précision",
    "with an emoji": "🚀",
    "with an exclamation mark": "a!b",
    "with a backslash": "a\\b",
    "with a quote": "it's",
    "with a percent sign": "50%",
    "with brackets": "acc[0]",
    "with an equals sign": "a=b",
    "with a line break": "a\nb",
    "with a tab": "a\tb",
    "with a space at both ends": " a ",
    "that is a space": " ",
    "that is a dot": ".",
    "that is two dots": "..",
    "that climbs": "../a",
    "that climbs and comes back": "a/../b",
    "that begins with a slash": "/a",
    "that ends with a slash": "a/",
    "with two slashes": "a//b",
    "with a dot between slashes": "a/./b",
    "that begins with a dot and a slash": "./a",
    "with two dots in a word": "a..b",
    "with a colon": "C:/a",
    "of 249 characters": "k" * 249,
    "of 250 characters": "k" * 250,
    "of 251 characters": "k" * 251,
}


def log_metric(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "log-metric")
    run_id = yield from run(experiment_id, "metrics")
    path = "runs/log-metric"
    whole: dict[str, Any] = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": STARTED, "step": 1}
    yield post("a metric", path, whole)
    yield post("the same again", path, whole)
    yield post("by the old name", path, {**whole, "run_id": None, "run_uuid": run_id, "key": "old"})
    yield post("without a step", path, {"run_id": run_id, "key": "no-step", "value": 1, "timestamp": STARTED})
    for label, body in without_each(whole, "run_id", "key", "value", "timestamp", "step"):
        yield post(label, path, body)
    values = {
        "zero": 0,
        "a text": "0.25",
        "a text in exponents": "1e-3",
        "a text with spaces": " 1 ",
        "NaN": "NaN",
        "nan": "nan",
        "Infinity": "Infinity",
        "-Infinity": "-Infinity",
        "inf": "inf",
        "-inf": "-inf",
        "infinity": "infinity",
        "the greatest double": 1.7976931348623157e308,
        "the least positive double": 5e-324,
        "a big integer": 2**60,
        "an integer over 64 bits": 2**70,
        "a boolean": True,
    }
    for label, value in values.items():
        yield post(f"the value {label}", path, {**whole, "key": f"value {label}", "value": value})
    for literal in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = f'{{"run_id": "{run_id}", "key": "literal {literal}", "value": {literal}, "timestamp": 1}}'
        yield raw(f"the literal {literal}", path, text.encode())
    integers = {
        "as text": "7",
        "as a whole fraction": 7.0,
        "as a whole fraction in text": "7.0",
        "negative": -7,
        "the greatest": 2**63 - 1,
        "the least": -(2**63),
        "the greatest, as text": str(2**63 - 1),
    }
    for label, value in integers.items():
        yield post(f"a step {label}", path, {**whole, "key": "steps", "step": value})
        yield post(f"a timestamp {label}", path, {**whole, "key": "timestamps", "timestamp": value})
    yield post("a run that is not there", path, {**whole, "run_id": NOWHERE})
    yield post("an empty model id", path, {**whole, "key": "of-model", "model_id": ""})
    yield post("dataset fields", path, {**whole, "key": "of-data", "dataset_name": "d", "dataset_digest": "1"})
    yield from shows(run_id, "after the metrics")


def rejected_metrics(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "refused-metrics")
    run_id = yield from run(experiment_id, "refused")
    path = "runs/log-metric"
    whole: dict[str, Any] = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": STARTED, "step": 1}
    for field in ("run_id", "key"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    for field in ("timestamp", "step"):
        odd = {
            **NOT_AN_INTEGER,
            "over 64 bits, as text": str(2**63),
        }
        for label, body in with_each(whole, field, odd):
            yield post(label, path, body)
    odd = {**NOT_A_NUMBER, "an underscored text": "1_0", "a hexadecimal text": "0x10", "over the doubles": 10**400}
    del odd["a boolean"]
    for label, body in with_each(whole, "value", odd):
        yield post(label, path, body)
    for literal in ("1.", "01", "+1", ".5"):
        text = f'{{"run_id": "{NOWHERE}", "key": "literal", "value": {literal}, "timestamp": 1}}'
        yield raw(f"the literal {literal}", path, text.encode())
    yield post("a model id", path, {**whole, "key": "of-model", "model_id": "m-" + NOWHERE})
    yield post("a model id that is a number", path, {**whole, "model_id": 3})
    yield post("a dataset name alone", path, {**whole, "key": "of-data", "dataset_name": "d"})
    yield post("a dataset name that is a number", path, {**whole, "dataset_name": 3})
    yield post("a key with a line break at the end", path, {**whole, "key": "a\n"})
    yield from shows(run_id, "after the refused metrics")


def metric_keys(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "metric-keys")
    run_id = yield from run(experiment_id, "keys")
    for label, key in KEYS.items():
        body = {"run_id": run_id, "key": key, "value": 1, "timestamp": STARTED}
        yield post(f"a metric {label}", "runs/log-metric", body)
    yield from shows(run_id, "after the keys")


def log_parameter(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "log-parameter")
    run_id = yield from run(experiment_id, "params")
    path = "runs/log-parameter"
    whole = {"run_id": run_id, "key": "lr", "value": "0.1"}
    yield post("a param", path, whole)
    yield post("the same again", path, whole)
    yield post("another value", path, {**whole, "value": "0.2"})
    yield post("another value, long", path, {**whole, "value": "x" * 600})
    yield post("by the old name", path, {"run_uuid": run_id, "key": "old", "value": "1"})
    for label, body in without_each({**whole, "key": "unset"}, "run_id", "key", "value"):
        yield post(label, path, body)
    for field in ("run_id", "key", "value"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    for length in (500, 501, 6000, 6001):
        yield post(f"a value of {length} characters", path, {**whole, "key": f"v{length}", "value": "v" * length})
    texts = {"emoji": "🚀", "line breaks": "a\nb", "from right to left": "ערך", "spaces": "  "}
    for label, text in texts.items():
        yield post(f"a value of {label}", path, {**whole, "key": label, "value": text})
    yield post("a run that is not there", path, {**whole, "run_id": NOWHERE})
    yield from shows(run_id, "after the params")
    for label, key in KEYS.items():
        yield post(f"a param {label}", path, {**whole, "key": key})
    yield from shows(run_id, "after the param keys")


def set_tag(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "set-tag")
    run_id = yield from run(experiment_id, "tags")
    path = "runs/set-tag"
    whole = {"run_id": run_id, "key": "team", "value": "vision"}
    yield post("a tag", path, whole)
    yield post("another value", path, {**whole, "value": "speech"})
    yield post("by the old name", path, {"run_uuid": run_id, "key": "old", "value": "1"})
    for label, body in without_each({**whole, "key": "unset"}, "run_id", "key", "value"):
        yield post(label, path, body)
    for field in ("run_id", "key", "value"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    for length in (5000, 5001, 8000, 8001):
        yield post(f"a value of {length} characters", path, {**whole, "key": f"v{length}", "value": "v" * length})
    yield post("a run that is not there", path, {**whole, "run_id": NOWHERE})
    for label, key in KEYS.items():
        yield post(f"a tag {label}", path, {**whole, "key": key})
    yield from shows(run_id, "after the tags")

    named = {"run_id": run_id, "key": "mlflow.runName"}
    yield post("the name by its tag", path, {**named, "value": "renamed by tag"})
    yield from shows(run_id, "renamed by its tag")
    yield post("the name by its tag, empty", path, {**named, "value": ""})
    yield from shows(run_id, "with an empty name tag")
    yield post("the name's tag taken away", "runs/delete-tag", named)
    yield from shows(run_id, "without its name tag")
    yield post("the name by an update", "runs/update", {"run_id": run_id, "run_name": "renamed by update"})
    yield from shows(run_id, "renamed by an update")


def delete_tag(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "delete-tag")
    run_id = yield from run(experiment_id, "tags", tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    path = "runs/delete-tag"
    whole = {"run_id": run_id, "key": "a"}
    yield post("a tag", path, whole)
    yield post("it again", path, whole)
    yield post("one that never was", path, {**whole, "key": "never"})
    yield post("a key with signs", path, {**whole, "key": "a!b"})
    yield post("a key of 251 characters", path, {**whole, "key": "k" * 251})
    yield post("by the old name of the run", path, {"run_uuid": run_id, "key": "never"})
    for label, body in without_each(whole, "run_id", "key"):
        yield post(label, path, body)
    for field in ("run_id", "key"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    yield post("of a run that is not there", path, {**whole, "run_id": NOWHERE})
    yield from shows(run_id, "after the removals")


def log_model(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "log-model")
    run_id = yield from run(experiment_id, "models")
    path = "runs/log-model"
    model = (
        '{"artifact_path": "model", "flavors": {"python_function": {"loader_module": "x"}}, '
        '"utc_time_created": "2024-01-01 00:00:00", "run_id": "r"}'
    )
    whole = {"run_id": run_id, "model_json": model}
    yield post("a model", path, whole)
    yield from shows(run_id, "with a model")
    yield post("a second model", path, {**whole, "model_json": model.replace('"model"', '"other"')})
    yield from shows(run_id, "with two models")
    for label, body in without_each(whole, "run_id", "model_json"):
        yield post(label, path, body)
    for field in ("run_id", "model_json"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    jsons = {
        "no JSON": "{",
        "a list": "[]",
        "a number": "3",
        "null": "null",
        "an empty object": "{}",
        "without flavors": '{"artifact_path": "m", "utc_time_created": "x", "run_id": "r"}',
        "without artifact_path": '{"flavors": {}, "utc_time_created": "x", "run_id": "r"}',
        "without utc_time_created": '{"artifact_path": "m", "flavors": {}, "run_id": "r"}',
        "without run_id": '{"artifact_path": "m", "flavors": {}, "utc_time_created": "x"}',
        "with an emoji": model.replace('"model"', '"🚀"'),
        "with flavors that are a list": model.replace('{"python_function": {"loader_module": "x"}}', "[]"),
        "with the server's code": model.replace('{"loader_module": "x"}', '{"code": "c", "config": {}}'),
    }
    for label, text in jsons.items():
        yield post(f"a model_json {label}", path, {**whole, "model_json": text})
    yield post("of a run that is not there", path, {**whole, "run_id": NOWHERE})
    yield from shows(run_id, "after the models")
    yield get("its artifacts", "artifacts/list", {"run_id": run_id})


def many_models(prefix: str) -> Script:
    """Log models until their list is longer than the column of a tag on PostgreSQL."""
    experiment_id = yield from experiment(prefix, "many-models")
    run_id = yield from run(experiment_id, "many models")
    for number in range(36):
        path = f"model-{number}-" + "p" * 120
        model = f'{{"artifact_path": "{path}", "flavors": {{}}, "utc_time_created": "2024", "run_id": "r"}}'
        yield post(f"model {number}", "runs/log-model", {"run_id": run_id, "model_json": model})
    yield from shows(run_id, "with many models")


SCENARIOS = {
    "log_model_many": many_models,
    "log_metric": log_metric,
    "log_metric_rejected": rejected_metrics,
    "log_metric_keys": metric_keys,
    "log_parameter": log_parameter,
    "set_tag": set_tag,
    "delete_tag": delete_tag,
    "log_model": log_model,
}
