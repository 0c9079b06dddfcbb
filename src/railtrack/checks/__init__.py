"""What a check finds, and how checks are run: at once, each within its time, and none takes another down.

The checks themselves are in the modules beside this one, a module a subject; which of them a command makes, and for
whom they are printed, is in doctor.py and report.py.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from railtrack.errors import ApiError, StartError


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report; `next_step` is "" where nothing is to be done, or the finding says it."""

    check: str
    status: Status
    finding: str
    next_step: str = ""
    seconds: float = 0.0


class Check(NamedTuple):
    """`run` returns the findings, or raises StartError for the one that is a problem. It may take `limit_s`."""

    name: str
    limit_s: float
    run: Callable[[], Awaitable[Sequence[Finding]]]


def ok(check: str, finding: str) -> Finding:
    return Finding(check, Status.OK, finding)


def warning(check: str, finding: str, next_step: str = "") -> Finding:
    return Finding(check, Status.WARNING, finding, next_step)


def problem(check: str, finding: str, next_step: str = "") -> Finding:
    return Finding(check, Status.PROBLEM, finding, next_step)


def skipped(check: str, why: str) -> Finding:
    return Finding(check, Status.SKIPPED, why)


def told(check: str, error: StartError) -> Finding:
    """What would end the start of the server, in the same words."""
    return problem(check, error.fault, error.advice)


async def run_checks(checks: Sequence[Check]) -> list[Finding]:
    """The findings in the order of the checks, which run at once."""
    return [finding for found in await asyncio.gather(*map(_run, checks)) for finding in found]


async def _run(check: Check) -> list[Finding]:
    began = time.monotonic()
    try:
        async with asyncio.timeout(check.limit_s):
            found = list(await check.run())
    except StartError as error:
        found = [told(check.name, error)]
    except ApiError as error:
        found = [problem(check.name, error.message)]
    except TimeoutError:
        found = [problem(check.name, f"This check did not end within {check.limit_s:g} s.")]
    except Exception as error:  # the other checks still tell what they found
        words = str(error).partition("\n")[0]
        found = [problem(check.name, f"This check itself failed: {type(error).__name__}: {words}")]
    seconds = time.monotonic() - began
    return [finding if finding.seconds else replace(finding, seconds=seconds) for finding in found]
