"""Pages of model versions: alias, stage, promotion, description."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, expect
from tests.ui.browser import Tab


@pytest.fixture
def made(tab: Tab, seeded: dict[str, Any]) -> Iterator[str]:
    """Yield a new registered model with versions of the two seeded logged models."""
    name = "made for its versions"
    tab.request("registered-models/create", {"name": name})
    for model_id in seeded["logged"]:
        source = {"name": name, "source": f"models:/{model_id}", "model_id": model_id}
        tab.request("model-versions/create", source | {"tags": [{"key": "depth", "value": "?"}]})
    yield name
    tab.page.request.delete(f"{tab.url}/api/2.0/mlflow/registered-models/delete", data={"name": name})


def version_page(name: str, version: int) -> str:
    return f"/models/{quote(name)}/versions/{version}"


def version(tab: Tab, name: str, number: int) -> Any:
    return tab.request("model-versions/get", name=name, version=str(number))["model_version"]


def item(tab: Tab, label: str) -> Locator:
    """Return one of the fields below the title."""
    return tab.page.get_by_test_id("descriptions-item").filter(has_text=label)


def test_a_version_shows_its_source_and_schema(tab: Tab) -> None:
    tab.open(version_page("detector 모델", 2))
    tab.see("Version 2", "take 2", "depth")
    expect(item(tab, "Source Run")).to_contain_text("train-5")
    expect(item(tab, "Source Model")).to_contain_text("detector-5")
    expect(item(tab, "Aliases")).to_contain_text("@ champion")
    tab.page.get_by_text("Inputs (2)").click()
    tab.see("width", "double", "label", "string")
    tab.check()
    tab.keep_screenshot("model-version")

    tab.page.get_by_test_id("source-model-link").click()
    tab.see("detector-5", "Register model")
    tab.check()


def test_a_version_is_described_tagged_and_deleted(made: str, tab: Tab) -> None:
    tab.open(version_page(made, 1))
    tab.page.get_by_test_id("descriptionEditButton").click()
    tab.page.get_by_test_id("text-area").fill("Sees *little*.")
    tab.page.get_by_test_id("editable-note-save-button").click()
    expect(tab.page.locator("em", has_text="little")).to_be_visible()

    table = tab.page.get_by_test_id("editable-table")
    tab.page.get_by_test_id("tags-form-input-name").fill("팀 a")
    tab.page.get_by_test_id("tags-form-input-value").fill("소리")
    tab.page.get_by_test_id("add-tag-button").click()
    expect(table).to_contain_text("소리")
    table.get_by_role("row").filter(has_text="depth").get_by_test_id("editable-table-button-delete").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    expect(table).not_to_contain_text("depth")
    saved = version(tab, made, 1)
    assert (saved["description"], saved["tags"]) == ("Sees *little*.", [{"key": "팀 a", "value": "소리"}])

    tab.page.get_by_test_id("overflow-menu-trigger").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    rows = tab.page.get_by_test_id("model-version-table").get_by_role("row")
    expect(rows.filter(has_text="Version 2")).to_have_count(1)
    expect(rows.filter(has_text="Version 1")).to_have_count(0)
    # The page reloads the version every few seconds, sometimes while it is being deleted.
    tab.check(allowed=("404 GET /ajax-api/2.0/mlflow/model-versions/get",))


def test_an_alias_moves_from_one_version_to_another(made: str, tab: Tab) -> None:
    tab.request("registered-models/alias", {"name": made, "alias": "champion", "version": "1"})
    tab.open(version_page(made, 2))
    item(tab, "Aliases").get_by_role("button", name="Add").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("champion")
    dialog.get_by_role("combobox").press("Enter")
    expect(dialog).to_contain_text("also being used on version 1")
    tab.keep_screenshot("model-version-alias")
    dialog.get_by_role("button", name="Save aliases").click()
    expect(item(tab, "Aliases")).to_contain_text("@ champion")
    tab.check()
    model = tab.request("registered-models/get", name=made)["registered_model"]
    assert model["aliases"] == [{"alias": "champion", "version": "2"}]

    item(tab, "Aliases").get_by_role("button").click()
    dialog.locator("[data-component-id$='aliastag.tsx_23.close']").click()
    dialog.get_by_role("button", name="Save aliases").click()
    expect(item(tab, "Aliases")).not_to_contain_text("champion")
    tab.until(lambda: tab.request("registered-models/get", name=made)["registered_model"].get("aliases", []), [])
    tab.check()


def test_a_version_moves_to_production_and_the_previous_one_is_archived(made: str, tab: Tab) -> None:
    tab.request("model-versions/transition-stage", {"name": made, "version": "1", "stage": "Production"})
    tab.open(version_page(made, 2))
    tab.page.get_by_role("switch").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    stage = item(tab, "Stage")
    stage.locator(".mlflow-stage-transition-dropdown").click()
    tab.page.get_by_role("menuitem").filter(has_text="Production").click()
    dialog = tab.page.get_by_role("dialog").filter(visible=True)
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="OK").click()
    expect(stage).to_contain_text("Production")
    tab.until(lambda: [version(tab, made, one)["current_stage"] for one in (1, 2)], ["Archived", "Production"])
    tab.check()
    tab.keep_screenshot("model-version-stage")
    tab.open(f"/models/{quote(made)}")
    rows = tab.page.get_by_test_id("model-version-table").get_by_role("row")
    expect(rows.filter(has_text="Version 1")).to_contain_text("Archived")
    expect(rows.filter(has_text="Version 2")).to_contain_text("Production")
    tab.check()


def test_a_version_is_promoted_to_another_model(made: str, tab: Tab) -> None:
    tab.open(version_page("detector 모델", 1))
    tab.page.get_by_role("button", name="Promote model").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_role("combobox").click()
    tab.page.get_by_title(made).click()
    dialog.get_by_role("button", name="Promote").click()
    tab.see("Copied from", "Version 3")
    expect(item(tab, "Copied from")).to_contain_text("detector 모델 (Version 1)")
    tab.check()
    assert version(tab, made, 3)["source"] == "models:/detector 모델/1"
    tab.keep_screenshot("model-version-promoted")


def test_a_missing_version_is_reported(tab: Tab) -> None:
    tab.open(version_page("detector 모델", 99))
    tab.see("Model detector 모델 v99 does not exist")
    tab.keep_screenshot("model-version-absent")
