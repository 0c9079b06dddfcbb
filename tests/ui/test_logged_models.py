"""Pages of MLflow 3's logged models: list, details, files, registration."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from tests.ui.browser import Tab


def dialog(tab: Tab) -> Locator:
    return tab.page.get_by_role("dialog").filter(visible=True)


def model_names(tab: Tab) -> list[str]:
    """Return the names in the table from top to bottom."""
    return tab.rows(".ag-pinned-left-cols-container .ag-row", "a")


def test_logged_models_are_listed_with_metrics_run_and_registered_version(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['tuning']}/models")
    tab.until(lambda: model_names(tab), ["detector-5", "detector-3"])
    tab.see("train-3", "train-5", "detector 모델", "pets", "Ready", "0.3", "0.5")
    tab.check()
    tab.keep_screenshot("logged-models")

    tab.page.locator(".ag-header").get_by_text("Created").click()
    tab.until(lambda: model_names(tab), ["detector-3", "detector-5"])
    tab.page.get_by_role("button", name="Group by").click()
    tab.page.get_by_role("menuitemcheckbox", name="Source run").click()
    tab.see("train-3", "train-5")
    tab.check()


def test_the_columns_of_logged_models_are_selected(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['tuning']}/models")
    header = tab.page.locator(".ag-header")
    expect(header.get_by_text("Logged from")).to_be_visible()
    tab.page.get_by_role("button", name="Columns").click()
    tab.page.locator("[class*=tree-list]").get_by_title("Logged from").click()
    expect(header.get_by_text("Logged from")).to_have_count(0)
    tab.check()


def test_metrics_of_logged_models_are_plotted(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['tuning']}/models")
    tab.see("detector-5")
    tab.page.locator("label").filter(has_text="Chart view").click()
    card = tab.page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text="acc")
    expect(card.locator(".js-plotly-plot .barlayer .point")).to_have_count(2)
    tab.check()
    tab.keep_screenshot("logged-models-charts")


def test_a_logged_model_shows_all_its_fields(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['tuning']}/models/{seeded['logged'][0]}")
    tab.see("detector-3", "Ready", seeded["logged"][0], "train-3", "seed.py", "pets")
    expect(tab.page.get_by_test_id("logged-model-details-metrics-table")).to_contain_text("0.3")
    expect(tab.page.get_by_test_id("logged-model-details-runs-table")).to_contain_text("train-3")
    expect(tab.page.get_by_role("row").filter(has_text="depth")).to_contain_text("3")
    expect(tab.page.get_by_role("link", name="detector 모델")).to_be_visible()
    tab.check()
    tab.keep_screenshot("logged-model")


def test_the_description_of_a_logged_model_is_edited(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['tuning']}/models/{seeded['logged'][1]}")
    tab.page.get_by_label("Edit description").click()
    tab.page.get_by_test_id("text-area").fill("Sees **강아지**.")
    tab.page.get_by_test_id("editable-note-save-button").click()
    expect(tab.page.locator("strong", has_text="강아지")).to_be_visible()
    tab.check()
    tags = tab.request(f"logged-models/{seeded['logged'][1]}")["model"]["info"]["tags"]
    assert {"key": "mlflow.note.content", "value": "Sees **강아지**."} in tags


def test_the_files_of_a_logged_model_are_previewed(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['tuning']}/models/{seeded['logged'][0]}/artifacts")
    tab.see("conda.yaml", "python_model.pkl", "requirements.txt")
    tab.page.get_by_text("MLmodel", exact=True).first.click()
    tab.see(f"model_id: {seeded['logged'][0]}")
    tab.check()
    tab.keep_screenshot("logged-model-artifacts")


@pytest.fixture
def new_name(tab: Tab) -> Iterator[str]:
    """Yield a name for a registered model, and delete the model afterwards."""
    yield "from the page"
    tab.page.request.delete(f"{tab.url}/api/2.0/mlflow/registered-models/delete", data={"name": "from the page"})


def test_a_logged_model_is_registered_under_a_new_name(new_name: str, tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['tuning']}/models/{seeded['logged'][0]}")
    tab.page.get_by_role("button", name="Register model").click()
    dialog(tab).get_by_role("combobox").click()
    tab.page.get_by_text("Create New Model", exact=True).click()
    dialog(tab).get_by_placeholder("Input a model name").fill(new_name)
    tab.page.get_by_test_id("confirm-register-model").click()
    expect(dialog(tab)).to_have_count(0)
    tab.until(lambda: tab.request("model-versions/search", filter=f"name = '{new_name}'") != {}, True)
    version = tab.request("model-versions/get", name=new_name, version="1")["model_version"]
    assert (seeded["logged"][0] in version["source"], version["status"]) == (True, "READY"), version
    tags = tab.request(f"logged-models/{seeded['logged'][0]}")["model"]["info"]["tags"]
    assert new_name in next(tag["value"] for tag in tags if tag["key"] == "mlflow.modelVersions")
    tab.check(allowed=("^404 GET /ajax-api/2.0/mlflow/registered-models/get$", "^Model registered successfully$"))


def test_a_logged_model_is_deleted(tab: Tab, seeded: dict[str, Any]) -> None:
    made = tab.request("logged-models", {"experiment_id": seeded["audio"], "name": "short-lived"})["model"]["info"]
    tab.open(f"/experiments/{seeded['audio']}/models/{made['model_id']}")
    tab.see("short-lived", "Pending")
    tab.page.get_by_label("More actions").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    dialog(tab).get_by_role("button", name="Delete").click()
    tab.see("Track and compare versions of your models")
    tab.check()
    found = tab.request("logged-models/search", {"experiment_ids": [seeded["audio"]]})
    assert found.get("models", []) == []
