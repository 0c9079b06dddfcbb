"""Values that a database column cannot hold: NUL characters, too long texts, numbers out of range.

MLflow leaves these to the database, so its responses differ by engine. They are separate from the other scenarios.
"""

from typing import Any

from tests.compat.play import AJAX, Script, get, post
from tests.compat.scenarios.given import STARTED, experiment, run, shows

NUL = "a\x00b"


def nul(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "nul")
    run_id = yield from run(experiment_id, "nul")
    of_experiment: dict[str, Any] = {"experiment_id": experiment_id}
    of_run: dict[str, Any] = {"run_id": run_id}
    pair = {"key": "k", "value": NUL}
    dataset = {"name": NUL, "digest": "1", "source_type": "s", "source": "s"}
    metric = {"key": NUL, "value": 1, "timestamp": STARTED}
    for path, body in (
        ("experiments/create", {"name": prefix + NUL}),
        ("experiments/create", {"name": prefix + "tagged", "tags": [pair]}),
        ("experiments/create", {"name": prefix + "located", "artifact_location": "s3://b/" + NUL}),
        ("experiments/update", {**of_experiment, "new_name": prefix + NUL}),
        ("experiments/delete", {"experiment_id": NUL}),
        ("experiments/set-experiment-tag", {**of_experiment, **pair}),
        ("experiments/set-experiment-tag", {**of_experiment, "key": NUL, "value": "v"}),
        ("experiments/delete-experiment-tag", {**of_experiment, "key": NUL}),
        ("experiments/search", {"filter": f"name = '{NUL}'", "max_results": 1}),
        ("runs/create", {**of_experiment, "run_name": NUL}),
        ("runs/create", {**of_experiment, "run_name": "u", "user_id": NUL}),
        ("runs/create", {**of_experiment, "run_name": "t", "tags": [pair]}),
        ("runs/update", {**of_run, "run_name": NUL}),
        ("runs/delete", {"run_id": NUL}),
        ("runs/log-metric", {**of_run, **metric}),
        ("runs/log-parameter", {**of_run, **pair}),
        ("runs/log-parameter", {**of_run, "key": NUL, "value": "v"}),
        ("runs/set-tag", {**of_run, **pair}),
        ("runs/set-tag", {**of_run, "key": NUL, "value": "v"}),
        ("runs/delete-tag", {**of_run, "key": NUL}),
        ("runs/log-batch", {**of_run, "metrics": [metric]}),
        (
            "runs/log-batch",
            {**of_run, "params": [{"key": "p", "value": NUL}], "tags": [{"key": "t", "value": "kept?"}]},
        ),
        ("runs/log-batch", {**of_run, "tags": [pair]}),
        ("runs/log-inputs", {**of_run, "datasets": [{"dataset": dataset}]}),
        ("runs/log-inputs", {**of_run, "models": [{"model_id": NUL}]}),
        ("runs/outputs", {**of_run, "models": [{"model_id": NUL, "step": 1}]}),
        ("runs/search", {"experiment_ids": [NUL]}),
        ("runs/search", {"experiment_ids": [experiment_id], "filter": f"params.lr = '{NUL}'"}),
        ("runs/search", {"experiment_ids": [experiment_id], "filter": f"params.`{NUL}` = 'x'"}),
        ("runs/search", {"experiment_ids": [experiment_id], "order_by": [f"metrics.`{NUL}`"]}),
        (AJAX + "experiments/search-datasets", {"experiment_ids": [NUL]}),
    ):
        shown = {k: v for k, v in body.items() if k not in ("run_id", "experiment_id") or v == NUL}
        label = str(shown).replace(prefix, "").replace(experiment_id, "N")
        yield post(f"{path} {label}", path, body, only=("runs", "info", "status"))
    for path, query in (
        ("experiments/get", {"experiment_id": NUL}),
        ("experiments/get-by-name", {"experiment_name": NUL}),
        ("runs/get", {"run_id": NUL}),
        ("metrics/get-history", {**of_run, "metric_key": NUL}),
        ("metrics/get-history", {"run_id": NUL, "metric_key": "m"}),
        (AJAX + "metrics/get-history-bulk", {"run_id": NUL, "metric_key": "m"}),
        (AJAX + "metrics/get-history-bulk-interval", {"run_ids": NUL, "metric_key": "m", "max_results": 1}),
        ("artifacts/list", {"run_id": NUL}),
        ("artifacts/list", {**of_run, "path": NUL}),
        ("/get-artifact", {**of_run, "path": NUL}),
    ):
        label = str({k: v for k, v in query.items() if v != run_id})
        yield get(f"{path} {label}", path, query)


def too_long(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "long")
    run_id = yield from run(experiment_id, "long")
    yield post("an experiment name of 256 characters", "experiments/create", {"name": prefix.ljust(256, "o")})
    yield post("an experiment name of 257 characters", "experiments/create", {"name": prefix.ljust(257, "o")})
    location = "s3://bucket/".ljust(256, "x")
    yield post(
        "a location of 256 characters", "experiments/create", {"name": prefix + "l", "artifact_location": location}
    )
    body: dict[str, Any] = {"name": prefix + "m", "artifact_location": location + "x"}
    yield post("a location of 257 characters", "experiments/create", body)
    body = {"experiment_id": experiment_id, "new_name": prefix.ljust(257, "p")}
    yield post("a new experiment name of 257 characters", "experiments/update", body)
    yield post("a run name of 251 characters", "runs/create", {"experiment_id": experiment_id, "run_name": "n" * 251})
    bare = {"experiment_id": experiment_id, "run_name": "tagged"}
    for length in (251, 256):
        tags = [{"key": "k" * length, "value": "v"}]
        yield post(f"a new run's tag key of {length} characters", "runs/create", {**bare, "tags": tags})
    tags = [{"key": "k", "value": "w" * 8001}]
    yield post("a new run's tag value of 8001 characters", "runs/create", {**bare, "tags": tags})
    yield post("a new run name of 251 characters", "runs/update", {"run_id": run_id, "run_name": "m" * 251})
    body = {"run_id": run_id, "key": "mlflow.runName", "value": "o" * 251}
    yield post("a run name of 251 characters by its tag", "runs/set-tag", body)
    body = {"experiment_id": experiment_id, "run_name": "u", "user_id": "u" * 257}
    yield post("a user of 257 characters", "runs/create", body)
    dataset = {"name": "d", "digest": "1", "source_type": "s" * 37, "source": "s"}
    body = {"run_id": run_id, "datasets": [{"dataset": dataset}]}
    yield post("a source_type of 37 characters", "runs/log-inputs", body)
    body = {"run_id": run_id, "models": [{"model_id": "m-" + "a" * 500}]}
    yield post("a model in of 502 characters", "runs/log-inputs", body)
    body = {"run_id": run_id, "models": [{"model_id": "m-" + "b" * 500, "step": 1}]}
    yield post("a model out of 502 characters", "runs/outputs", body)
    yield from shows(run_id, "after all")


SCENARIOS = {"columns_nul": nul, "columns_too_long": too_long}
