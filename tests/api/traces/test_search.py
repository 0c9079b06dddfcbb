"""Traces and scorers: empty responses without any, 501 if MLflow has stored some."""

from typing import Any

import pytest
from tests.client import Client

from railtrack.db import Db

TRACES = "/ajax-api/3.0/mlflow/traces"
LOCATIONS = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]
COUNT: dict[str, Any] = {
    "experiment_ids": ["0"],
    "metric_name": "trace_count",
    "aggregations": [{"aggregation_type": "COUNT"}],
}


@pytest.fixture
async def with_traces(client: Client, db: Db) -> Client:
    """Return a client of a server whose experiment Default has a trace and a scorer."""
    async with db.write() as tx:
        for table, columns, values in STORED_BY_MLFLOW:
            await tx.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})")
    return client


STORED_BY_MLFLOW = (("trace_info", "request_id, experiment_id, timestamp_ms, status", "'tr-1', 0, 1, 'OK'"),)


@pytest.fixture(autouse=True)
async def delete_stored(db: Db) -> Any:
    yield
    async with db.write() as tx:
        for table, *_ in STORED_BY_MLFLOW:
            await tx.execute(f"DELETE FROM {table}")


async def test_stored_data_that_is_not_served_returns_501(with_traces: Client) -> None:
    answer = await with_traces.post(f"{TRACES}/metrics", COUNT)
    assert answer.status == 501
    assert "this version of Railtrack does not serve" in answer.json["message"]


async def test_an_experiment_without_traces_has_a_count_of_zero(with_traces: Client) -> None:
    other = await with_traces.ok("POST", "experiments/create", {"name": "other"})
    answer = await with_traces.post(f"{TRACES}/metrics", COUNT | {"experiment_ids": [other["experiment_id"]]})
    assert answer.json == {"data_points": [{"metric_name": "trace_count", "values": {"COUNT": 0.0}}]}


@pytest.mark.parametrize("experiment_id", ["abc", "9" * 30, ""])
async def test_an_unknown_experiment_causes_no_server_error(client: Client, experiment_id: str) -> None:
    locations = [{"mlflow_experiment": {"experiment_id": experiment_id}}]
    assert (await client.post(f"{TRACES}/search", {"locations": locations})).status in (200, 400, 404)
    assert (await client.post(f"{TRACES}/metrics", COUNT | {"experiment_ids": [experiment_id]})).status < 500


async def test_more_than_a_thousand_experiments_are_rejected(client: Client) -> None:
    answer = await client.post(f"{TRACES}/metrics", COUNT | {"experiment_ids": ["0"] * 1001})
    assert answer.status == 400
