"""Each example against a server as in the guide, artifacts direct and proxied: complete, shown, predicting the same."""

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.examples.check import missing_parts
from tests.examples.site import Site
from tests.examples.training import MODELS, Training, interpreter, training_environment, trainings
from tests.examples.trainings.conftest import Record
from tests.ui.browser import new_tab

PREDICT = Path(__file__).parents[1] / "predict.py"


@pytest.mark.parametrize("name", MODELS)
def test_an_example_is_complete_and_its_champion_predicts_the_same(
    name: str, site: Site, browser: Browser, tmp_path: Path, record: Record
) -> None:
    with trainings([name], site, tmp_path) as (training,):
        assert training.wait() == 0, training.log()
    assert missing_parts(training) == []
    trained, champion = predictions(training.log())
    assert champion == trained
    assert predicted_elsewhere(name, site, tmp_path) == trained
    show(training, browser)
    record(f"artifacts {site.way}", name, "complete; shown; the champion predicts the same in another process")


def predictions(log: str) -> list[str]:
    """Return what the trained model predicted, and what the champion did."""
    return re.findall(r"^The (?:model|champion) predicts +(.*)$", log, re.MULTILINE)


def predicted_elsewhere(name: str, site: Site, folder: Path) -> str:
    done = subprocess.run(
        [str(interpreter()), str(PREDICT), name, MODELS[name]],
        env=training_environment(site.environment, folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (predicted,) = predictions(done.stdout)
    return predicted


def show(training: Training, browser: Browser) -> None:
    """Open the pages of the run as the administrator, check what they show, and keep screenshots."""
    site, info = training.site, training.run["info"]
    with new_tab(browser, site.server.url) as tab:
        tab.page.set_extra_http_headers({"Authorization": site.authorization})
        page = f"/experiments/{info['experiment_id']}/runs/{info['run_id']}"
        tab.open(page)
        tab.see(training.name, "Finished", MODELS[training.name], "System metrics")
        tab.check()
        tab.keep_screenshot(f"example-{training.name}-{site.way}-overview")
        tab.page.set_viewport_size({"width": 1500, "height": 2600})  # charts out of sight are not drawn
        tab.open(f"{page}/model-metrics")
        tab.see("sample 0")
        card = tab.page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text="sample 0")
        card.scroll_into_view_if_needed()
        image = card.locator("img.rc-image-img").first
        tab.until(lambda: image.evaluate("image => image.naturalWidth > 0"), True)
        tab.check()
        tab.keep_screenshot(f"example-{training.name}-{site.way}-metrics")
        tab.page.set_viewport_size({"width": 1500, "height": 1000})
        tab.open(f"{page}/artifacts/confusion_matrix.png")
        tab.see("checkpoints", "confusion_matrix.png")
        tab.settle()
        tab.check()
        tab.keep_screenshot(f"example-{training.name}-{site.way}-artifacts")
