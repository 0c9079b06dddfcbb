"""Charts of an experiment's runs: each kind, axes, smoothing, and hidden runs."""

from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from tests.ui.browser import Tab

NO_METRIC_SELECTED = "^400 GET /ajax-api/2.0/mlflow/metrics/get-history-bulk-interval$"
"""Until a metric is selected, the page requests a history without a key. MLflow's server rejects it too."""


def open_charts(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs?compareRunsMode=CHART")
    tab.see("Model metrics", "14 matching runs")


def start_chart(tab: Tab, kind: str) -> Locator:
    """Open and return the dialog for a new chart of this kind."""
    tab.page.get_by_test_id("experiment-view-compare-runs-add-chart").first.click()
    tab.page.get_by_test_id(f"experiment-view-compare-runs-chart-type-{kind}").click()
    dialog = tab.page.get_by_role("dialog").filter(visible=True)
    expect(dialog).to_contain_text("Add new chart")
    return dialog


def choose(tab: Tab, dialog: Locator, field: str, *options: str) -> None:
    """Select options in the dialog's field with this label."""
    select = dialog.get_by_test_id("experiment-view-compare-runs-config-field").filter(has_text=field)
    select.locator("[class*=select-selector]").click()
    for option in options:
        tab.page.locator("[class*=select-dropdown]").filter(visible=True).get_by_title(option, exact=True).click()
    dialog.get_by_text("Add new chart").click()


def finish_chart(tab: Tab, dialog: Locator) -> Locator:
    """Add the chart. Return its card, the second in the first section."""
    dialog.get_by_test_id("experiment-view-compare-runs-chart-modal-confirm").click()
    expect(dialog).to_have_count(0)
    return tab.page.get_by_test_id("experiment-view-compare-runs-card").nth(1)


@pytest.mark.parametrize(
    ("kind", "axes", "marks", "count"),
    [
        # Of the ten initially visible runs nine have loss and eight also acc. A bar chart preselects acc.
        ("bar", {"Metric": "loss"}, ".barlayer .point path", 18),
        ("scatter", {"X axis": "acc", "Y axis": "loss"}, ".scatterlayer .point", 8),
        ("contour", {"X axis": "acc", "Y axis": "loss", "Z axis": "acc"}, ".contourlayer .contour", 1),
    ],
)
def test_a_chart_of_last_values_is_added(
    kind: str, axes: dict[str, str], marks: str, count: int, tab: Tab, seeded: dict[str, Any]
) -> None:
    open_charts(tab, seeded)
    dialog = start_chart(tab, kind)
    for field, metric in axes.items():
        choose(tab, dialog, field, metric)
    card = finish_chart(tab, dialog)
    expect(card.locator(marks)).to_have_count(count)
    tab.check(allowed=(NO_METRIC_SELECTED,))
    tab.keep_screenshot(f"chart-{kind}")


def test_parallel_coordinates_are_added(tab: Tab, seeded: dict[str, Any]) -> None:
    open_charts(tab, seeded)
    dialog = start_chart(tab, "parallel")
    tab.see("Select at least two metrics and params first")
    choose(tab, dialog, "Params", "lr", "optimizer")
    choose(tab, dialog, "Metrics", "acc", "loss")
    card = finish_chart(tab, dialog)
    expect(card.locator(".parcoords, .parcoords-wrapper").first).to_be_visible()
    for axis in ("lr", "optimizer", "acc", "loss"):
        expect(card.get_by_text(axis, exact=True).first).to_be_visible()
    tab.check(allowed=(NO_METRIC_SELECTED,))
    tab.keep_screenshot("chart-parallel")


def test_a_line_chart_is_smoothed_and_drawn_over_steps_time_and_another_metric(
    tab: Tab, seeded: dict[str, Any]
) -> None:
    open_charts(tab, seeded)
    dialog = start_chart(tab, "line")
    title = dialog.locator(".xtitle")
    expect(title).to_have_text("Step")
    line = dialog.locator(".scatterlayer .trace path.js-line").first
    drawn = line.get_attribute("d") or ""
    for choice, shown in (("Time (relative)", "Relative Time"), ("Time (wall)", "Time")):
        dialog.get_by_text(choice).click()
        expect(title).to_have_text(shown)
    dialog.get_by_text("Metric", exact=True).first.click()
    dialog.get_by_role("combobox").nth(1).click()
    tab.page.locator("[class*=select-dropdown]").filter(visible=True).get_by_title("loss", exact=True).click()
    expect(title).to_have_text("loss")
    dialog.get_by_text("Step", exact=True).first.click()
    expect(title).to_have_text("Step")
    expect(line).to_have_attribute("d", drawn)
    dialog.get_by_text("Custom", exact=True).click()
    dialog.get_by_role("slider").press("End")
    expect(line).not_to_have_attribute("d", drawn)
    card = finish_chart(tab, dialog)
    expect(card.locator(".scatterlayer path.js-line").first).to_be_visible()
    tab.check(allowed=(NO_METRIC_SELECTED,))
    tab.keep_screenshot("chart-line")


def test_runs_are_compared_with_a_baseline_in_a_difference_view(tab: Tab, seeded: dict[str, Any]) -> None:
    open_charts(tab, seeded)
    dialog = start_chart(tab, "difference")
    dialog.get_by_text("Parameters", exact=True).click()
    dialog.get_by_text("Model metrics", exact=True).click()
    card = finish_chart(tab, dialog)
    for text in ("Runs difference view", "optimizer", "acc", "sweep"):
        expect(card).to_contain_text(text)
    tab.check(allowed=(NO_METRIC_SELECTED,))
    tab.keep_screenshot("chart-difference")


def test_images_of_several_runs_are_shown_in_a_grid_by_step(tab: Tab, seeded: dict[str, Any]) -> None:
    open_charts(tab, seeded)
    dialog = start_chart(tab, "image")
    dialog.get_by_text("Images", exact=True).last.click()
    tab.page.get_by_role("option", name="predicted mask").click()
    tab.page.keyboard.press("Escape")
    image = dialog.locator("img").filter(visible=True).first
    expect(image).to_be_visible()
    card = finish_chart(tab, dialog)
    image = card.locator("img").filter(visible=True).first
    expect(image).to_be_visible()
    tab.until(lambda: image.evaluate("image => image.naturalWidth > 0"), True)
    tab.check(allowed=(NO_METRIC_SELECTED,))
    tab.keep_screenshot("chart-images")


def test_a_hidden_run_is_removed_from_the_charts(tab: Tab, seeded: dict[str, Any]) -> None:
    open_charts(tab, seeded)
    acc = tab.page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text="acc").first
    acc.scroll_into_view_if_needed()
    points = acc.locator(".scatterlayer path.point")
    expect(points).to_have_count(8 * 40)
    row = tab.page.locator(".ag-pinned-left-cols-container .ag-row").filter(has_text="resnet-3")
    row.locator("label").filter(has_text="Hide run").click()
    expect(points).to_have_count(7 * 40)
    tab.check()


def test_charts_are_searched_and_deleted(tab: Tab, seeded: dict[str, Any]) -> None:
    open_charts(tab, seeded)
    cards = tab.page.get_by_test_id("experiment-view-compare-runs-card")
    card = cards.filter(has_text="best")
    expect(card).to_have_count(1)
    tab.page.get_by_placeholder("Search metric charts").fill("best")
    expect(cards.filter(has_text="acc")).to_have_count(0)
    card.get_by_test_id("experiment-view-compare-runs-card-menu").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    expect(card).to_have_count(0)
    tab.check()
