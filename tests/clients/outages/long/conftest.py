"""Writes the reports of the long outages into docs/outages.md."""

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.clients.outages.outage import Report
from tests.clients.outages.record import updated_page

PAGE = Path(__file__).parents[4] / "docs" / "outages.md"


@pytest.fixture(scope="session")
def record() -> Iterator[Callable[[str, Report], None]]:
    """Take the report of an outage by its name. A run of some tests leaves the other rows of the table as they are."""
    reports: dict[str, Report] = {}
    yield reports.__setitem__
    PAGE.write_text(updated_page(PAGE.read_text(), reports, datetime.date.today()))
