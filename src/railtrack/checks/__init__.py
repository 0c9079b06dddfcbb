"""Findings, and how checks run: concurrently, each with its own timeout, none affecting the others.

The modules beside this one have the checks, a subject each. Which of them `railtrack doctor` runs: doctor.py. The steps
of `railtrack verify`: verify.py. How findings are printed: report.py.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from railtrack.errors import ApiError, StartError


class CheckStatus(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report. `next_step` is "" if there is nothing to do, or `finding` states it."""

    check: str
    status: CheckStatus
    finding: str
    next_step: str = ""
    seconds: float = 0.0


class Check(NamedTuple):
    """`run` returns findings, or raises StartError for a problem. It is cancelled after `timeout_s`."""

    name: str
    timeout_s: float
    run: Callable[[], Awaitable[Sequence[Finding]]]


def ok(check: str, finding: str) -> Finding:
    return Finding(check, CheckStatus.OK, finding)


def warning(check: str, finding: str, next_step: str = "") -> Finding:
    return Finding(check, CheckStatus.WARNING, finding, next_step)


def problem(check: str, finding: str, next_step: str = "") -> Finding:
    return Finding(check, CheckStatus.PROBLEM, finding, next_step)


def skipped(check: str, reason: str) -> Finding:
    return Finding(check, CheckStatus.SKIPPED, reason)


def start_problem(check: str, error: StartError) -> Finding:
    """Return the problem that would prevent the start of the server, with the same message."""
    return problem(check, error.fault, error.advice)


async def run_checks(checks: Sequence[Check]) -> list[Finding]:
    """Run checks concurrently, and return their findings in the order of the checks."""
    return [finding for findings in await asyncio.gather(*map(_run, checks)) for finding in findings]


async def _run(check: Check) -> list[Finding]:
    started = time.monotonic()
    try:
        async with asyncio.timeout(check.timeout_s):
            findings = list(await check.run())
    except StartError as error:
        findings = [start_problem(check.name, error)]
    except ApiError as error:
        findings = [problem(check.name, error.message)]
    except TimeoutError:
        findings = [problem(check.name, f"This check timed out after {check.timeout_s:g} s.")]
    except Exception as error:  # a bug in one check must not hide the findings of the others
        reason = str(error).partition("\n")[0]
        findings = [problem(check.name, f"This check failed: {type(error).__name__}: {reason}")]
    seconds = time.monotonic() - started
    return [finding if finding.seconds else replace(finding, seconds=seconds) for finding in findings]
