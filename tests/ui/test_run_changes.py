"""Changes on the page of a run: description, tags, deletion, model registration."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from tests.ui.browser import Tab

MODEL = """artifact_path: model
flavors:
  python_function:
    loader_module: nowhere
signature:
  inputs: '[{"type": "double", "name": "width", "required": true}]'
"""
NAME_IS_FREE = "^404 GET /ajax-api/2.0/mlflow/registered-models/get$"


@pytest.fixture
def run(tab: Tab, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Yield the info of a new run in a new experiment."""
    named = {"name": f"{request.node.name} {time.time_ns()}"}
    experiment_id = tab.request("experiments/create", named)["experiment_id"]
    start = {"experiment_id": experiment_id, "run_name": "mine", "start_time": 1_760_000_000_000}
    yield tab.request("runs/create", start)["run"]["info"]
    tab.request("experiments/delete", {"experiment_id": experiment_id})


def page_of(run: dict[str, Any], part: str = "") -> str:
    return f"/experiments/{run['experiment_id']}/runs/{run['run_id']}{part}"


def tags(tab: Tab, run: dict[str, Any]) -> dict[str, str]:
    data = tab.request("runs/get", run_id=run["run_id"])["run"]["data"]
    return {tag["key"]: tag["value"] for tag in data["tags"]}


def dialog(tab: Tab) -> Locator:
    return tab.page.get_by_role("dialog").filter(visible=True)


def test_the_description_of_a_run_is_edited(run: dict[str, Any], tab: Tab) -> None:
    tab.open(page_of(run))
    tab.see("No description")
    tab.page.get_by_label("Edit description").click()
    tab.page.get_by_test_id("text-area").fill("Saw **고양이**.")
    tab.page.get_by_test_id("editable-note-save-button").click()
    expect(tab.page.locator("strong", has_text="고양이")).to_be_visible()
    tab.until(lambda: tags(tab, run).get("mlflow.note.content"), "Saw **고양이**.")
    tab.check()


def test_tags_of_a_run_are_added_and_deleted(run: dict[str, Any], tab: Tab) -> None:
    tab.open(page_of(run))
    tab.page.get_by_role("button", name="Add tags").click()
    for key, value in (("team", "영상"), ("other", "x")):
        dialog(tab).get_by_role("combobox").fill(key)
        dialog(tab).get_by_role("combobox").press("Enter")
        dialog(tab).get_by_label("Value").fill(value)
        dialog(tab).get_by_label("Add tag").click()
        expect(dialog(tab)).to_contain_text(f"{key}: {value}")
    dialog(tab).get_by_role("button", name="Save tags").click()
    expect(dialog(tab)).to_have_count(0)
    tab.see("team", "other")
    tab.until(lambda: [tags(tab, run).get(key) for key in ("team", "other")], ["영상", "x"])

    tab.page.get_by_label("Edit tags").click()
    dialog(tab).locator("[data-component-id$='keyvaluetag.tsx_60.close']").first.click()
    dialog(tab).get_by_role("button", name="Save tags").click()
    expect(dialog(tab)).to_have_count(0)
    tab.until(lambda: {"team", "other"} & tags(tab, run).keys() in ({"team"}, {"other"}), True)
    tab.check()


def test_a_run_is_deleted_on_its_page(run: dict[str, Any], tab: Tab) -> None:
    tab.open(page_of(run))
    tab.see("About this run")
    tab.page.get_by_test_id("overflow-menu-trigger").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    dialog(tab).get_by_role("button", name="Delete").click()
    tab.see("No runs")
    tab.until(lambda: tab.request("runs/get", run_id=run["run_id"])["run"]["info"]["lifecycle_stage"], "deleted")
    tab.check()


def test_a_model_logged_by_an_older_client_is_registered(run: dict[str, Any], tab: Tab) -> None:
    logged = {"run_id": run["run_id"], "artifact_path": "model", "utc_time_created": "2025-10-09 08:00:00"}
    history = json.dumps([logged | {"flavors": {"python_function": {"loader_module": "nowhere"}}}])
    tab.request("runs/set-tag", {"run_id": run["run_id"], "key": "mlflow.log-model.history", "value": history})
    where = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    stored = tab.page.request.put(
        f"{tab.url}/api/2.0/mlflow-artifacts/artifacts/{where}/model/MLmodel", data=MODEL.encode()
    )
    assert stored.ok
    name = f"registered {time.time_ns()}"

    tab.open(page_of(run, "/artifacts"))
    tab.see("Model schema", "width", "double")
    tab.keep_screenshot("run-model")
    tab.page.get_by_role("button", name="Register model").last.click()
    dialog(tab).get_by_role("combobox").click()
    tab.page.get_by_text("Create New Model", exact=True).click()
    dialog(tab).get_by_placeholder("Input a model name").fill(name)
    tab.page.get_by_test_id("confirm-register-model").click()
    expect(dialog(tab)).to_have_count(0)
    tab.until(lambda: tab.request("model-versions/search", filter=f"name = '{name}'") != {}, True)
    version = tab.request("model-versions/get", name=name, version="1")["model_version"]
    assert (version["run_id"], version["source"]) == (run["run_id"], f"runs:/{run['run_id']}/model")

    tab.open(page_of(run))
    tab.page.get_by_role("link", name=name).first.click()
    tab.see("Version 1", "mine")
    tab.check(allowed=(NAME_IS_FREE,))
    tab.page.request.delete(f"{tab.url}/api/2.0/mlflow/registered-models/delete", data={"name": name})
