"""Pages of experiments and their runs: lists, search, charts, and changes."""

import re
from typing import Any

from playwright.sync_api import expect
from tests.ui.browser import Tab

RUNS = ["sweep", "showcase", *(f"resnet-{number}" for number in range(7, -1, -1)), "diverged"]
"""Default order of the runs of experiment "vision": newest first, with the three nested runs collapsed."""


def run_names(tab: Tab) -> list[str]:
    """Return the names in the runs table from top to bottom."""
    return tab.rows(".ag-pinned-left-cols-container .ag-row[row-index]", "a[href*='/runs/']")


def test_a_first_visit_shows_model_training_and_the_latest_experiments(tab: Tab) -> None:
    tab.open("/")
    tab.see("audio", "vision 시각", "Default", "Model registry")
    navigation = tab.page.locator("nav, aside").first
    for absent in ("Prompts", "AI Gateway", "Judges", "Playground"):
        expect(navigation.get_by_text(absent, exact=True)).to_have_count(0)
    expect(tab.page.get_by_text("collects usage data")).to_have_count(0)
    tab.check()
    tab.keep_screenshot("home")


def test_experiments_are_listed_and_searched(tab: Tab) -> None:
    tab.open("/experiments")
    items = tab.page.get_by_test_id("experiment-list-item")
    expect(items.filter(has_text="vision 시각")).to_contain_text("team: 영상")
    expect(items.filter(has_text="Default")).to_have_count(1)
    tab.check()
    tab.keep_screenshot("experiments")

    tab.page.get_by_test_id("search-experiment-input").fill("VISION")
    tab.page.get_by_label("Search", exact=True).click()
    expect(items).to_have_count(1)
    expect(items).to_contain_text("vision 시각")
    tab.check()


def test_an_experiment_is_created_renamed_described_and_deleted(tab: Tab) -> None:
    tab.open("/experiments")
    tab.page.get_by_test_id("create-experiment-button").click()
    tab.page.get_by_placeholder("Input an experiment name").fill("made by hand")
    tab.page.get_by_role("dialog").get_by_role("button", name="Create").click()
    tab.see("made by hand")

    tab.page.get_by_test_id("overflow-menu-trigger").click()
    tab.page.get_by_role("menuitem", name="Edit experiment").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_placeholder("Enter experiment name").fill("renamed by hand")
    dialog.get_by_test_id("text-area").fill("Hears **dogs**.")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    tab.see("renamed by hand", "Hears")
    tab.keep_screenshot("experiment-renamed")

    tab.open("/experiments")
    item = tab.page.get_by_test_id("experiment-list-item").filter(has_text="renamed by hand")
    item.get_by_test_id("experiment-list-item-check-box").check(force=True)
    tab.page.get_by_test_id("delete-experiments-button").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(item).to_have_count(0)
    # The page requests the name before it creates: 404 means that the name is available.
    tab.check(allowed=("^404 GET /ajax-api/2.0/mlflow/experiments/get-by-name$",))


def test_the_runs_table_shows_runs_with_status_dataset_and_children(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs")
    tab.see("14 matching runs", "Finds", "pets")
    tab.until(lambda: run_names(tab), RUNS)
    expect(tab.page.locator(".ag-center-cols-container .ag-row").first).to_be_visible()
    tab.check()
    tab.keep_screenshot("runs")

    sweep = tab.page.locator(".ag-pinned-left-cols-container .ag-row").filter(has_text="sweep")
    sweep.get_by_role("button").click()
    tab.see("trial-0", "trial-1", "trial-2")
    tab.until(lambda: len(run_names(tab)), 14)
    tab.check()
    tab.keep_screenshot("runs-nested")


def test_runs_are_filtered_and_an_invalid_filter_is_reported(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs")
    search = tab.page.get_by_test_id("search-box").last
    search.fill("metrics.acc > 0.955 and params.optimizer = 'adam'")
    search.press("Enter")
    tab.see("1 matching run")
    tab.until(lambda: run_names(tab), ["resnet-7"])
    tab.check()

    search.fill("metrics.acc >")
    search.press("Enter")
    tab.see("Invalid")
    tab.keep_screenshot("runs-bad-filter")
    tab.settle()
    assert tab.errors == ["400 POST /ajax-api/2.0/mlflow/runs/search"]


def test_runs_are_sorted_by_a_metric_with_missing_values_last(tab: Tab, seeded: dict[str, Any]) -> None:
    column = "metrics.%60acc%60"
    tab.open(f"/experiments/{seeded['vision']}/runs?orderByKey={column}&orderByAsc=false")
    tab.see("14 matching runs")
    tab.until(lambda: run_names(tab)[:8], [f"resnet-{number}" for number in range(7, -1, -1)])
    tab.open(f"/experiments/{seeded['vision']}/runs?orderByKey={column}&orderByAsc=true")
    tab.see("14 matching runs")
    tab.until(lambda: run_names(tab)[:8], [f"resnet-{number}" for number in range(8)])
    tab.check()


def test_charts_of_all_metrics_are_drawn(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs?compareRunsMode=CHART")
    sections = tab.page.get_by_test_id("experiment-view-compare-runs-section-header")
    expect(sections.filter(has_text="Model metrics")).to_contain_text("(5)")
    expect(sections.filter(has_text="val")).to_contain_text("(1)")
    tab.keep_screenshot("charts")
    cards = tab.page.get_by_test_id("experiment-view-compare-runs-card")
    acc = cards.filter(has_text="acc").first
    acc.scroll_into_view_if_needed()
    # Ten runs are visible initially: those of sweep and showcase have no acc, resnet-7 to resnet-0 have 40 points.
    expect(acc.locator(".scatterlayer path.point")).to_have_count(8 * 40)
    tab.check()


def test_tables_of_several_runs_are_shown_side_by_side(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs?compareRunsMode=ARTIFACT")
    tab.see("Table")
    tab.check()
    tab.keep_screenshot("artifact-view")


def test_a_run_is_deleted_and_restored(tab: Tab, seeded: dict[str, Any]) -> None:
    table = f"/experiments/{seeded['audio']}/runs"
    tab.open(table)
    tab.see("1 matching run")
    _choose_first_run(tab)
    tab.page.get_by_test_id("runs-delete-button").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    tab.see("0 matching runs")
    tab.check()

    tab.open(f"{table}?lifecycleFilter=Deleted")
    tab.see("1 matching run")
    _choose_first_run(tab)
    tab.page.get_by_test_id("runs-restore-button").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    tab.see("0 matching runs")
    tab.open(f"{table}?lifecycleFilter=Active")
    tab.see("1 matching run", "resnet-0")
    tab.check()


def _choose_first_run(tab: Tab) -> None:
    tab.page.get_by_label(re.compile("Press Space to toggle row selection")).first.check(force=True)
