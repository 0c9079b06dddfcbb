"""Fixtures: a site for each way of storing artifacts, and the record of the run for docs/training.md."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.examples.record import Case, updated_page
from tests.examples.site import WAYS, Site, running_site
from tests.ui.browser import chromium

PAGE = Path(__file__).parents[3] / "docs" / "training.md"


@pytest.fixture(scope="session", params=WAYS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp(request.param), request.param) as site:
        yield site
        assert site.server.logged_errors() == []


@pytest.fixture
def new_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Yield a site of one test, whose servers it may stop."""
    with running_site(tmp_path, getattr(request, "param", "direct")) as site:
        yield site


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


Record = Callable[[str, str, str], None]


@pytest.fixture(scope="session")
def cases() -> Iterator[list[Case]]:
    """Collect the cases, and write them into the page. A run of some tests leaves the other rows as they are."""
    cases: list[Case] = []
    yield cases
    PAGE.write_text(updated_page(PAGE.read_text(), cases))


@pytest.fixture
def record(cases: list[Case]) -> Record:
    """Record a case, the example and the outcome, with the seconds since the test began."""
    began = time.monotonic()

    def add(case: str, example: str, outcome: str) -> None:
        cases.append(Case(case, example, outcome, time.monotonic() - began))

    return add
