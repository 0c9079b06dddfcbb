"""get-history and get-history-bulk: pages, everything at once, and several runs."""

from typing import Any

import pytest
from tests.api.metrics.requests import INTERVAL, error_message, log, new_run, point
from tests.client import Client

from railtrack.api.metrics import history

BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
LARGEST = 1.7976931348623157e308


async def get_history(client: Client, run_id: str, **query: Any) -> Any:
    return await client.ok("GET", "metrics/get-history", query={"run_id": run_id, "metric_key": "m", **query})


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
async def test_pages_have_no_gap_and_no_overlap(client: Client, run_id: str, size: int) -> None:
    await log(client, run_id, [point(*one) for one in ODD])
    await log(client, run_id, [point(1, 1, 1, key="other")])
    pages = [await get_history(client, run_id, max_results=size)]
    while token := pages[-1].get("next_page_token"):
        pages.append(await get_history(client, run_id, max_results=size, page_token=token))
    assert [one for page in pages for one in page["metrics"]] == [point(*one) for one in ODD_IN_ORDER]
    assert [len(page["metrics"]) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert 0 < len(pages[-1]["metrics"]) <= size


async def test_a_token_without_a_page_size_returns_all_the_rest(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(*one) for one in ODD])
    token = (await get_history(client, run_id, max_results=3))["next_page_token"]
    rest = await get_history(client, run_id, page_token=token)
    assert rest == {"metrics": [point(*one) for one in ODD_IN_ORDER[3:]]}


SMALLEST, INT64 = 5e-324, (-(2**63), 2**63 - 1)
NUMBERS = [0.1, -0.1, 1e22, 1e-7, SMALLEST, -SMALLEST, LARGEST, -LARGEST, 123456789.123456789, 5e15, 1e16, 0.0, 3.0]


@pytest.mark.parametrize("key", ["m", "Verlust/µ 損失 _-.: 9"])
async def test_every_number_and_name_is_returned_exactly(client: Client, run_id: str, key: str) -> None:
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


async def test_a_page_may_end_with_nan(client: Client, run_id: str) -> None:
    points = [point("NaN", 1, step) for step in range(5)] + [point(0, 1, 5), point("NaN", 1, 5), point(1, 1, 5)]
    await log(client, run_id, points)
    pages = [await get_history(client, run_id, max_results=1)]
    while token := pages[-1].get("next_page_token"):
        pages.append(await get_history(client, run_id, max_results=1, page_token=token))
    assert [one for page in pages for one in page["metrics"]] == points


async def test_a_request_without_a_page_size_returns_everything(
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


async def test_a_long_history_is_streamed(client: Client, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railtrack.wire.list_response.BUFFERED_BYTES", 1000)
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 100)
    points = [point(float(step), 1000 + step, step) for step in range(1000)]
    await log(client, run_id, points)
    answer = await client.get("metrics/get-history", {"run_id": run_id, "metric_key": "m"})
    assert "content-length" not in answer.headers
    assert answer.json == {"metrics": points}


async def test_a_missing_run_or_metric_has_no_history(client: Client, run_id: str) -> None:
    assert await get_history(client, run_id) == {}
    assert await get_history(client, "nope") == {}
    assert await get_history(client, "nope", max_results=5) == {}


async def test_a_deleted_run_still_has_its_history(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(1.0, 1, 1)])
    await client.ok("POST", "runs/delete", {"run_id": run_id})
    assert await get_history(client, run_id) == {"metrics": [point(1.0, 1, 1)]}


async def test_the_old_name_of_the_run_id_is_accepted(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(1.0, 1, 1)])
    found = await client.ok("GET", "metrics/get-history", query={"run_uuid": run_id, "metric_key": "m"})
    assert found == {"metrics": [point(1.0, 1, 1)]}


@pytest.mark.parametrize("wrong", [0, -1])
async def test_a_page_has_at_least_one_point(client: Client, run_id: str, wrong: int) -> None:
    query = {"run_id": run_id, "metric_key": "m", "max_results": wrong}
    assert await error_message(client, "metrics/get-history", query) == (
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
async def test_the_run_and_the_metric_are_required(client: Client, query: dict[str, str], parameter: str) -> None:
    message = await error_message(client, "metrics/get-history", query)
    assert message.startswith(f"Missing value for required parameter '{parameter}'.")


async def test_a_token_of_another_metric_is_rejected(client: Client, run_id: str) -> None:
    await log(client, run_id, [point(1, step, step) for step in range(3)])
    token = (await get_history(client, run_id, max_results=1))["next_page_token"]
    query = {"run_id": run_id, "metric_key": "other", "page_token": token}
    assert "Invalid page token" in await error_message(client, "metrics/get-history", query)
    assert "Invalid page token" in await error_message(
        client, "metrics/get-history", {**query, "page_token": "eyJvZmZ"}
    )


async def two_runs(client: Client) -> list[str]:
    """Two runs with 3 and 2 points, in the order of their ids."""
    runs = sorted([await new_run(client), await new_run(client)])
    await log(client, runs[0], [point(1, 30, 1), point("NaN", 20, 2), point(3, 10, 3)])
    await log(client, runs[1], [point(4, 5, 0), point(5, 6, 0)])
    return runs


async def bulk(client: Client, **query: Any) -> list[tuple[str, Any]]:
    found = await client.ok("GET", BULK, query=query)
    return [(one["run_id"], one["value"]) for one in found["metrics"]]


async def test_the_history_of_several_runs_is_sorted_by_run_and_time(client: Client) -> None:
    one, two = await two_runs(client)
    everything = [(one, 3), (one, "NaN"), (one, 1), (two, 4), (two, 5)]
    assert await bulk(client, run_id=[two, one, one, "nope"], metric_key="m") == everything
    assert await bulk(client, run_id=[two, one], metric_key="m", max_results=4) == everything[:4]
    assert await bulk(client, run_id=[two], metric_key="m", max_results=0) == []
    first = (await client.ok("GET", BULK, query={"run_id": one, "metric_key": "m"}))["metrics"][0]
    assert first == {"key": "m", "value": 3.0, "timestamp": 10, "step": 3, "run_id": one}


async def test_the_history_of_several_runs_is_limited(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
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
async def test_an_invalid_bulk_request_is_rejected(client: Client, query: dict[str, Any], message: str) -> None:
    assert (await error_message(client, BULK, query)).startswith(message)


async def test_the_bulk_history_is_only_below_ajax_api(client: Client) -> None:
    answer = await client.get("metrics/get-history-bulk", {"run_id": "x", "metric_key": "m"})
    assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
