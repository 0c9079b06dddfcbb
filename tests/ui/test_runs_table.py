"""The table of runs: sort, filter, select columns, group, rename, tag, delete, download."""

import csv
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from tests.ui.browser import Tab
from tests.ui.test_experiment_pages import run_names


@pytest.fixture
def own(tab: Tab, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the id of a new experiment with the runs own-0, own-1 and own-2, newest last."""
    named = {"name": f"{request.node.name} {time.time_ns()}"}
    experiment_id = tab.request("experiments/create", named)["experiment_id"]
    for number in range(3):
        start = {"experiment_id": experiment_id, "run_name": f"own-{number}", "start_time": 1_760_000_000_000 + number}
        tab.request("runs/create", start)
    yield experiment_id
    tab.request("experiments/delete", {"experiment_id": experiment_id})


def table(experiment_id: str) -> str:
    return f"/experiments/{experiment_id}/runs"


def runs(tab: Tab, experiment_id: str, view: str = "ACTIVE_ONLY") -> dict[str, Any]:
    """Return an experiment's runs by name."""
    found = tab.request("runs/search", {"experiment_ids": [experiment_id], "run_view_type": view})
    return {one["info"]["run_name"]: one for one in found.get("runs", ())}


def choose(tab: Tab, *names: str) -> None:
    """Select the checkboxes of these runs."""
    for name in names:
        row = tab.page.locator(".ag-pinned-left-cols-container .ag-row").filter(has_text=name)
        row.get_by_label(re.compile("Press Space to toggle row selection")).check(force=True)


def header(tab: Tab, name: str) -> Locator:
    return tab.page.get_by_test_id(f"sort-header-{name}")


def dialog(tab: Tab) -> Locator:
    return tab.page.get_by_role("dialog").filter(visible=True)


def column_texts(tab: Tab, column: str) -> list[str]:
    """Return the column's texts from top to bottom, of the rendered rows."""
    return tab.rows(f".ag-center-cols-container .ag-row [col-id='{column}']")


def test_columns_of_metrics_and_params_are_selected(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(table(seeded["tuning"]))
    tab.see("45 matching runs")
    expect(header(tab, "score")).to_have_count(0)
    tab.page.get_by_test_id("column-selection-dropdown").first.click()
    for name in ("score", "architecture"):
        tab.page.locator("[class*=tree-list]").get_by_title(name, exact=True).click()
    tab.page.keyboard.press("Escape")
    expect(header(tab, "score")).to_be_visible()
    expect(header(tab, "architecture")).to_be_visible()
    # The two newest runs trained models and have neither; then comes tuned-42.
    tab.until(lambda: column_texts(tab, "metrics.`score`")[:4], ["-", "-", "0.42", "0.41"])
    tab.until(lambda: column_texts(tab, "params.`architecture`")[2:5], ["resnet", "yolo", "vit"])
    tab.check()
    tab.keep_screenshot("runs-columns")

    header(tab, "score").click()
    tab.until(lambda: run_names(tab)[:3], ["tuned-42", "tuned-41", "tuned-40"])
    header(tab, "score").click()
    tab.until(lambda: run_names(tab)[:3], ["tuned-00", "tuned-01", "tuned-02"])
    tab.check()


def test_runs_are_sorted_from_the_menu(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(table(seeded["tuning"]))
    tab.see("45 matching runs")
    tab.page.get_by_test_id("sort-select-dropdown").click()
    tab.page.get_by_test_id("sort-select-Run Name").click()
    tab.until(lambda: run_names(tab)[:2], ["tuned-42", "tuned-41"])
    tab.page.get_by_test_id("sort-select-dropdown").click()
    tab.page.get_by_test_id("sort-select-asc").click()
    tab.until(lambda: run_names(tab)[:3], ["train-3", "train-5", "tuned-00"])
    tab.check()


def test_runs_are_grouped_by_a_param_with_their_means(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(table(seeded["tuning"]))
    tab.see("45 matching runs")
    tab.page.get_by_role("button", name="Group by").click()
    tab.page.get_by_role("menuitemcheckbox", name="architecture").click()
    tab.page.keyboard.press("Escape")
    groups = tab.page.locator(".ag-row").filter(has_text="Group: ")
    expect(groups.filter(has_text="Group: resnet")).to_contain_text("15")
    tab.page.locator(".ag-row").filter(has_text="Group: resnet").locator("[role=button]").click()
    expect(groups.filter(has_text="Group: vit")).to_contain_text("14")
    expect(groups.filter(has_text="Group: yolo")).to_contain_text("14")
    tab.check()
    tab.keep_screenshot("runs-grouped")


def test_runs_are_filtered_by_dataset_time_and_state(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(table(seeded["tuning"]))
    tab.see("45 matching runs")
    tab.page.get_by_test_id("datasets-select-dropdown").click()
    tab.page.get_by_role("option").filter(has_text="kitti").click()
    tab.see("21 matching runs")
    tab.page.keyboard.press("Escape")
    tab.check()

    tab.open(f"{table(seeded['tuning'])}?startTime=LAST_HOUR")
    tab.see("2 matching runs")
    tab.until(lambda: run_names(tab), ["train-5", "train-3"])
    tab.check()


def test_runs_are_downloaded_as_csv(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(table(seeded["tuning"]))
    tab.see("45 matching runs")
    tab.page.get_by_label("More options").click()
    with tab.page.expect_download() as download:
        tab.page.get_by_role("menuitem", name="Download 45 runs").click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert len(rows) == 45
    last = next(row for row in rows if row["Name"] == "tuned-42")
    assert (last["architecture"], last["batch"], last["score"], last["Status"]) == ("resnet", "4", "0.42", "FINISHED")
    tab.check()


def test_a_run_is_renamed_in_the_table(own: str, tab: Tab) -> None:
    tab.open(table(own))
    tab.see("3 matching runs")
    choose(tab, "own-1")
    tab.page.get_by_test_id("run-rename-button").click()
    tab.page.get_by_test_id("rename-modal-input").fill("이름 / 2")
    dialog(tab).get_by_role("button", name="Save").click()
    tab.until(lambda: run_names(tab), ["own-2", "이름 / 2", "own-0"])
    tab.until(lambda: sorted(runs(tab, own)), ["own-0", "own-2", "이름 / 2"])
    tab.check()


def test_several_runs_are_tagged_together(own: str, tab: Tab) -> None:
    tab.open(table(own))
    tab.see("3 matching runs")
    choose(tab, "own-0", "own-2")
    tab.page.get_by_test_id("runs-tag-multiselect-trigger").click()
    tab.page.get_by_test_id("runs-add-new-tag-button").click()
    tab.page.get_by_test_id("add-new-tag-key-input").fill("reviewed")
    tab.page.get_by_test_id("add-new-tag-value-input").fill("완료")
    dialog(tab).get_by_role("button", name="Add").click()
    expect(dialog(tab)).to_have_count(0)
    tab.keep_screenshot("runs-tagging")
    tab.part("runs.add_tags").click()

    def tagged() -> list[str]:
        tag = {"key": "reviewed", "value": "완료"}
        return sorted(name for name, run in runs(tab, own).items() if tag in run["data"].get("tags", ()))

    tab.until(tagged, ["own-0", "own-2"])
    tab.check()


def test_several_runs_are_deleted_and_restored(own: str, tab: Tab) -> None:
    tab.open(table(own))
    tab.see("3 matching runs")
    choose(tab, "own-0", "own-1")
    tab.page.get_by_test_id("runs-delete-button").click()
    dialog(tab).get_by_role("button", name="Delete").click()
    tab.see("1 matching run")
    tab.until(lambda: sorted(runs(tab, own, "DELETED_ONLY")), ["own-0", "own-1"])

    tab.page.get_by_test_id("lifecycle-filter").click()
    tab.page.get_by_role("option", name="Deleted").click()
    tab.see("2 matching runs")
    choose(tab, "own-0", "own-1")
    tab.page.get_by_test_id("runs-restore-button").click()
    dialog(tab).get_by_role("button", name="Restore").click()
    tab.see("0 matching runs")
    tab.until(lambda: sorted(runs(tab, own)), ["own-0", "own-1", "own-2"])
    tab.check()


def test_a_run_is_pinned_to_the_top(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(table(seeded["tuning"]))
    tab.see("45 matching runs")
    row = tab.page.locator(".ag-pinned-left-cols-container .ag-row").filter(has_text="tuned-40")
    row.get_by_test_id("column-pin-toggle").click(force=True)
    tab.until(lambda: run_names(tab)[:3], ["tuned-40", "train-5", "train-3"])
    tab.check()


def test_a_view_of_the_table_is_saved_and_reopened(own: str, tab: Tab) -> None:
    tab.open(f"{table(own)}?searchFilter=attributes.run_name%3D%27own-1%27")
    tab.see("1 matching run")
    tab.page.get_by_test_id("saved-views-trigger").click()
    tab.page.get_by_test_id("saved-views-save-current").click()
    tab.page.get_by_test_id("save-view-name-input").fill("하나만")
    tab.page.get_by_test_id("save-view-save-button").click()
    expect(tab.page.get_by_test_id("save-view-save-button")).to_have_count(0)
    tab.open(f"{table(own)}?searchFilter=")
    tab.see("3 matching runs")
    tab.page.get_by_test_id("saved-views-trigger").click()
    tab.keep_screenshot("runs-views")
    tab.page.get_by_text("하나만").click()
    tab.see("1 matching run")
    tab.until(lambda: run_names(tab), ["own-1"])
    tab.check(allowed=("^You're viewing a shared view",))
