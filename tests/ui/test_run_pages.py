"""Pages of a run: overview, metrics, artifacts, and comparison of runs."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect
from tests.ui.browser import Tab


def run_page(seeded: dict[str, Any], tab_name: str = "") -> str:
    return f"/experiments/{seeded['vision']}/runs/{seeded['showcase']}{tab_name}"


def test_the_overview_shows_all_fields_of_a_run(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(run_page(seeded))
    tab.see("showcase", "Everything", "Finished", seeded["showcase"], "reviewed by", "pets", "Training")
    tab.see("Metrics (5)", "System metrics (2)", "Model metrics (3)", "Parameters (2)", "긴 이름/a.b", "seed.py")
    ceiling = tab.page.get_by_role("row").filter(has_text="ceiling")
    expect(ceiling).to_contain_text("1.7976931348623157e+308")  # infinity as stored in MLflow's tables
    expect(tab.page.get_by_role("row").filter(has_text="epochs")).to_contain_text("3")
    tab.check()
    tab.keep_screenshot("run")


def test_a_run_with_only_nan_metrics_is_shown(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs/{seeded['failed']}")
    tab.see("diverged", "Failed", "No parameters recorded")
    tab.check()
    tab.keep_screenshot("run-failed")


def test_a_parent_run_links_to_its_children(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs/{seeded['parent']}")
    tab.see("sweep", "trial-0", "trial-1", "trial-2", "x" * 50)
    tab.page.get_by_role("link", name="trial-1").click()
    tab.see("Parent run", "width")
    tab.check()
    tab.keep_screenshot("run-child")


def test_metrics_are_plotted_with_a_gap_at_nan(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(run_page(seeded, "/model-metrics"))
    cards = tab.page.get_by_test_id("experiment-view-compare-runs-card")
    expect(cards.filter(has_text="showcase (loss)").locator(".scatterlayer path.point")).to_have_count(40)
    expect(cards.filter(has_text="val/f1").locator(".scatterlayer path.point")).to_have_count(9)  # step 5 is NaN
    tab.check()
    tab.keep_screenshot("run-model-metrics")


def test_images_logged_at_steps_are_shown(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(run_page(seeded, "/model-metrics"))
    card = tab.page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text="predicted mask")
    card.scroll_into_view_if_needed()
    image = card.locator("img.rc-image-img").first
    expect(image).to_be_visible()
    tab.check()
    tab.until(lambda: image.evaluate("image => image.naturalWidth > 0"), True)
    box = image.bounding_box()
    assert box
    assert box["x"] < 1500
    tab.keep_screenshot("run-images")


def test_system_metrics_are_plotted(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(run_page(seeded, "/system-metrics"))
    tab.see("cpu_utilization_percentage", "system_memory_usage_megabytes")
    plots = tab.page.locator(".js-plotly-plot")
    expect(plots).to_have_count(2)
    for plot in plots.all():
        expect(plot.locator(".scatterlayer path.point")).to_have_count(20)
    tab.check()
    tab.keep_screenshot("run-system-metrics")


def test_the_artifact_tree_opens_folders(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(run_page(seeded, "/artifacts"))
    tab.see("images", "notes", "eval_table.json", "picture 1.png", "Select a file to preview")
    tab.page.get_by_text("notes", exact=True).click()
    tab.see("config.json", "doc.md", "page.html", "readme.txt", "rows.csv")
    tab.check()
    tab.keep_screenshot("artifacts")


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("notes/readme.txt", ["first line", "둘째 줄", "21B"]),
        ("notes/config.json", ['"이름"', '"고양이"']),
        ("notes/doc.md", ["Title", "Some"]),
        ("notes/rows.csv", ["Previewing the first 3 rows", "고양이"]),
        ("eval_table.json", ["View as table", "question", "왜?", "because"]),
    ],
)
def test_a_text_artifact_is_previewed(path: str, texts: list[str], tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(run_page(seeded, f"/artifacts/{path}"))
    tab.see(*texts)
    tab.check()
    tab.keep_screenshot(f"artifact-{path.replace('/', '-')}")


def test_an_image_artifact_is_previewed(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(run_page(seeded, "/artifacts"))
    tab.page.get_by_text("picture 1.png").click()
    image = tab.page.get_by_role("img", name="picture 1.png")
    expect(image).to_be_visible()
    tab.until(lambda: image.evaluate("image => [image.naturalWidth, image.naturalHeight]"), [90, 60])
    tab.check()
    tab.keep_screenshot("artifact-image")


def test_an_artifact_is_downloaded(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(run_page(seeded, "/artifacts"))
    tab.page.get_by_text("eval_table.json").click()
    tab.see("View as table")
    with tab.page.expect_download() as download:
        tab.page.locator("[data-component-id$='artifactview.tsx_337']").click()  # its icon has no name
    assert json.loads(download.value.path().read_text())["columns"] == ["question", "answer", "score"]
    tab.check()


def test_a_run_is_renamed(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['audio']}/runs")
    tab.page.get_by_role("link", name="resnet-0").click()
    tab.see("About this run")
    tab.page.get_by_test_id("overflow-menu-trigger").click()
    tab.page.get_by_role("menuitem", name="Rename").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("이름 2")
    dialog.get_by_role("button", name="Save").click()
    expect(tab.page.get_by_role("heading", name="이름 2")).to_be_visible()
    tab.check()
    tab.open(f"/experiments/{seeded['audio']}/runs")
    tab.see("이름 2")
    tab.page.get_by_role("link", name="이름 2").click()
    tab.page.get_by_test_id("overflow-menu-trigger").click()
    tab.page.get_by_role("menuitem", name="Rename").click()
    dialog.get_by_role("textbox").fill("resnet-0")
    dialog.get_by_role("button", name="Save").click()
    expect(tab.page.get_by_role("heading", name="resnet-0")).to_be_visible()
    tab.check()


def test_runs_are_compared(tab: Tab, seeded: dict[str, Any]) -> None:
    runs, experiments = json.dumps(seeded["plain"][:3]), json.dumps([seeded["vision"]])
    tab.open(f"/compare-runs?runs={quote(runs)}&experiments={quote(experiments)}")
    tab.see("Comparing 3 Runs from 1 Experiment", "resnet-0", "resnet-1", "resnet-2", "optimizer", "Show diff only")
    expect(tab.page.locator(".js-plotly-plot .parcoords")).to_be_visible()
    tab.check()
    tab.keep_screenshot("compare")
    for plot in ("Scatter Plot", "Contour Plot"):
        tab.page.get_by_role("tab", name=plot).click()
        expect(tab.page.get_by_role("tabpanel", name=plot).locator("svg.main-svg").first).to_be_visible()
        tab.check()


def test_a_metric_of_several_runs_is_plotted_on_a_separate_page(tab: Tab, seeded: dict[str, Any]) -> None:
    runs, experiments = json.dumps(seeded["plain"][:3]), json.dumps([seeded["vision"]])
    tab.open(f"/compare-runs?runs={quote(runs)}&experiments={quote(experiments)}")
    tab.page.locator("a[title='Plot chart'][href*='loss']").click()
    # The plot has a smoothed and an invisible original line for each run.
    expect(tab.page.locator(".js-plotly-plot .scatterlayer g.trace")).to_have_count(6)
    tab.see("resnet-2 (loss)", "0.023809523809523808 (step=39)")
    expect(tab.page.get_by_text("Completed Runs").locator("..")).to_contain_text("3/3")
    tab.check()
    tab.keep_screenshot("metric")
