"""Metrics: steps, NaN and infinities, batches, async logging, and histories longer than a page."""

from __future__ import annotations

import math
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from scenario.registry import new_run, rejected, step


@step()
def metrics_keep_their_steps() -> None:
    client = MlflowClient()
    with new_run("steps") as run_id:
        for number in range(20):
            mlflow.log_metric("loss", 1 / (number + 1), step=number)
        mlflow.log_metric("loss", 7.0, step=-3)
        mlflow.log_metric("검증/acc: 1", 0.5)
        mlflow.log_metrics({"a": 1, "b": 2.25}, step=2**40)
    history = client.get_metric_history(run_id, "loss")
    by_step = {metric.step: metric.value for metric in history}
    assert by_step == {-3: 7.0, **{number: 1 / (number + 1) for number in range(20)}}
    assert client.get_metric_history(run_id, "a")[0].step == 2**40
    assert client.get_metric_history(run_id, "nothing") == []
    assert mlflow.get_run(run_id).data.metrics == {"loss": 1 / 20, "검증/acc: 1": 0.5, "a": 1.0, "b": 2.25}


@step()
def the_latest_metric_has_the_greatest_step_then_time_then_value() -> None:
    client = MlflowClient()
    with new_run("latest") as run_id:
        client.log_metric(run_id, "m", 9, timestamp=2000, step=1)
        client.log_metric(run_id, "m", 1, timestamp=1000, step=2)
        client.log_metric(run_id, "m", 5, timestamp=1000, step=2)
        client.log_metric(run_id, "m", 3, timestamp=900, step=2)
        client.log_metric(run_id, "m", 8, timestamp=3000, step=0)
        assert client.get_run(run_id).data.metrics == {"m": 5.0}
        assert len(client.get_metric_history(run_id, "m")) == 5


@step()
def nan_and_infinities_survive() -> None:
    client = MlflowClient()
    with new_run("nan") as run_id:
        mlflow.log_metric("nan", math.nan)
        mlflow.log_metric("inf", math.inf, step=1)
        mlflow.log_metrics({"minus": -math.inf, "max": 1.7976931348623157e308, "tiny": 5e-324, "zero": -0.0})
        metrics = mlflow.get_run(run_id).data.metrics
    assert math.isnan(metrics["nan"])
    # MLflow's tables have no infinity: it stores the largest double instead.
    assert metrics["inf"] in (math.inf, 1.7976931348623157e308)
    assert metrics["minus"] in (-math.inf, -1.7976931348623157e308)
    assert (metrics["max"], metrics["tiny"], metrics["zero"]) == (1.7976931348623157e308, 5e-324, 0.0)
    assert math.isnan(client.get_metric_history(run_id, "nan")[0].value)


@step()
def a_batch_is_logged_and_may_be_repeated() -> None:
    client = MlflowClient()
    now = int(time.time() * 1000)
    metrics = [Metric(f"m{number % 10}", number / 7, now + number, number) for number in range(800)]
    params = [Param(f"p{number}", f"v{number}") for number in range(100)]
    tags = [RunTag(f"t{number}", f"값{number}") for number in range(100)]
    with new_run("batch") as run_id:
        for _ in range(2):
            client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        data = client.get_run(run_id).data
    assert data.metrics == {f"m{number}": (790 + number) / 7 for number in range(10)}
    assert data.params == {param.key: param.value for param in params}
    assert {tag.key: tag.value for tag in tags}.items() <= data.tags.items()
    for number in range(10):
        history = client.get_metric_history(run_id, f"m{number}")
        assert sorted(metric.step for metric in history) == list(range(number, 800, 10))


@step()
def a_history_longer_than_a_page_is_complete() -> None:
    client = MlflowClient()
    total = 25_100  # newer clients use pages of 25,000
    now = 1_700_000_000_000
    with new_run("history") as run_id:
        for begin in range(0, total, 1000):
            steps = range(begin, min(begin + 1000, total))
            client.log_batch(run_id, metrics=[Metric("m", step / 2, now + step, step) for step in steps])
    history = client.get_metric_history(run_id, "m")
    assert [(metric.step, metric.timestamp, metric.value) for metric in history] == [
        (step, now + step, step / 2) for step in range(total)
    ]


@step()
def async_logging_loses_nothing() -> None:
    client = MlflowClient()
    with new_run("async") as run_id:
        pending = [mlflow.log_metric("loss", 1 / (n + 1), step=n, synchronous=False) for n in range(300)]
        pending.append(mlflow.log_params({f"p{n}": n for n in range(50)}, synchronous=False))
        pending.append(mlflow.log_metrics({"a": 1, "b": 2}, step=4, synchronous=False))
        pending.append(mlflow.set_tags({"async": "yes"}, synchronous=False))
        for operation in pending:
            operation.wait()
        data = client.get_run(run_id).data
    assert {metric.step for metric in client.get_metric_history(run_id, "loss")} == set(range(300))
    assert data.params == {f"p{n}": str(n) for n in range(50)}
    assert data.metrics == {"loss": 1 / 300, "a": 1.0, "b": 2.0}
    assert data.tags["async"] == "yes"


@step(since=(2, 14))
def async_logging_is_switched_on_and_flushed() -> None:
    client = MlflowClient()
    mlflow.config.enable_async_logging()
    try:
        with new_run("flush") as run_id:
            for number in range(100):
                mlflow.log_metric("loss", number, step=number)
            mlflow.log_param("lr", 0.1)
            mlflow.flush_async_logging()
            assert len(client.get_metric_history(run_id, "loss")) == 100
            assert client.get_run(run_id).data.params == {"lr": "0.1"}
    finally:
        mlflow.config.enable_async_logging(False)


@step(since=(2, 12))
def a_metric_is_logged_to_a_run_by_its_id() -> None:
    with new_run("other-run") as run_id:
        pass
    mlflow.log_metrics({"later": 1.0}, run_id=run_id)
    mlflow.log_metric("latest", 2.0, step=5, run_id=run_id)
    assert mlflow.active_run() is None
    assert mlflow.get_run(run_id).data.metrics == {"later": 1.0, "latest": 2.0}


@step()
def a_metric_that_is_not_a_number_is_rejected() -> None:
    client = MlflowClient()
    with new_run("no-number") as run_id:
        with rejected("INVALID_PARAMETER_VALUE"):
            client.log_metric(run_id, "../climbs", 1.0)
        assert client.get_run(run_id).data.metrics == {}
