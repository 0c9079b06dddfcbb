"""Search of runs: filters, order and pagination."""

from __future__ import annotations

import functools
import math

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from scenario.registry import new_experiment, rejected, step

RUNS = 24


@functools.cache
def _experiment() -> str:
    """Create an experiment of 24 runs: run n has acc n/10 (4: NaN, 5: none), lr 0.1 or 0.01, and a tag."""
    client = MlflowClient()
    experiment_id = new_experiment("search")
    for number in range(RUNS):
        run = client.create_run(experiment_id, start_time=1_700_000_000_000 + number, run_name=f"run-{number:02}")
        value = math.nan if number == 4 else number / 10
        metrics = [] if number == 5 else [Metric("val acc", value, 1_700_000_000_000, 1)]
        params = [Param("lr", "0.1" if number % 2 else "0.01"), Param("net/블록", f"n{number}")]
        client.log_batch(run.info.run_id, metrics, params, [RunTag("group", f"G{number % 3}")])
        client.set_terminated(run.info.run_id, "FAILED" if number == 7 else "FINISHED")
    return experiment_id


def _numbers(filter_string: str = "", order_by: list[str] | None = None) -> list[int]:
    found = mlflow.search_runs([_experiment()], filter_string, order_by=order_by, output_format="list")
    return [int(run.info.run_name.removeprefix("run-")) for run in found]


@step()
def runs_are_filtered() -> None:
    everyone = set(range(RUNS))
    for condition, expected in {
        "": everyone,
        'metrics."val acc" > 2': {21, 22, 23},
        "metrics.`val acc` >= 2.0 AND params.lr = '0.1'": {21, 23},
        "metric.`val acc` = 0": {0},
        "params.lr != '0.1'": everyone - set(range(1, RUNS, 2)),
        "parameters.`net/블록` = 'n3'": {3},
        "params.`net/블록` LIKE 'n2%'": {2, 20, 21, 22, 23},
        "params.`net/블록` ILIKE 'N1_'": set(range(10, 20)),
        "tags.group = 'G1' and attributes.status = 'FAILED'": {7},
        "status != 'FINISHED'": {7},
        "attributes.run_name = 'run-11'": {11},
        "run_name LIKE 'run-0%'": set(range(10)),
        "start_time > 1700000000020": {21, 22, 23},
        "attributes.start_time <= 1700000000001": {0, 1},
        "metrics.missing > 0": set(),
    }.items():
        found = set(_numbers(condition))
        assert found == expected, f"{condition}: {sorted(found)}"


@step()
def runs_are_found_by_a_list_of_ids() -> None:
    runs = mlflow.search_runs([_experiment()], output_format="list")
    ids = [run.info.run_id for run in runs if run.info.run_name in ("run-03", "run-08")]
    quoted = ", ".join(f"'{run_id}'" for run_id in ids)
    assert set(_numbers(f"attributes.run_id IN ({quoted})")) == {3, 8}
    assert set(_numbers(f"run_id NOT IN ({quoted})")) == set(range(RUNS)) - {3, 8}


@step()
def runs_are_ordered_with_nan_and_missing_last() -> None:
    numbers = [number for number in range(RUNS) if number not in (4, 5)]
    assert _numbers(order_by=["metrics.`val acc` ASC"]) == [*numbers, 4, 5]
    assert _numbers(order_by=["metrics.`val acc` DESC"]) == [*reversed(numbers), 4, 5]
    assert _numbers(order_by=["attributes.start_time ASC"]) == list(range(RUNS))
    assert _numbers() == list(reversed(range(RUNS)))
    by_two = _numbers(order_by=["params.lr ASC", "start_time DESC"])
    assert by_two == [*range(RUNS - 2, -1, -2), *range(RUNS - 1, 0, -2)]


@step()
def runs_are_paginated_without_gaps_or_duplicates() -> None:
    client = MlflowClient()
    for order_by in (None, ["metrics.`val acc` DESC"], ["tags.group ASC", "run_name DESC"]):
        seen: list[str] = []
        token = None
        pages = 0
        while True:
            page = client.search_runs(
                [_experiment()], "params.lr LIKE '0.%'", max_results=7, order_by=order_by, page_token=token
            )
            seen += [run.info.run_name for run in page]
            pages += 1
            token = page.token
            if not token:
                break
        assert pages == 4
        assert sorted(seen) == [f"run-{number:02}" for number in range(RUNS)]
        if order_by:
            whole = client.search_runs([_experiment()], "params.lr LIKE '0.%'", order_by=order_by)
            assert seen == [run.info.run_name for run in whole]


@step()
def a_search_returns_a_data_frame() -> None:
    frame = mlflow.search_runs([_experiment()], "tags.group = 'G2'", order_by=["start_time ASC"])
    assert len(frame) == 8
    assert list(frame["params.net/블록"]) == [f"n{number}" for number in range(2, RUNS, 3)]
    assert math.isnan(frame["metrics.val acc"][1])  # run 5 has none
    assert set(frame["status"]) == {"FINISHED"}


@step()
def a_search_spans_experiments() -> None:
    client = MlflowClient()
    other = new_experiment("search-other")
    client.create_run(other, run_name="run-99")
    both = client.search_runs([_experiment(), other], "run_name ILIKE 'RUN-%9'")
    assert {run.info.run_name for run in both} == {"run-09", "run-19", "run-99"}


@step()
def an_invalid_filter_is_rejected() -> None:
    for condition in ("metrics.", "params.lr > 3", "nonsense", "metrics.a = 'text'", "a = 1 OR b = 2"):
        with rejected("INVALID_PARAMETER_VALUE"):
            mlflow.search_runs([_experiment()], condition)
    with rejected("INVALID_PARAMETER_VALUE"):
        mlflow.search_runs([_experiment()], order_by=["metrics.a SIDEWAYS"])
    with rejected("INVALID_PARAMETER_VALUE"):
        MlflowClient().search_runs([_experiment()], page_token="not a token")
