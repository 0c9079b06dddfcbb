"""get-history-bulk-interval: samples of several runs."""

from typing import Any

import pytest
from tests.api.metrics.requests import INTERVAL, error_message, log, new_run, point
from tests.client import Client

from railtrack.api.metrics import queries, samples

INT64 = (-(2**63), 2**63 - 1)


async def sample(client: Client, runs: list[str], size: int, **query: Any) -> dict[str, list[tuple[int, int]]]:
    """run_id -> (step, timestamp) of its sample."""
    query = {"run_ids": runs, "metric_key": "m", "max_results": size, **query}
    found: dict[str, list[tuple[int, int]]] = {}
    for one in (await client.ok("GET", INTERVAL, query=query)).get("metrics", []):
        found.setdefault(one["run_id"], []).append((one["step"], one["timestamp"]))
    return found


@pytest.fixture
async def long_run(client: Client, run_id: str) -> str:
    """102 points: steps 0, 3, ..., 297, a second point at step 15, a late one at step -7."""
    points = [point(step % 13, 1000 - step, step * 3) for step in range(100)]
    await log(client, run_id, [*points, point(99, 5000, 15), point(99, 5000, -7)])
    return run_id


@pytest.mark.parametrize(
    ("size", "steps"),
    [
        (1, [297]),
        (2, [-7, 297]),
        (5, [-7, 57, 120, 180, 297]),
        (7, [-7, 39, 84, 129, 174, 216, 297]),
        (99, [-7, 3, 9, 15, 15, *range(18, 298, 3)]),
        (100, [-7, 3, 9, 12, 15, 15, *range(18, 298, 3)]),
        (101, [-7, 3, 6, 9, 12, 15, 15, *range(18, 298, 3)]),
        (102, [-7, 0, 3, 6, 9, 12, 15, 15, *range(18, 298, 3)]),
        (2500, [-7, 0, 3, 6, 9, 12, 15, 15, *range(18, 298, 3)]),
    ],
)
async def test_a_sample_has_the_points_that_mlflow_chooses(
    client: Client, long_run: str, size: int, steps: list[int]
) -> None:
    found = await sample(client, [long_run], size)
    assert [step for step, _ in found[long_run]] == steps


@pytest.mark.parametrize(
    ("start", "end", "steps"),
    [(10, 50, [12, 18, 27, 36, 48]), (-10, 20, [-7, 3, 9, 15, 18]), (12, 12, [12]), (0, 0, [0]), (1000, 2000, [])],
)
async def test_a_sample_of_an_interval_has_only_its_points(
    client: Client, long_run: str, start: int, end: int, steps: list[int]
) -> None:
    found = await sample(client, [long_run], 5, start_step=start, end_step=end)
    assert [step for step, _ in found.get(long_run, [])] == steps


async def test_points_of_one_step_are_sorted_by_time_and_value(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(value, 7, 1) for value in (3, 1, "NaN", -2, 0, 2, -1)])
    query = {"run_ids": run_id, "metric_key": "m"}
    everything = (await client.ok("GET", INTERVAL, query=query))["metrics"]
    assert [one["value"] for one in everything] == [-2.0, -1.0, 0.0, "NaN", 1.0, 2.0, 3.0]
    three = (await client.ok("GET", INTERVAL, query={**query, "max_results": 3}))["metrics"]
    assert [one["value"] for one in three] == [-2.0, "NaN", 3.0]


@pytest.fixture(params=[10, queries.MAX_STEPS], ids=["numbered", "in memory"])
def max_steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MAX_STEPS", request.param)


@pytest.mark.usefixtures("max_steps")
@pytest.mark.parametrize(
    "steps",
    [
        [0] * 40,
        [INT64[0]] * 7 + [INT64[1]] * 30,
        [INT64[0], -5, *[0] * 9, *range(1, 20), *[20] * 5, INT64[1]],
        [step // 3 for step in range(40)],
        list(range(0, 400, 10)),
    ],
)
async def test_samples_of_any_size_have_the_points_that_mlflow_chooses(
    client: Client, run_id: str, steps: list[int]
) -> None:
    points = [(step, 1000 + at * 7 % 40) for at, step in enumerate(steps)]
    await log(client, run_id, [point(1, timestamp, step) for step, timestamp in reversed(points)])
    in_order = sorted(points)
    for size in (1, 2, 3, 11, len(points) - 1, len(points), 2500):
        positions = range(len(points)) if size >= len(points) else queries.sample_positions(len(points), size)
        assert await sample(client, [run_id], size) == {run_id: [in_order[position] for position in positions]}


@pytest.mark.usefixtures("max_steps")
async def test_long_and_short_histories_are_sampled_in_one_request(client: Client) -> None:
    long, short, empty = [await new_run(client) for _ in range(3)]
    await log(client, long, [point(1, step, step) for step in range(30)])
    await log(client, short, [point("NaN", 1, 1), point(2, 2, 2)])
    found = await sample(client, [short, empty, long, short], 3)
    assert found == {short: [(1, 1), (2, 2)] * 2, long: [(0, 0), (10, 10), (29, 29)]}


async def test_each_run_has_its_own_sample_in_the_order_of_the_request(client: Client, long_run: str) -> None:
    short = await new_run(client)
    await log(client, short, [point(1, 10, step) for step in (1, 2, 3)])
    query = {"run_ids": [short, "nope", long_run, short], "metric_key": "m", "max_results": 2}
    found = (await client.ok("GET", INTERVAL, query=query))["metrics"]
    steps = [(one["run_id"], one["step"]) for one in found]
    assert steps == [(short, 1), (short, 3), (long_run, -7), (long_run, 297), (short, 1), (short, 3)]
    assert list(found[0]) == ["key", "value", "timestamp", "step", "run_id"]


async def test_samples_are_read_a_few_runs_at_a_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "POINTS_AT_ONCE", 2500)
    runs = [await new_run(client) for _ in range(5)]
    for at, run_id in enumerate(runs):
        await log(client, run_id, [point(at, 10, 1), point(at, 11, 2)])
    assert await sample(client, runs, 2500) == {run_id: [(1, 10), (2, 11)] for run_id in runs}


async def test_runs_without_the_metric_have_no_sample(client: Client, run_id: str) -> None:
    assert await client.ok("GET", INTERVAL, query={"run_ids": [run_id, "nope"], "metric_key": "m"}) == {}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"metric_key": "m", "max_results": "x"}, "Missing value for required parameter 'run_ids'."),
        ({"run_ids": "x", "max_results": 0}, "Missing value for required parameter 'metric_key'."),
        (
            {"run_ids": ["x"] * 101, "metric_key": "m", "max_results": 0},
            "GetMetricHistoryBulkInterval request must specify at most 100 run_ids. Received 101 run_ids.",
        ),
        ({"run_ids": "x", "metric_key": "m", "max_results": 0}, "max_results must be between 1 and 2500."),
        ({"run_ids": "x", "metric_key": "m", "max_results": 2501}, "max_results must be between 1 and 2500."),
        (
            {"run_ids": "x", "metric_key": "m", "start_step": 5},
            "If either start step or end step are specified, both must be specified.",
        ),
        (
            {"run_ids": "x", "metric_key": "m", "start_step": 5, "end_step": 4},
            "end_step must be greater than start_step. Found start_step=5 and end_step=4.",
        ),
        ({"run_ids": "x", "metric_key": "m", "start_step": "a"}, "Invalid value \"a\" for parameter 'start_step'"),
    ],
)
async def test_an_invalid_sample_request_is_rejected(client: Client, query: dict[str, Any], message: str) -> None:
    assert (await error_message(client, INTERVAL, query)).startswith(message)
