"""Writes what the trainings did as a table into docs/training.md."""

import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

BEGIN = "<!-- `make test-examples` writes this table. -->"
END = "<!-- End of the table. -->"
REQUIREMENTS = Path(__file__).parents[2] / "examples" / "requirements.txt"
NAMED = ("mlflow", "torch", "timm", "ultralytics", "transformers", "lightning")


class Case(NamedTuple):
    name: str
    example: str
    outcome: str
    seconds: float


def updated_page(page: str, cases: Sequence[Case]) -> str:
    """Return the page with a row for each case. A row replaces the one of the same case and example."""
    before, rest = page.split(BEGIN)
    table, after = rest.split(END)
    rows = {match[1]: match[0] for match in re.finditer(r"^\| (?!case |---)(.*? \| .*?) \| .*$", table, re.MULTILINE)}
    date = datetime.datetime.now(datetime.UTC).date()
    for case in cases:
        rows[f"{case.name} | {case.example}"] = (
            f"| {case.name} | {case.example} | {case.outcome} | {case.seconds:.0f} | {date} |"
        )
    lines = ["| case | example | outcome | s | date |", "| --- | --- | --- | --- | --- |", *rows.values()]
    return f"{before}{BEGIN}\n\nVersions: {versions()}.\n\n" + "\n".join(lines) + f"\n\n{END}{after}"


def versions() -> str:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", REQUIREMENTS.read_text(), re.MULTILINE))
    return ", ".join(f"{name} {pins[name]}" for name in NAMED)
