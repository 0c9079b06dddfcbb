"""Running checks: at once, each within its time, and none takes another down; then the report and the exit code."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from railtrack.checks import Check, CheckStatus, Finding, ok, problem, run_checks, skipped, warning
from railtrack.checks.folders import in_thread
from railtrack.checks.report import Output, exit_code, summary, table, verdict
from railtrack.errors import StartError, invalid


def check(name: str, run: Callable[[], Awaitable[Sequence[Finding]]], limit_s: float = 30) -> Check:
    return Check(name, limit_s, run)


async def test_a_failing_check_does_not_affect_the_others() -> None:
    async def good() -> list[Finding]:
        return [ok("good", "fine"), warning("good", "nearly")]

    async def rejected() -> list[Finding]:
        raise StartError("PORT: wrong.", "Set another.")

    async def api() -> list[Finding]:
        raise invalid("no bucket")

    async def broken() -> list[Finding]:
        raise ZeroDivisionError("oh\nno")

    async def endless() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    runs = {"rejected": rejected, "api": api, "broken": broken, "good": good}
    found = await run_checks([check("endless", endless, 0.05), *(check(name, run) for name, run in runs.items())])
    assert [(one.check, one.status, one.finding, one.next_step) for one in found] == [
        ("endless", CheckStatus.PROBLEM, "This check timed out after 0.05 s.", ""),
        ("rejected", CheckStatus.PROBLEM, "PORT: wrong.", "Set another."),
        ("api", CheckStatus.PROBLEM, "no bucket", ""),
        ("broken", CheckStatus.PROBLEM, "This check failed: ZeroDivisionError: oh", ""),
        ("good", CheckStatus.OK, "fine", ""),
        ("good", CheckStatus.WARNING, "nearly", ""),
    ]
    assert found[0].seconds >= 0.05


async def test_checks_run_concurrently() -> None:
    """Both checks wait for each other: one after the other, neither would end."""
    both = asyncio.Barrier(2)

    async def meet() -> list[Finding]:
        await both.wait()
        return [ok("met", "")]

    assert len(await run_checks([check("a", meet), check("b", meet)])) == 2


async def test_a_hanging_file_system_does_not_delay_the_report(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    async def stuck() -> list[Finding]:
        return [ok("stuck", await in_thread((tmp_path / "pipe").read_text))]

    began = time.monotonic()
    [found] = await run_checks([check("stuck", stuck, 0.1)])
    assert found.status == CheckStatus.PROBLEM
    assert time.monotonic() - began < 30  # nobody lets the thread go before it ended
    (tmp_path / "pipe").write_text("")  # lets the thread go


async def test_an_exception_in_a_thread_is_raised_to_the_caller() -> None:
    with pytest.raises(FileNotFoundError):
        await in_thread(Path("/no/such/file").read_text)


def test_warnings_fail_in_strict_mode_only_and_skipped_checks_never() -> None:
    good, odd, bad, left = ok("a", ""), warning("b", ""), problem("c", ""), skipped("d", "")
    assert [exit_code(found) for found in ([good], [good, odd], [odd, bad], [left])] == [0, 0, 1, 0]
    assert [exit_code(found, strict=True) for found in ([good], [good, odd], [bad], [left])] == [0, 1, 1, 0]
    assert [verdict(found) for found in ([good, left], [good, odd], [odd, bad])] == ["ok", "warning", "problem"]
    assert summary([good, good, odd, bad, bad, left], 1.26) == "2 ok, 1 warning, 2 problems, 1 skipped, in 1.3 s"


def test_outside_of_a_terminal_a_finding_is_one_line_without_color() -> None:
    long = "word " * 60
    assert table([ok("port", long), problem("login", "bad", "Fix it.")], Output(0)) == [
        f"ok       port   {long}",
        "problem  login  bad",
        "                -> Fix it.",
    ]
    lines = table([problem("port", long.strip(), "Fix it.")], Output(60))
    assert lines[0].startswith("\x1b[31mproblem \x1b[0m port  word word")
    assert len(lines) == 8
    assert all(line.startswith(" " * 15 + "word") for line in lines[1:-1])
    assert max(map(len, lines[1:])) <= 60
