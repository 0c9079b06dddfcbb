"""The demo as the web interface creates it. `railtrack demo` is in tests/cli/test_demo.py."""

import struct
from typing import Any

from tests.client import Client

from railtrack.demo import EPOCHS, EXPERIMENT, IMAGE_STEPS, MODEL, PROMPT, TRAININGS

GENERATE = "/ajax-api/3.0/mlflow/demo/generate"
DELETE = "/ajax-api/3.0/mlflow/demo/delete"


async def runs_of(client: Client, experiment_id: str) -> list[dict[str, Any]]:
    found = await client.ok("POST", "runs/search", {"experiment_ids": [experiment_id]})
    runs: list[dict[str, Any]] = found.get("runs", [])
    return runs


async def test_the_demo_has_runs_curves_images_models_and_a_prompt(client: Client) -> None:
    created = (await client.post(GENERATE, {})).json
    experiment_id = created["experiment_id"]
    assert created == {
        "status": "created",
        "experiment_id": experiment_id,
        "navigation_url": f"/experiments/{experiment_id}/runs?compareRunsMode=CHART",
    }
    runs = await runs_of(client, experiment_id)
    assert {run["info"]["run_name"] for run in runs} == {training.name for training in TRAININGS}
    for run in runs:
        run_id = run["info"]["run_id"]
        assert run["info"]["status"] == "FINISHED"
        history = await client.ok("GET", "metrics/get-history", query={"run_id": run_id, "metric_key": "val/mAP50"})
        assert [metric["step"] for metric in history["metrics"]] == list(range(EPOCHS))
        images = await client.ok("GET", "artifacts/list", query={"run_id": run_id, "path": "images"})
        assert len(images["files"]) == 2 * len(IMAGE_STEPS)
        image = await client.get("/get-artifact", {"run_id": run_id, "path": images["files"][0]["path"]})
        assert image.body.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", image.body[16:24]) == (160, 120)
        assert run["inputs"]["dataset_inputs"][0]["dataset"]["name"] == "surfaces-train"
    champion = await client.ok("GET", "registered-models/alias", query={"name": MODEL, "alias": "champion"})
    assert champion["model_version"]["run_id"] in {run["info"]["run_id"] for run in runs}
    prompts = await client.ok(
        "GET", "registered-models/search", query={"filter": "tags.`mlflow.prompt.is_prompt` = 'true'"}
    )
    assert [prompt["name"] for prompt in prompts["registered_models"]] == [PROMPT]


async def test_a_demo_that_is_there_stays_as_it_is_and_an_unfinished_one_is_completed(client: Client) -> None:
    experiment_id = (await client.post(GENERATE, {})).json["experiment_id"]
    before = await runs_of(client, experiment_id)
    assert (await client.post(GENERATE, {})).json["experiment_id"] == experiment_id
    assert await runs_of(client, experiment_id) == before
    await client.ok("POST", "runs/delete", {"run_id": before[0]["info"]["run_id"]})
    await client.post(GENERATE, {})
    after = await runs_of(client, experiment_id)
    assert {run["info"]["run_name"] for run in after} == {training.name for training in TRAININGS}
    assert len(after) == len(before)


async def test_a_removed_demo_leaves_nothing_active_and_can_be_created_again(client: Client) -> None:
    await client.post(GENERATE, {})
    assert (await client.post(DELETE, {})).json == {"status": "deleted"}
    assert (await client.post(DELETE, {})).json == {"status": "not_found"}
    assert "registered_models" not in await client.ok("GET", "registered-models/search")
    found = await client.ok("GET", "experiments/get-by-name", query={"experiment_name": EXPERIMENT})
    assert found["experiment"]["lifecycle_stage"] == "deleted"
    again = (await client.post(GENERATE, {})).json
    assert again["experiment_id"] == found["experiment"]["experiment_id"]
    assert len(await runs_of(client, again["experiment_id"])) == len(TRAININGS)
