"""Writes the reports of the long outages as a table into a page of the documentation."""

import datetime
import re
from collections.abc import Mapping, Sequence

from tests.clients.outages.fleet import VERSIONS
from tests.clients.outages.outage import ClientReport, Report

BEGIN = "<!-- `make test-outages` writes this table. -->"
END = "<!-- End of the table. -->"


def updated_page(page: str, reports: Mapping[str, Report], date: datetime.date) -> str:
    """Return the page with a row for each report. A row replaces the one of the same outage."""
    before, rest = page.split(BEGIN)
    table, after = rest.split(END)
    rows = {match[1]: match[0] for match in re.finditer(r"^\| (?!outage |---)(.*?) \| .*$", table, re.MULTILINE)}
    rows |= {outage: _report_row(outage, report, date) for outage, report in reports.items()}
    header = ["outage", *VERSIONS, "lost", "duplicates", "date"]
    lines = [_row(header), _row(["---"] * len(header)), *rows.values()]
    return f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}"


def _report_row(outage: str, report: Report, date: datetime.date) -> str:
    columns = [_client_cell(client) for client in report.clients]
    return _row([outage, *columns, str(len(report.lost)), str(len(report.duplicates)), str(date)])


def _client_cell(client: ClientReport) -> str:
    failed = f"**{client.failed} failed**" if client.failed else "0 failed"
    return f"{client.calls} calls, {failed}, longest {client.longest_s:.0f} s"


def _row(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |"
