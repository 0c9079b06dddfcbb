"""Findings as people read them, in lines under one another, and as machines do, in JSON; and the exit code."""

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from railtrack.checks import Finding, Status

COLOURS = {Status.OK: "32", Status.WARNING: "33", Status.PROBLEM: "31", Status.SKIPPED: "2"}
NARROWEST = 60


class Paper(NamedTuple):
    """Where a report is written: on a terminal `width` columns broad, in colour, or (0) elsewhere, a finding a line."""

    width: int

    @classmethod
    def of_stdout(cls) -> "Paper":
        return cls(max(os.get_terminal_size(1).columns, NARROWEST) if sys.stdout.isatty() else 0)

    def status(self, status: Status) -> str:
        name = f"{status.value:<8}"
        return f"\x1b[{COLOURS[status]}m{name}\x1b[0m" if self.width else name

    def lines(self, text: str, indent: int) -> list[str]:
        return textwrap.wrap(text, self.width - indent, break_on_hyphens=False) if self.width else [text]


def table(findings: Sequence[Finding], paper: Paper) -> list[str]:
    broad = max(len(finding.check) for finding in findings)
    return [line for finding in findings for line in lines_of(finding, broad, paper)]


def lines_of(finding: Finding, broad: int, paper: Paper, *, timed: bool = False) -> list[str]:
    """Status, check (`broad` characters), perhaps the time, finding; below it, after an arrow, the next step."""
    took = f"{finding.seconds:6.2f} s  " if timed else ""
    indent = 8 + 1 + broad + 2 + len(took)
    first, *more = paper.lines(finding.finding, indent)
    lines = [f"{paper.status(finding.status)} {finding.check:<{broad}}  {took}{first}"]
    lines += [" " * indent + line for line in more]
    if finding.next_step:
        first, *more = paper.lines(finding.next_step, indent + 3)
        lines.append(" " * indent + f"-> {first}")
        lines += [" " * (indent + 3) + line for line in more]
    return lines


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with their columns under one another."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "check": finding.check,
            "status": finding.status.value,
            "finding": finding.finding,
            "next_step": finding.next_step or None,
            "seconds": round(finding.seconds, 3),
        }
        for finding in findings
    ]


def verdict(findings: Sequence[Finding]) -> Status:
    """The worst status; what was skipped was skipped because of another finding."""
    found = {finding.status for finding in findings}
    return next((status for status in (Status.PROBLEM, Status.WARNING) if status in found), Status.OK)


def exit_code(findings: Sequence[Finding], *, strict: bool = False) -> int:
    worst = verdict(findings)
    return int(worst == Status.PROBLEM or (strict and worst == Status.WARNING))


def summary(findings: Sequence[Finding], seconds: float) -> str:
    counts = [(sum(1 for one in findings if one.status == status), status.value) for status in Status]
    named = [
        f"{count} {name}{'s' if count > 1 and name in ('warning', 'problem') else ''}"
        for count, name in counts
        if count
    ]
    return f"{', '.join(named)}, in {seconds:.1f} s"
