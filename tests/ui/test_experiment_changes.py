"""Changes in the list of experiments and in the settings: tags, comparison, theme."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.ui.browser import Tab


@pytest.fixture
def own(tab: Tab) -> Iterator[dict[str, str]]:
    """Yield the id and name of a new experiment."""
    name = f"own {time.time_ns()}"
    made = tab.request("experiments/create", {"name": name})["experiment_id"]
    yield {"id": made, "name": name}
    tab.request("experiments/delete", {"experiment_id": made})


def test_an_experiment_is_tagged_and_found_by_its_tag(own: dict[str, str], tab: Tab) -> None:
    tab.open("/experiments")
    items = tab.page.get_by_test_id("experiment-list-item")
    dialog = tab.page.get_by_role("dialog").filter(visible=True)
    items.filter(has_text=own["name"]).get_by_label("Edit tags").click()
    dialog.get_by_role("combobox").fill("phase")
    dialog.get_by_role("combobox").press("Enter")
    dialog.get_by_label("Value").fill("둘째")
    dialog.get_by_label("Add tag").click()
    dialog.get_by_role("button", name="Save tags").click()
    expect(items.filter(has_text=own["name"])).to_contain_text("phase: 둘째")
    experiment = tab.request("experiments/get", experiment_id=own["id"])["experiment"]
    assert {"key": "phase", "value": "둘째"} in experiment["tags"]

    tab.part("tag_filter.trigger").click()
    tab.page.get_by_label("Key").fill("phase")
    tab.page.get_by_label("Value").fill("둘째")
    tab.page.get_by_role("button", name="Apply filters").click()
    expect(items).to_have_count(1)
    expect(items).to_contain_text(own["name"])
    tab.check()
    tab.keep_screenshot("experiments-by-tag")


def test_selected_experiments_are_compared(tab: Tab) -> None:
    tab.open("/experiments")
    for name in ("audio", "tuning"):
        item = tab.page.get_by_test_id("experiment-list-item").filter(has_text=name)
        item.get_by_test_id("experiment-list-item-check-box").check(force=True)
    tab.page.get_by_test_id("compare-experiment-button").click()
    tab.see("Displaying Runs from 2 Experiments", "tuned-42", "46 matching runs")
    tab.check()
    tab.keep_screenshot("experiments-compared")


def test_the_description_of_an_experiment_is_edited(own: dict[str, str], tab: Tab) -> None:
    described = {"experiment_id": own["id"], "key": "mlflow.note.content", "value": "First **words**."}
    tab.request("experiments/set-experiment-tag", described)
    tab.open(f"/experiments/{own['id']}/runs")
    expect(tab.page.locator("strong", has_text="words")).to_be_visible()
    tab.page.get_by_test_id("experiment-metadata-editor-edit-button").click()
    dialog = tab.page.get_by_role("dialog").filter(visible=True)
    dialog.get_by_test_id("text-area").fill("Other *말*.")
    dialog.get_by_role("button", name="Save").click()
    expect(tab.page.locator("em", has_text="말")).to_be_visible()
    tab.check()
    tags = tab.request("experiments/get", experiment_id=own["id"])["experiment"]["tags"]
    assert {"key": "mlflow.note.content", "value": "Other *말*."} in tags


def test_the_dark_theme_is_selected_and_persists(tab: Tab) -> None:
    tab.open("/settings/general")
    body = tab.page.locator("body.dark-mode")
    tab.see("Light")
    expect(body).to_have_count(0)
    tab.page.get_by_role("switch").first.click()
    expect(body).to_have_count(1)
    tab.open("/experiments")
    tab.see("vision")
    expect(body).to_have_count(1)
    tab.check()
    tab.keep_screenshot("experiments-dark")


def test_metrics_of_compared_runs_are_shown_as_box_plots(tab: Tab, seeded: dict[str, Any]) -> None:
    chosen = ",".join(f"%22{run}%22" for run in seeded["plain"][:3])
    tab.open(f"/compare-runs?runs=[{chosen}]&experiments=[%22{seeded['vision']}%22]")
    tab.see("Comparing 3 Runs")
    tab.page.get_by_role("tab", name="Box Plot").click()
    panel = tab.page.get_by_role("tabpanel", name="Box Plot")
    for number, name in enumerate(("optimizer", "acc")):
        panel.get_by_role("combobox").nth(number).click()
        tab.page.get_by_role("option", name=name, exact=True).filter(visible=True).click()
    expect(panel.locator(".boxlayer .trace")).not_to_have_count(0)
    tab.check()
    tab.keep_screenshot("compare-boxes")
