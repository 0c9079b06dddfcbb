"""The one question about logged models that is answered: whether there are any."""

import pytest
from tests.client import Client

from railtrack.db import Db

SEARCH = "logged-models/search"


@pytest.fixture
async def model(db: Db) -> None:
    """A model "net" in experiment 0, as MLflow 3 keeps it."""
    async with db.write() as tx:
        await tx.execute(
            """
            INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                                       last_updated_timestamp_ms, status, lifecycle_stage)
            VALUES ('m-1', 0, 'net', 'mlflow-artifacts:/0/models/m-1', 1, 1, 2, 'active')
            """
        )


async def test_a_search_finds_none_where_there_are_none(client: Client) -> None:
    assert await client.ok("POST", SEARCH, {"experiment_ids": ["0", "77"], "filter": "name = 'net'"}) == {}
    assert await client.ok("POST", "/ajax-api/2.0/mlflow/logged-models/search", {"experiment_ids": []}) == {}


async def test_a_search_finds_none_of_another_name_or_experiment(client: Client, model: None) -> None:
    assert await client.ok("POST", SEARCH, {"experiment_ids": ["0"], "filter": "name = 'data'"}) == {}
    assert await client.ok("POST", SEARCH, {"experiment_ids": ["77"]}) == {}


@pytest.mark.parametrize("condition", ["", "name = 'net'", "source_run_id = 'abc'"])
async def test_a_model_is_not_denied(condition: str, client: Client, model: None) -> None:
    answer = await client.post(SEARCH, {"experiment_ids": ["0"], "filter": condition})
    assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


async def test_a_search_needs_experiments_with_numbers(client: Client) -> None:
    answer = await client.post(SEARCH, {})
    assert answer.status == 400
    assert "Missing value for required parameter 'experiment_ids'" in answer.text
    answer = await client.post(SEARCH, {"experiment_ids": ["x"]})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
