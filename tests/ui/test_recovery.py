"""A tab that was open while the server restarted or was upgraded recovers without a click."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.ui.browser import Tab, new_tab

CHUNKS = "**/static-files/static/js/*.chunk.js"
PREFIX = "/mlflow"
BROKEN = "Something went wrong"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RailtrackServer]:
    with railtrack_server(tmp_path, environment={"MLFLOW_STATIC_PREFIX": PREFIX}) as server:
        yield server


@pytest.fixture
def open_tab(server: RailtrackServer, browser: Browser) -> Iterator[Tab]:
    """Yield a tab at the list of experiments that has not loaded the code of other pages."""
    with new_tab(browser, server.url + PREFIX) as tab:
        tab.open("/experiments")
        tab.see("Default")
        tab.settle()
        yield tab


def go_to_models(tab: Tab) -> None:
    tab.page.evaluate("location.hash = '#/models'")


def test_a_tab_recovers_from_a_restart(open_tab: Tab, server: RailtrackServer) -> None:
    server.stop()
    go_to_models(open_tab)
    open_tab.see(BROKEN)
    open_tab.keep_screenshot("recovery-away")
    server.start()
    open_tab.see("Create Model")
    expect(open_tab.page.get_by_text(BROKEN)).to_be_hidden()
    open_tab.keep_screenshot("recovery-back")


def test_a_tab_recovers_from_an_upgrade(open_tab: Tab) -> None:
    missing: list[str] = []

    def fulfill(route: Route) -> None:
        if missing:
            route.continue_()
        else:
            missing.append(route.request.url)
            route.fulfill(status=404)

    open_tab.page.route(CHUNKS, fulfill)
    go_to_models(open_tab)
    open_tab.see("Create Model")
    assert missing


def test_a_tab_with_missing_code_is_not_reloaded_repeatedly(open_tab: Tab) -> None:
    loads: list[str] = []
    open_tab.page.on("domcontentloaded", lambda page: loads.append(page.url))
    open_tab.page.route(CHUNKS, lambda route: route.fulfill(status=404))
    go_to_models(open_tab)
    open_tab.until(lambda: len(loads), 1)
    open_tab.see(BROKEN)
    open_tab.page.wait_for_timeout(3_000)  # the page would check the health of the server a second later
    assert len(loads) == 1
