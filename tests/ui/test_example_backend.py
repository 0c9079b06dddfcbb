"""The page of the example backend in a browser: start a training, follow it, compare, predict."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from tests.servers.example_backend import Backend, backend, platform
from tests.ui.browser import Tab, new_tab


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Run a backend without a password, which serves this machine only."""
    with (
        platform(tmp_path_factory.mktemp("platform")) as around,
        backend(tmp_path_factory.mktemp("backend"), around, BACKEND_PASSWORD="") as one,
    ):
        yield one


@pytest.fixture
def guest(one: Backend, browser: Browser) -> Iterator[Tab]:
    with new_tab(browser, one.url) as tab:
        yield tab


def test_the_page_starts_follows_and_compares_trainings_and_predicts(guest: Tab, one: Backend) -> None:
    page = guest.page
    page.goto(one.url)
    guest.see("No model yet: run a training.")
    for number, epochs in enumerate((40, 5), start=1):
        page.get_by_label("Epochs").fill(str(epochs))
        page.get_by_role("button", name="Start", exact=True).click()
        guest.see("Started run: FINISHED")
        expect(page.locator("#chart polyline")).to_have_count(3)
        guest.see(f"(step {epochs - 1})")
        expect(page.locator("#runs tr")).to_have_count(number)
    guest.see("Best: ", "detector, version 1")
    for box in page.get_by_label("Select ").all():
        box.check()
    page.get_by_role("button", name="Compare the selected runs").click()
    expect(page.locator("#comparison tr").nth(1)).to_have_text("epochs540")
    pad = page.locator("#pad i")
    pad.nth(4).hover()
    page.mouse.down()
    for row in range(1, 7):
        pad.nth(4 + 8 * row).hover()
    page.mouse.up()
    page.get_by_role("button", name="Predict the drawn digit").click()
    expect(page.locator("#prediction")).to_have_text(re.compile(r"^\d$"))
    guest.keep_screenshot("example-backend")

    page.get_by_label("Epochs").fill("0")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#runs tr")).to_have_count(2)
