"""Reports of findings as text and JSON, and the exit code."""

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from railtrack.checks import CheckStatus, Finding
from railtrack.logs.redaction import redacted

COLORS = {CheckStatus.OK: "32", CheckStatus.WARNING: "33", CheckStatus.PROBLEM: "31", CheckStatus.SKIPPED: "2"}
MIN_WIDTH = 60


class Output(NamedTuple):
    """Where a report is written: a terminal of `width` columns, with color, or elsewhere (0), one line per finding."""

    width: int

    @classmethod
    def of_stdout(cls) -> "Output":
        return cls(max(os.get_terminal_size(1).columns, MIN_WIDTH) if sys.stdout.isatty() else 0)

    def status(self, status: CheckStatus) -> str:
        name = f"{status.value:<8}"
        return f"\x1b[{COLORS[status]}m{name}\x1b[0m" if self.width else name

    def lines(self, text: str, indent: int) -> list[str]:
        return textwrap.wrap(text, self.width - indent, break_on_hyphens=False) if self.width else [text]


def table(findings: Sequence[Finding], output: Output) -> list[str]:
    check_width = max(len(finding.check) for finding in findings)
    return [line for finding in findings for line in lines_of(finding, check_width, output)]


def lines_of(finding: Finding, check_width: int, output: Output, *, timed: bool = False) -> list[str]:
    """Return the lines of a finding: status, check, time if `timed`, text, and the next step after an arrow."""
    duration = f"{finding.seconds:6.2f} s  " if timed else ""
    indent = 8 + 1 + check_width + 2 + len(duration)
    first, *more = output.lines(redacted(finding.finding), indent)
    lines = [f"{output.status(finding.status)} {finding.check:<{check_width}}  {duration}{first}"]
    lines += [" " * indent + line for line in more]
    if finding.next_step:
        first, *more = output.lines(redacted(finding.next_step), indent + 3)
        lines.append(" " * indent + f"-> {first}")
        lines += [" " * (indent + 3) + line for line in more]
    return lines


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with aligned columns."""
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def findings_as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "check": finding.check,
            "status": finding.status.value,
            "finding": redacted(finding.finding),
            "next_step": redacted(finding.next_step) or None,
            "seconds": round(finding.seconds, 3),
        }
        for finding in findings
    ]


def verdict(findings: Sequence[Finding]) -> CheckStatus:
    """Return the worst status. Skipped checks count as ok: another finding has the reason."""
    statuses = {finding.status for finding in findings}
    return next((status for status in (CheckStatus.PROBLEM, CheckStatus.WARNING) if status in statuses), CheckStatus.OK)


def exit_code(findings: Sequence[Finding], *, strict: bool = False) -> int:
    worst = verdict(findings)
    return int(worst == CheckStatus.PROBLEM or (strict and worst == CheckStatus.WARNING))


def summary(findings: Sequence[Finding], seconds: float) -> str:
    counts = [(sum(1 for one in findings if one.status == status), status.value) for status in CheckStatus]
    parts = [
        f"{count} {name}{'s' if count > 1 and name in ('warning', 'problem') else ''}"
        for count, name in counts
        if count
    ]
    return f"{', '.join(parts)}, in {seconds:.1f} s"
