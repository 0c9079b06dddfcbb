"""The table of the long outages in docs/outages.md."""

import datetime

from tests.clients.outages.fleet import VERSIONS
from tests.clients.outages.outage import ClientReport, Report
from tests.clients.outages.record import BEGIN, END, updated_page

DATE = datetime.date(2026, 11, 30)


def report(failed: int) -> Report:
    clients = [ClientReport(version, 100, failed, 61.4) for version in VERSIONS]
    return Report(clients, [], ["one"], [])


def test_a_row_replaces_the_older_one_of_the_same_outage_and_leaves_the_others() -> None:
    first = updated_page(f"before\n{BEGIN}\n{END}\nafter\n", {"a": report(0), "b": report(0)}, DATE)
    second = updated_page(first, {"b": report(3)}, DATE + datetime.timedelta(1))
    rows = [line for line in second.splitlines() if line.startswith("| ")][2:]
    assert rows[0] == f"| a |{' 100 calls, 0 failed, longest 61 s |' * 4} 1 | 0 | 2026-11-30 |"
    assert rows[1] == f"| b |{' 100 calls, **3 failed**, longest 61 s |' * 4} 1 | 0 | 2026-12-01 |"
    assert len(rows) == 2
    assert second.startswith("before\n")
    assert second.endswith("after\n")
