"""`railtrack doctor`: check the settings of `railtrack server`, and what they lead to, without a start."""

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
from collections.abc import Coroutine
from contextlib import suppress
from importlib.metadata import version
from typing import Any, NoReturn

from railtrack import MLFLOW_VERSION
from railtrack.checks.doctor import DoctorReport, run_doctor
from railtrack.checks.report import Output, columns, exit_code, findings_as_json, summary, table, verdict
from railtrack.cli.flags import add_flags
from railtrack.config.settings import ignored_options, resolve_all

INTERRUPTED = 130
"""The exit code of shells for a process ended by SIGINT."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="Print JSON (fields: docs/doctor.md).")
    parser.add_argument("--all", action="store_true", help="Print the settings that have their default, too.")
    parser.add_argument("--strict", action="store_true", help="Exit with 1 on warnings, too.")
    add_flags(parser)


def run(options: argparse.Namespace) -> NoReturn:
    """Exit with 0, or with 1 if there are problems."""
    flags = vars(options)
    as_json, shows_all, strict = flags.pop("json"), flags.pop("all"), flags.pop("strict")
    # The report has the errors that drivers and stores would log.
    logging.disable()
    with suppress(KeyboardInterrupt):
        report = run_doctor(resolve_all(flags), ignored_options(flags))
        asyncio.run(_report_and_exit(report, as_json=as_json, shows_all=shows_all, strict=strict))
    print("Interrupted.", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)


async def _report_and_exit(
    running: Coroutine[Any, Any, DoctorReport], *, as_json: bool, shows_all: bool, strict: bool
) -> None:
    report = await running
    print(_json(report) if as_json else _text(report, shows_all=shows_all))
    sys.stdout.flush()
    # sys.exit() would wait for the threads of resolvers, which time out after half a minute.
    os._exit(exit_code(report.findings, strict=strict))


def _text(report: DoctorReport, *, shows_all: bool) -> str:
    shown = [one for one in report.settings if one.value and (shows_all or one.source != "default")]
    unset = [one.name for one in report.settings if not one.value]
    others = (
        f"Not set: {', '.join(unset)}" if shows_all else "The other settings have their defaults: --all shows them."
    )
    return "\n".join(
        [
            f"Railtrack {version('railtrack')}, for clients of MLflow up to {MLFLOW_VERSION}",
            "",
            *columns([(one.name, one.value, "" if one.source == one.name else one.source) for one in shown]),
            *Output.of_stdout().lines(others, 0),
            "",
            *table(report.findings, Output.of_stdout()),
            "",
            summary(report.findings, report.seconds),
        ]
    )


def _json(report: DoctorReport) -> str:
    members = {
        "railtrack": version("railtrack"),
        "mlflow": MLFLOW_VERSION,
        "python": platform.python_version(),
        "verdict": verdict(report.findings).value,
        "settings": [one._asdict() for one in report.settings],
        "checks": findings_as_json(report.findings),
        "seconds": round(report.seconds, 3),
    }
    return json.dumps(members, indent=2, ensure_ascii=False)
