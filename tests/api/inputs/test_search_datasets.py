"""search-datasets: the datasets that the runs of experiments used."""

from typing import Any

import pytest
from tests.api.inputs.requests import error_of, log_inputs, new_run, used
from tests.client import Client

SEARCH = "/ajax-api/2.0/mlflow/experiments/search-datasets"


async def test_datasets_are_returned_once_for_each_context(client: Client, run_id: str) -> None:
    context = "mlflow.data.context"
    other = (await client.ok("POST", "experiments/create", {"name": "another"}))["experiment_id"]
    second = await new_run(client)
    await log_inputs(client, run_id, used("b", tags={context: "train"}), used("a", "z"), used("a", tags={context: ""}))
    await log_inputs(client, second, used("b", tags={context: "eval"}), used("a", "z", tags={context: "train"}))
    await log_inputs(client, await new_run(client), used("b", tags={context: "train", "x": "y"}))
    await log_inputs(client, await new_run(client, other), used("c"))
    await client.ok("POST", "runs/delete", {"run_id": run_id})

    def summary(name: str, digest: str, use: str | None = None, experiment: str = "0") -> dict[str, str]:
        return {"experiment_id": experiment, "name": name, "digest": digest, **({"context": use} if use else {})}

    found = await client.ok("POST", SEARCH, {"experiment_ids": ["0", "0"]})
    assert found["dataset_summaries"] == [
        summary("a", "d1"),
        summary("a", "z", "train"),
        summary("a", "z"),
        summary("b", "d1", "eval"),
        summary("b", "d1", "train"),
    ]
    assert await client.ok("POST", SEARCH, {"experiment_ids": [other]}) == {
        "dataset_summaries": [summary("c", "d1", experiment=other)]
    }
    assert await client.ok("POST", SEARCH, {"experiment_ids": ["987654", "9" * 40]}) == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "SearchDatasets request must specify at least one experiment_id."),
        ({"experiment_ids": []}, "SearchDatasets request must specify at least one experiment_id."),
        (
            {"experiment_ids": ["x"] * 21},
            "SearchDatasets request cannot specify more than 20 experiment_ids. Received 21 experiment_ids.",
        ),
        ({"experiment_ids": ["abc"]}, "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
    ],
)
async def test_a_search_for_datasets_requires_experiments(client: Client, body: Any, message: str) -> None:
    assert await error_of(client, SEARCH, body) == (400, "INVALID_PARAMETER_VALUE", message)
