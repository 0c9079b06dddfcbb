"""The search for logged models: filters, orders, datasets and pages.

Results and messages are MLflow's unless the name of a test states a difference.
"""

import asyncio
from typing import Any

import pytest
from tests.api.logged_models.models import (
    assert_error,
    create_id,
    experiment,
    measure,
    missing_parameter,
    pairs,
    run_in,
)
from tests.client import Client

PATH = "logged-models/search"
NOT_FILTERS = "Expected a list of comparisons separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01')."


@pytest.fixture
async def searched(client: Client) -> str:
    """Create an experiment with models alpha, Beta, gamma and delta, in this order and in different milliseconds."""
    experiment_id = await experiment(client)
    run_id = await run_in(client, experiment_id)

    async def model(name: str, status: int, metrics: list[tuple[str, float, int, int, str, str]], **more: Any) -> None:
        model_id = await create_id(client, experiment_id, name, **more)
        await asyncio.sleep(0.002)
        await client.ok("PATCH", f"logged-models/{model_id}", {"status": status})
        for key, value, timestamp, step, dataset, digest in metrics:
            on = {"dataset_name": dataset, "dataset_digest": digest}
            await measure(client, run_id, model_id, key, value, timestamp=timestamp, step=step, **on)

    await model(
        "alpha",
        2,
        [("acc", 0.5, 1, 1, "", ""), ("acc", 0.9, 2, 2, "train", "t1"), ("acc", 0.8, 3, 3, "test", "e1")],
        model_type="sk",
        source_run_id=run_id,
        params=pairs(lr="0.1", Depth="3"),
        tags=pairs(team="vision"),
    )
    await model(
        "Beta",
        1,
        [("acc", 0.7, 1, 1, "", ""), ("acc", 0.95, 2, 2, "test", "e1"), ("acc", 0.6, 2, 3, "test", "e2")],
        params=pairs(lr="0.2"),
        tags=pairs(team="Speech", **{"a b": "x"}),
    )
    await model("gamma", 3, [("acc", 0.31, 7, 7, "", ""), ("acc", 0.1, 9, 6, "", ""), ("loss", 2.0, 1, 1, "", "")])
    await model("delta", 2, [], model_type="sk", params=pairs(lr="0.1"), tags=pairs(team=""))
    return experiment_id


async def names(client: Client, experiment_id: str, **body: Any) -> list[str]:
    answer = await client.ok("POST", PATH, {"experiment_ids": [experiment_id], **body})
    return [model["info"]["name"] for model in answer.get("models", [])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "delta gamma Beta alpha"),
        ("name = 'alpha'", "alpha"),
        ("attributes.name = 'alpha'", "alpha"),
        ("`name` = 'alpha'", "alpha"),
        ("name = alpha", "alpha"),
        ("name != 'alpha'", "delta gamma Beta"),
        ("name LIKE '%a'", "delta gamma Beta alpha"),
        ("name LIKE 'b%'", ""),
        ("name ILIKE 'b%'", "Beta"),
        ("name IN ('alpha', 'Beta')", "Beta alpha"),
        ("name NOT IN ('alpha')", "delta gamma Beta"),
        ("model_id ILIKE 'M-%'", "delta gamma Beta alpha"),
        ("model_type = 'sk'", "delta alpha"),
        ("model_type = ''", "gamma Beta"),
        ("source_run_id != ''", "alpha"),
        ("status = 'READY'", "delta alpha"),
        ("status = READY", "delta alpha"),
        ("status != 'READY'", "gamma Beta"),
        ("status IN ('PENDING', 'FAILED')", "gamma Beta"),
        ("status NOT IN ('READY', 'UNSPECIFIED')", "gamma Beta"),
        ("lifecycle_stage = 'active'", "delta gamma Beta alpha"),
        ("experiment_id = '0'", ""),
        ("artifact_location LIKE 'mlflow-artifacts:%'", "delta gamma Beta alpha"),
        ("creation_timestamp > 0", "delta gamma Beta alpha"),
        ("creation_timestamp_ms > 1.5", "delta gamma Beta alpha"),
        ("creation_time > 99999999999999999999999", ""),
        ("last_updated_timestamp = 5", ""),
        ("params.lr = '0.1'", "delta alpha"),
        ("params.lr = 0.1", "delta alpha"),
        ("params.lr != '0.1'", "Beta"),
        ("params.lr IN ('0.1', '0.2')", "delta Beta alpha"),
        ("params.depth = '3'", ""),
        ("params.`Depth` = '3'", "alpha"),
        ("tags.team ILIKE 's%'", "Beta"),
        ("tags.team = ''", "delta"),
        ("tags.`a b` = 'x'", "Beta"),
        ("tags.nope != 'x'", ""),
        # The latest value counts, by step and then by time: 0.8, 0.6, 0.31, none.
        ("metrics.acc > 0.7", "alpha"),
        ("metrics.acc = 0.31", "gamma"),
        ("metrics.`acc` <= 0.6", "gamma Beta"),
        ("metrics.acc > 0.85", ""),
        ("metrics.loss = 2", "gamma"),
        ("metrics.acc > 1e400", ""),
        ("name LIKE '%a' AND params.lr = '0.1' AND metrics.acc > 0.7", "alpha"),
        ("AND name = 'alpha' AND", "alpha"),
    ],
)
async def test_models_that_match_a_filter_are_sorted_by_creation(
    client: Client, searched: str, text: str, expected: str
) -> None:
    assert await names(client, searched, filter=text) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "alpha"', "alpha"),
        ('tags."a b" = "x"', "Beta"),
        ("artifact_uri LIKE '%'", "delta gamma Beta alpha"),
    ],
)
async def test_a_filter_accepts_more_than_mlflow(client: Client, searched: str, text: str, expected: str) -> None:
    assert await names(client, searched, filter=text) == expected.split()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name", f"Invalid filter string: 'name'. {NOT_FILTERS}"),
        ("name = 'a' OR name = 'b'", f"Invalid filter string: \"name = 'a' OR name = 'b'\". {NOT_FILTERS}"),
        (
            "metric.acc > 1",
            "Invalid entity type: 'metric'. Expected one of ['attributes', 'metrics', 'params', ",
        ),
        ("dataset.name = 'x'", "Invalid entity type: 'dataset'."),
        (
            "name > 'c'",
            "Invalid comparison operator for attributes.name: '>'. "
            "Expected one of ('=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN').",
        ),
        ("params.lr > 1", "Invalid comparison operator for params.lr: '>'. Expected one of ('=', '!=', "),
        ("tags.t == 'x'", "Invalid comparison operator for tags.t: '=='."),
        (
            "metrics.acc == 1",
            "Invalid comparison operator for metrics.acc: '=='. Expected one of ('<', '<=', '>', '>=', '=', '!=').",
        ),
        ("metrics.acc > 'high'", "Expected a number for metrics.acc. Found 'high'"),
        ("creation_time > '1'", "Expected a number for attributes.creation_time. Found '1'"),
        ("name IS NULL", "Invalid comparison: name IS NULL. Expected a comparison with 3 tokens."),
        ("colour = 'red'", "Invalid attribute key 'colour' specified."),
        ("name IN ()", "expected a non-empty list of string values"),
    ],
)
async def test_an_invalid_filter_is_rejected(client: Client, searched: str, text: str, message: str) -> None:
    answer = await client.post(PATH, {"experiment_ids": [searched], "filter": text})
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", message)


TEST = {"dataset_name": "test", "dataset_digest": "e1"}
TRAIN = {"dataset_name": "train", "dataset_digest": "t1"}


@pytest.mark.parametrize(
    ("datasets", "text", "expected"),
    [
        ([], "metrics.acc > 0.7", "alpha"),
        ([TEST], "metrics.acc > 0.85", "Beta"),
        ([TEST], "metrics.acc < 0.9", "alpha"),
        ([TRAIN], "metrics.acc > 0.85", "alpha"),
        # The latest value on any of the datasets counts.
        ([TEST, TRAIN], "metrics.acc > 0.85", "Beta"),
        ([TEST, TRAIN], "metrics.acc > 0.75", "Beta alpha"),
        ([TEST], "", "Beta alpha"),
        ([TRAIN], "name LIKE '%'", "alpha"),
        ([{"dataset_name": "nope", "dataset_digest": "x"}], "", ""),
    ],
)
async def test_datasets_limit_the_metrics_that_a_filter_tests(
    client: Client, searched: str, datasets: list[dict[str, str]], text: str, expected: str
) -> None:
    assert await names(client, searched, datasets=datasets, filter=text) == expected.split()


async def test_a_dataset_without_a_digest_matches_every_digest_unlike_in_mlflow(client: Client, searched: str) -> None:
    assert await names(client, searched, datasets=[{"dataset_name": "test"}], filter="metrics.acc < 0.7") == ["Beta"]


@pytest.mark.parametrize("dataset", [{}, {"dataset_name": ""}, {"dataset_digest": "e1"}])
async def test_a_dataset_needs_a_name(client: Client, searched: str, dataset: dict[str, str]) -> None:
    answer = await client.post(PATH, {"experiment_ids": [searched], "datasets": [dataset], "filter": "bad"})
    message = "`dataset_name` in the `datasets` clause must be specified."
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", message)


def by(field_name: str, ascending: bool | None = None, **dataset: str) -> dict[str, Any]:
    direction = {} if ascending is None else {"ascending": ascending}
    return {"field_name": field_name, **direction, **dataset}


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ([by("name")], "Beta alpha delta gamma"),
        ([by("name", False)], "gamma delta alpha Beta"),
        ([by("creation_timestamp")], "alpha Beta gamma delta"),
        ([by("creation_timestamp_ms", False)], "delta gamma Beta alpha"),
        ([by("model_type"), by("name", False)], "gamma Beta delta alpha"),
        ([by("status"), by("name")], "Beta alpha delta gamma"),
        ([by("name"), by("name", False)], "Beta alpha delta gamma"),
        # The latest value counts, by step and then by time: 0.8, 0.6, 0.31, none.
        ([by("metrics.acc")], "gamma Beta alpha delta"),
        ([by("metrics.acc", False)], "alpha Beta gamma delta"),
        ([by("metrics.acc", True, **TEST)], "alpha Beta delta gamma"),
        ([by("metrics.acc", False, **TEST)], "Beta alpha delta gamma"),
        ([by("metrics.acc", True, dataset_name="test")], "Beta alpha delta gamma"),
        ([by("metrics.acc", True, dataset_digest="e1")], "alpha Beta delta gamma"),
        ([by("metrics.acc", True, **TRAIN), by("name")], "alpha Beta delta gamma"),
        ([by("metrics.nope")], "delta gamma Beta alpha"),
    ],
)
async def test_models_are_sorted_by_order_by_with_missing_values_last(
    client: Client, searched: str, order_by: list[dict[str, Any]], expected: str
) -> None:
    assert await names(client, searched, order_by=order_by) == expected.split()
    token, one_by_one = "", []
    for _ in range(4):
        body = {"experiment_ids": [searched], "order_by": order_by, "max_results": 1, "page_token": token}
        page = await client.ok("POST", PATH, body)
        one_by_one += [model["info"]["name"] for model in page["models"]]
        token = page.get("next_page_token", "")
    assert (one_by_one, token) == (expected.split(), "")


@pytest.mark.parametrize(
    ("field_name", "message"),
    [
        ("", "Invalid order by field name: "),
        ("colour", "Invalid order by field name: colour"),
        ("name DESC", "Invalid order by field name: name DESC"),
        ("params.lr", "Invalid order by field name: params.lr. Only metrics are supported."),
        ("attributes.name", "Invalid order by field name: attributes.name. Only metrics are supported."),
    ],
)
async def test_an_invalid_order_by_is_rejected(client: Client, searched: str, field_name: str, message: str) -> None:
    answer = await client.post(PATH, {"experiment_ids": [searched], "order_by": [{"field_name": field_name}]})
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", message)


async def test_a_page_token_of_another_search_is_rejected(client: Client, searched: str) -> None:
    body: dict[str, Any] = {"experiment_ids": [searched], "max_results": 1}
    token = (await client.ok("POST", PATH, body))["next_page_token"]
    for more in (
        {"filter": "name != 'x'"},
        {"order_by": [by("name")]},
        {"experiment_ids": ["0"]},
        {"datasets": [TEST]},
    ):
        answer = await client.post(PATH, {**body, "page_token": token, **more})
        assert_error(answer, 400, "INVALID_PARAMETER_VALUE", "Invalid page token")
    answer = await client.post(PATH, {**body, "page_token": "nonsense"})
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", "Invalid page token")


async def test_the_default_page_has_50_models(client: Client) -> None:
    experiment_id = await experiment(client)
    for number in range(51):
        await create_id(client, experiment_id, f"m{number}")
    for body in ({}, {"max_results": None}, {"max_results": 0}):
        answer = await client.ok("POST", PATH, {"experiment_ids": [experiment_id], **body})
        assert len(answer["models"]) == 50
    assert len(await names(client, experiment_id, max_results=10**6)) == 51
    answer = await client.post(PATH, {"experiment_ids": [experiment_id], "max_results": -1})
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", "max_results")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, missing_parameter("experiment_ids")),
        ({"experiment_ids": None}, missing_parameter("experiment_ids")),
        ({"experiment_ids": "0"}, "Invalid value \"0\" for parameter 'experiment_ids' supplied:"),
        ({"experiment_ids": ["abc"]}, "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
        ({"experiment_ids": ["0"], "filter": 3}, "Invalid value 3 for parameter 'filter' supplied:"),
        ({"experiment_ids": ["0"], "order_by": "name"}, "Invalid value \"name\" for parameter 'order_by' supplied:"),
        ({"experiment_ids": ["abc"], "filter": "x", "order_by": [{}]}, "Invalid filter string: 'x'."),
        ({"experiment_ids": ["abc"], "order_by": [{}]}, "Invalid experiment ID 'abc'."),
    ],
)
async def test_the_first_error_is_returned(client: Client, body: dict[str, Any], message: str) -> None:
    assert_error(await client.post(PATH, body), 400, "INVALID_PARAMETER_VALUE", message)


async def test_deleted_models_and_other_experiments_are_excluded(client: Client, searched: str) -> None:
    other = await experiment(client, "other")
    gone = await create_id(client, other, "gone")
    await create_id(client, other, "kept")
    await client.ok("DELETE", f"logged-models/{gone}", {})
    assert await names(client, other) == ["kept"]
    assert await names(client, other, filter="lifecycle_stage = 'deleted'") == []
    assert await client.ok("POST", PATH, {"experiment_ids": []}) == {}
    assert await client.ok("POST", PATH, {"experiment_ids": ["99999999999"]}) == {}
    answer = await client.ok("POST", PATH, {"experiment_ids": [searched, other, other]})
    assert len(answer["models"]) == 5


async def test_models_of_a_deleted_experiment_are_included(client: Client, searched: str) -> None:
    await client.ok("POST", "experiments/delete", {"experiment_id": searched})
    assert len(await names(client, searched)) == 4
