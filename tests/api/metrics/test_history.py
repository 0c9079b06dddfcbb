"""The history of metrics: page by page, everything at once, of many runs, and samples of it."""

from typing import Any

import pytest
from tests.client import Client

from railtrack.api.metrics import history, queries, samples

BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
INTERVAL = "metrics/get-history-bulk-interval"
LARGEST = 1.7976931348623157e308


def point(value: Any, timestamp: int, step: int, key: str = "m") -> dict[str, Any]:
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


async def new_run(client: Client) -> str:
    created = await client.ok("POST", "runs/create", {"experiment_id": "0"})
    run_id: str = created["run"]["info"]["run_id"]
    return run_id


async def log(client: Client, run_id: str, points: list[dict[str, Any]]) -> None:
    for at in range(0, len(points), 1000):
        await client.ok("POST", "runs/log-batch", {"run_id": run_id, "metrics": points[at : at + 1000]})


@pytest.fixture
async def run_id(client: Client) -> str:
    return await new_run(client)


async def get_history(client: Client, run_id: str, **query: Any) -> Any:
    return await client.ok("GET", "metrics/get-history", query={"run_id": run_id, "metric_key": "m", **query})


async def refusal(client: Client, path: str, query: dict[str, Any]) -> str:
    answer = await client.get(path, query)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    message: str = answer.json["message"]
    return message


# One run


ODD = [(5, 10, 3), (1, 10, 1), ("NaN", 10, 1), (2, 9, 1), (0.5, 10, 1), (7, 11, 0), ("Infinity", 12, 2), (-3, 12, 2)]
ODD_IN_ORDER = [
    *[(2.0, 9, 1), ("NaN", 10, 1), (0.5, 10, 1), (1.0, 10, 1), (5.0, 10, 3), (7.0, 11, 0), (-3.0, 12, 2)],
    (LARGEST, 12, 2),
]
"""By time, step and value, where one that is no number counts as 0, as MLflow stores it."""


async def test_the_history_is_ordered_by_time_step_and_value(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(*one) for one in ODD])
    assert await get_history(client, run_id) == {"metrics": [point(*one) for one in ODD_IN_ORDER]}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9])
async def test_pages_follow_each_other_without_a_gap_or_an_overlap(client: Client, run_id: str, size: int) -> None:
    await log(client, run_id, [point(*one) for one in ODD])
    await log(client, run_id, [point(1, 1, 1, key="other")])
    pages = [await get_history(client, run_id, max_results=size)]
    while token := pages[-1].get("next_page_token"):
        pages.append(await get_history(client, run_id, max_results=size, page_token=token))
    assert [one for page in pages for one in page["metrics"]] == [point(*one) for one in ODD_IN_ORDER]
    assert [len(page["metrics"]) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert 0 < len(pages[-1]["metrics"]) <= size


async def test_a_token_without_a_page_size_leads_to_all_the_rest(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(*one) for one in ODD])
    token = (await get_history(client, run_id, max_results=3))["next_page_token"]
    rest = await get_history(client, run_id, page_token=token)
    assert rest == {"metrics": [point(*one) for one in ODD_IN_ORDER[3:]]}


SMALLEST, INT64 = 5e-324, (-(2**63), 2**63 - 1)
NUMBERS = [0.1, -0.1, 1e22, 1e-7, SMALLEST, -SMALLEST, LARGEST, -LARGEST, 123456789.123456789, 5e15, 1e16, 0.0, 3.0]


@pytest.mark.parametrize("key", ["m", "Verlust/µ 損失 _-.: 9"])
async def test_every_number_and_every_name_is_told_to_the_last_bit(client: Client, run_id: str, key: str) -> None:
    points = [point(value, at, at, key) for at, value in enumerate(NUMBERS)]
    points = [point("NaN", 0, INT64[0], key), *points, point(1, INT64[1], INT64[1], key)]
    await log(client, run_id, points)
    query = {"run_id": run_id, "metric_key": key}
    answer = await client.get("metrics/get-history", query)
    assert answer.json == {"metrics": points}
    assert '"value":3.0,"timestamp":12' in answer.text
    assert (await client.ok("GET", BULK, query=query))["metrics"] == [{**one, "run_id": run_id} for one in points]
    sampled = await client.ok("GET", INTERVAL, query={"run_ids": run_id, "metric_key": key})
    assert sampled["metrics"] == [{**one, "run_id": run_id} for one in points]


async def test_a_page_may_end_with_a_point_that_is_no_number(client: Client, run_id: str) -> None:
    points = [point("NaN", 1, step) for step in range(5)] + [point(0, 1, 5), point("NaN", 1, 5), point(1, 1, 5)]
    await log(client, run_id, points)
    pages = [await get_history(client, run_id, max_results=1)]
    while token := pages[-1].get("next_page_token"):
        pages.append(await get_history(client, run_id, max_results=1, page_token=token))
    assert [one for page in pages for one in page["metrics"]] == points


async def test_a_client_that_does_not_page_gets_everything(
    client: Client, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 500)
    points = [point(float(step), 1000 + step, step) for step in range(2600)]
    await log(client, run_id, points)
    assert (await get_history(client, run_id))["metrics"] == points
    assert (await get_history(client, run_id, max_results=100_000)) == {"metrics": points}
    page = await get_history(client, run_id, max_results=1200)
    assert page["metrics"] == points[:1200]
    assert (await get_history(client, run_id, page_token=page["next_page_token"]))["metrics"] == points[1200:]


async def test_a_long_history_leaves_in_pieces(client: Client, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railtrack.wire.list_response.BUFFERED_BYTES", 1000)
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 100)
    points = [point(float(step), 1000 + step, step) for step in range(1000)]
    await log(client, run_id, points)
    answer = await client.get("metrics/get-history", {"run_id": run_id, "metric_key": "m"})
    assert "content-length" not in answer.headers
    assert answer.json == {"metrics": points}


async def test_what_is_not_there_has_no_history(client: Client, run_id: str) -> None:
    assert await get_history(client, run_id) == {}
    assert await get_history(client, "nope") == {}
    assert await get_history(client, "nope", max_results=5) == {}


async def test_a_deleted_run_still_tells_its_history(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(1.0, 1, 1)])
    await client.ok("POST", "runs/delete", {"run_id": run_id})
    assert await get_history(client, run_id) == {"metrics": [point(1.0, 1, 1)]}


async def test_the_old_name_of_the_run_id_is_understood(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(1.0, 1, 1)])
    found = await client.ok("GET", "metrics/get-history", query={"run_uuid": run_id, "metric_key": "m"})
    assert found == {"metrics": [point(1.0, 1, 1)]}


@pytest.mark.parametrize("wrong", [0, -1])
async def test_a_page_holds_at_least_one_point(client: Client, run_id: str, wrong: int) -> None:
    query = {"run_id": run_id, "metric_key": "m", "max_results": wrong}
    assert await refusal(client, "metrics/get-history", query) == (
        f"Invalid value {wrong} for parameter 'max_results' supplied. It must be a positive integer."
    )


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"metric_key": "m"}, "run_id"),
        ({"run_id": "x"}, "metric_key"),
        ({"run_id": "x", "metric_key": ""}, "metric_key"),
    ],
)
async def test_the_run_and_the_metric_have_to_be_named(client: Client, query: dict[str, str], parameter: str) -> None:
    message = await refusal(client, "metrics/get-history", query)
    assert message.startswith(f"Missing value for required parameter '{parameter}'.")


async def test_a_token_of_another_metric_is_refused(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(1, step, step) for step in range(3)])
    token = (await get_history(client, run_id, max_results=1))["next_page_token"]
    query = {"run_id": run_id, "metric_key": "other", "page_token": token}
    assert "Invalid page token" in await refusal(client, "metrics/get-history", query)
    assert "Invalid page token" in await refusal(client, "metrics/get-history", {**query, "page_token": "eyJvZmZ"})


# Several runs


async def two_runs(client: Client) -> list[str]:
    """Two runs with 3 and 2 points, in the order of their ids."""
    runs = sorted([await new_run(client), await new_run(client)])
    await log(client, runs[0], [point(1, 30, 1), point("NaN", 20, 2), point(3, 10, 3)])
    await log(client, runs[1], [point(4, 5, 0), point(5, 6, 0)])
    return runs


async def bulk(client: Client, **query: Any) -> list[tuple[str, Any]]:
    found = await client.ok("GET", BULK, query=query)
    return [(one["run_id"], one["value"]) for one in found["metrics"]]


async def test_the_history_of_several_runs_comes_run_by_run_by_time(client: Client) -> None:
    one, two = await two_runs(client)
    everything = [(one, 3), (one, "NaN"), (one, 1), (two, 4), (two, 5)]
    assert await bulk(client, run_id=[two, one, one, "nope"], metric_key="m") == everything
    assert await bulk(client, run_id=[two, one], metric_key="m", max_results=4) == everything[:4]
    assert await bulk(client, run_id=[two], metric_key="m", max_results=0) == []
    first = (await client.ok("GET", BULK, query={"run_id": one, "metric_key": "m"}))["metrics"][0]
    assert first == {"key": "m", "value": 3.0, "timestamp": 10, "step": 3, "run_id": one}


async def test_the_history_of_several_runs_is_cut_at_a_bound(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await two_runs(client)
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 4)
    assert len(await bulk(client, run_id=[one, two], metric_key="m", max_results=1000)) == 4


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"metric_key": "m"}, "GetMetricHistoryBulk request must specify at least one run_id."),
        ({"run_id": "x"}, "GetMetricHistoryBulk request must specify a metric_key."),
        (
            {"run_id": ["x"] * 101, "metric_key": "m"},
            "GetMetricHistoryBulk request cannot specify more than 100 run_ids. Received 101 run_ids.",
        ),
        (
            {"run_id": "x", "metric_key": "m", "max_results": -1},
            "Invalid value -1 for parameter 'max_results' supplied.",
        ),
    ],
)
async def test_a_bulk_request_names_its_runs_and_its_metric(
    client: Client, query: dict[str, Any], message: str
) -> None:
    assert (await refusal(client, BULK, query)).startswith(message)


async def test_the_bulk_history_is_for_the_web_interface_only(client: Client) -> None:
    answer = await client.get("metrics/get-history-bulk", {"run_id": "x", "metric_key": "m"})
    assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


# Samples


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
async def test_a_sample_is_the_one_that_mlflow_takes(
    client: Client, long_run: str, size: int, steps: list[int]
) -> None:
    found = await sample(client, [long_run], size)
    assert [step for step, _ in found[long_run]] == steps


@pytest.mark.parametrize(
    ("start", "end", "steps"),
    [(10, 50, [12, 18, 27, 36, 48]), (-10, 20, [-7, 3, 9, 15, 18]), (12, 12, [12]), (0, 0, [0]), (1000, 2000, [])],
)
async def test_a_sample_of_an_interval_counts_its_points_only(
    client: Client, long_run: str, start: int, end: int, steps: list[int]
) -> None:
    found = await sample(client, [long_run], 5, start_step=start, end_step=end)
    assert [step for step, _ in found.get(long_run, [])] == steps


async def test_points_of_one_step_are_taken_by_time_and_value(client: Client, run_id: str) -> None:
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
async def test_a_sample_of_any_size_is_the_one_that_mlflow_takes(client: Client, run_id: str, steps: list[int]) -> None:
    points = [(step, 1000 + at * 7 % 40) for at, step in enumerate(steps)]
    await log(client, run_id, [point(1, timestamp, step) for step, timestamp in reversed(points)])
    in_order = sorted(points)
    for size in (1, 2, 3, 11, len(points) - 1, len(points), 2500):
        positions = range(len(points)) if size >= len(points) else queries.sample_positions(len(points), size)
        assert await sample(client, [run_id], size) == {run_id: [in_order[position] for position in positions]}


@pytest.mark.usefixtures("max_steps")
async def test_long_and_short_histories_are_sampled_side_by_side(client: Client) -> None:
    long, short, empty = [await new_run(client) for _ in range(3)]
    await log(client, long, [point(1, step, step) for step in range(30)])
    await log(client, short, [point("NaN", 1, 1), point(2, 2, 2)])
    found = await sample(client, [short, empty, long, short], 3)
    assert found == {short: [(1, 1), (2, 2)] * 2, long: [(0, 0), (10, 10), (29, 29)]}


async def test_each_run_has_a_sample_of_its_own_in_the_order_asked_for(client: Client, long_run: str) -> None:
    short = await new_run(client)
    await log(client, short, [point(1, 10, step) for step in (1, 2, 3)])
    query = {"run_ids": [short, "nope", long_run, short], "metric_key": "m", "max_results": 2}
    found = (await client.ok("GET", INTERVAL, query=query))["metrics"]
    steps = [(one["run_id"], one["step"]) for one in found]
    assert steps == [(short, 1), (short, 3), (long_run, -7), (long_run, 297), (short, 1), (short, 3)]
    assert list(found[0]) == ["key", "value", "timestamp", "step", "run_id"]


async def test_samples_of_many_runs_are_read_a_few_runs_at_a_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
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
async def test_a_sample_that_makes_no_sense_is_refused(client: Client, query: dict[str, Any], message: str) -> None:
    assert (await refusal(client, INTERVAL, query)).startswith(message)
