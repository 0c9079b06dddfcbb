"""Fixtures for UI tests: one server with seeded data and one browser for all, a new profile for each."""

import json
import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.railtrack import railtrack_server
from tests.ui.browser import Tab, chromium, new_tab

SEED = Path(__file__).with_name("seed.py")


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of the UI. RAILTRACK_TEST_UI_URL names another server, such as MLflow's, for comparison."""
    if other := os.environ.get("RAILTRACK_TEST_UI_URL"):
        yield other
        return
    with railtrack_server(tmp_path_factory.mktemp("ui")) as server:
        yield server.url
        assert server.logged_errors() == []


@pytest.fixture(scope="session")
def seeded(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run seed.py and return the ids that it logs: experiments vision, audio and tuning; runs plain, showcase, parent
    and failed; logged models.
    """
    home = tmp_path_factory.mktemp("seed")
    done = subprocess.run(
        [str(client_interpreter("3.17.2")), str(SEED)],
        env=client_environment(url, home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(request: pytest.FixtureRequest, browser: Browser, url: str, seeded: dict[str, Any]) -> Iterator[Tab]:
    with new_tab(browser, url) as tab:
        yield tab
        if request.node.stash[FAILED]:
            tab.keep_screenshot(f"failed-{request.node.name.replace('/', '-')}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move UI tests to the end: Playwright's event loop occupies this thread from the first of them on."""
    items.sort(key=lambda item: item.path.is_relative_to(Path(__file__).parent))


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store the test report on the item, so that the fixture `tab` can check whether its test failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report
