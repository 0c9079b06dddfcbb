"""Pages of registered models: list, search, create, describe, tag, delete."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import expect
from tests.ui.browser import Tab

NAME_IS_FREE = "^404 GET /ajax-api/2.0/mlflow/registered-models/get$"
"""The page requests the name before it creates: 404 means that the name is available."""


@pytest.fixture
def made(tab: Tab, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the name of a new registered model without versions."""
    name = f"made by {request.node.name[:40]}"
    tab.request("registered-models/create", {"name": name})
    yield name
    tab.page.request.delete(f"{tab.url}/api/2.0/mlflow/registered-models/delete", data={"name": name})


def model_page(name: str) -> str:
    return f"/models/{quote(name)}"


def names(tab: Tab) -> list[str]:
    """Return the names in the list from top to bottom."""
    return tab.page.get_by_test_id("model-list-table").locator("[role=row] [role=cell]:first-child a").all_inner_texts()


def test_registered_models_are_listed_with_version_alias_and_tags(tab: Tab) -> None:
    tab.open("/models")
    tab.see("detector 모델", "segmenter", "zero versions")
    row = tab.page.get_by_role("row").filter(has_text="detector 모델")
    for text in ("Version 2", "@ champion", "team: 영상"):
        expect(row).to_contain_text(text)
    for prompt in ("greeting", "farewell"):
        expect(tab.page.get_by_text(prompt)).to_have_count(0)
    tab.check()
    tab.keep_screenshot("registry")


def test_registered_models_are_searched_and_an_invalid_filter_is_reported(tab: Tab) -> None:
    tab.open("/models")
    tab.see("segmenter")
    rows = tab.page.get_by_role("row").filter(has=tab.page.locator("a"))
    search = tab.page.get_by_test_id("model-search-input")
    for text, found in (("DETECT", "detector 모델"), ("tags.team = 'audio'", "segmenter")):
        search.fill(text)
        search.press("Enter")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(found)
    tab.check()

    search.fill("tags.team ==== 'audio'")
    search.press("Enter")
    tab.see("Error fetching models")
    tab.keep_screenshot("registry-bad-filter")
    tab.settle()
    assert tab.errors == ["400 GET /ajax-api/2.0/mlflow/registered-models/search"]


def test_registered_models_are_sorted_by_name_in_both_directions(tab: Tab) -> None:
    tab.open("/models")
    tab.until(lambda: names(tab), ["detector 모델", "segmenter", "zero versions"])
    tab.page.get_by_role("columnheader", name="Name").click()
    tab.until(lambda: names(tab), ["zero versions", "segmenter", "detector 모델"])
    tab.check()


def test_a_registered_model_is_created_described_tagged_and_deleted(tab: Tab) -> None:
    tab.open("/models")
    tab.page.get_by_test_id("create-model-button").click()
    tab.page.get_by_test_id("create-model-form-modal").get_by_role("textbox").fill("손으로 made")
    tab.page.get_by_role("dialog").get_by_role("button", name="Create").click()
    expect(tab.page.get_by_role("heading", name="손으로 made")).to_be_visible()

    tab.page.get_by_test_id("descriptionEditButton").click()
    tab.page.get_by_test_id("text-area").fill("Hears **dogs**.")
    tab.page.get_by_test_id("editable-note-save-button").click()
    expect(tab.page.locator("strong", has_text="dogs")).to_be_visible()

    tab.page.get_by_test_id("tags-section").get_by_role("button", name="Tags").click()
    tab.page.get_by_test_id("tags-form-input-name").fill("팀 a")
    tab.page.get_by_test_id("tags-form-input-value").fill("소리")
    tab.page.get_by_test_id("add-tag-button").click()
    expect(tab.page.get_by_test_id("editable-table")).to_contain_text("소리")
    tab.page.get_by_test_id("editable-table-button-edit").click()
    tab.page.get_by_test_id("editable-table").get_by_role("textbox").fill("음악")
    tab.page.get_by_test_id("editable-table").get_by_role("button", name="Save").click()
    expect(tab.page.get_by_test_id("editable-table")).to_contain_text("음악")
    model = tab.request("registered-models/get", name="손으로 made")["registered_model"]
    assert (model["description"], model["tags"]) == ("Hears **dogs**.", [{"key": "팀 a", "value": "음악"}])
    tab.keep_screenshot("model-made")

    tab.page.get_by_test_id("editable-table-button-delete").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    expect(tab.page.get_by_test_id("editable-table")).not_to_contain_text("음악")
    tab.page.get_by_test_id("overflow-menu-trigger").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    tab.see("Registered Models", "zero versions")
    expect(tab.page.get_by_text("손으로 made")).to_have_count(0)
    tab.check(allowed=(NAME_IS_FREE,))


def test_a_duplicate_name_is_reported_before_the_request(tab: Tab) -> None:
    tab.open("/models")
    tab.page.get_by_test_id("create-model-button").click()
    tab.page.get_by_test_id("create-model-form-modal").get_by_role("textbox").fill("segmenter")
    tab.page.get_by_role("dialog").get_by_role("button", name="Create").click()
    tab.see("already exists")
    tab.check(allowed=("already exists",))


def test_a_missing_model_is_reported(tab: Tab) -> None:
    tab.open(model_page("no such model"))
    tab.see("Model no such model does not exist")
    tab.keep_screenshot("model-absent")


def test_the_versions_of_a_model_are_listed_with_aliases_tags_and_description(tab: Tab) -> None:
    tab.open(model_page("detector 모델"))
    rows = tab.page.get_by_test_id("model-version-table").get_by_role("row")
    second, first = rows.filter(has_text="Version 2"), rows.filter(has_text="Version 1")
    for text in ("depth: 2", "@ champion", "take 2"):
        expect(second).to_contain_text(text)
    for text in ("depth: 1", "Add", "take 1"):
        expect(first).to_contain_text(text)
    tab.see("Finds", "영상")
    tab.check()
    tab.keep_screenshot("model")


def test_a_version_gets_an_alias_and_a_tag_in_the_list_of_versions(made: str, tab: Tab) -> None:
    for number in (1, 2):
        tab.request("model-versions/create", {"name": made, "source": f"s3://bucket/{number}"})
    tab.open(model_page(made))
    rows = tab.page.get_by_test_id("model-version-table").get_by_role("row")
    rows.filter(has_text="Version 2").get_by_role("button", name="Add").last.click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("challenger")
    dialog.get_by_role("combobox").press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    expect(dialog).to_have_count(0)
    rows.filter(has_text="Version 1").get_by_role("button", name="Add").first.click()
    dialog.get_by_role("combobox").fill("k e y")
    dialog.get_by_role("combobox").press("Enter")
    dialog.get_by_label("Value (optional)").fill("값")
    dialog.get_by_label("Add tag").click()
    dialog.get_by_role("button", name="Save tags").click()
    expect(dialog).to_have_count(0)
    tab.check()
    model = tab.request("registered-models/get", name=made)["registered_model"]
    assert model["aliases"] == [{"alias": "challenger", "version": "2"}]
    assert tab.request("model-versions/get", name=made, version="1")["model_version"]["tags"] == [
        {"key": "k e y", "value": "값"}
    ]
    tab.open(model_page(made))
    expect(rows.filter(has_text="Version 2")).to_contain_text("@ challenger")
    expect(rows.filter(has_text="Version 1")).to_contain_text("k e y: 값")
    tab.check()


def test_two_versions_are_compared(tab: Tab) -> None:
    tab.open(model_page("detector 모델"))
    boxes = tab.page.get_by_test_id("model-version-table").get_by_role("checkbox")
    boxes.nth(1).check()
    boxes.nth(2).check()
    tab.page.get_by_test_id("compareButton").click()
    tab.see("Comparing 2 Versions", "train-3", "train-5", "Schema Inputs are identical")
    expect(tab.page.get_by_role("row").filter(has_text="depth").first).to_contain_text("35")
    expect(tab.page.get_by_role("row").filter(has_text="acc").first).to_contain_text("0.30.5")
    expect(tab.page.locator(".js-plotly-plot .parcoords")).to_be_visible()
    tab.check()
    tab.keep_screenshot("model-versions-compared")
