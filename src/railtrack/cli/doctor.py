"""`railtrack doctor`: the settings of `railtrack server`, and everything that they lead to, checked without a start."""

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import NoReturn

from railtrack import MLFLOW_VERSION
from railtrack.checks.doctor import Examination, examine
from railtrack.checks.report import Paper, as_json, columns, exit_code, summary, table, verdict
from railtrack.checks.settings import Resolved
from railtrack.cli.flags import add_flags
from railtrack.config.lookup import ResolvedSetting
from railtrack.config.settings import resolve_all

INTERRUPTED = 130
"""What shells make of an end by SIGINT."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="Print JSON (docs/doctor.md lists its members).")
    parser.add_argument("--strict", action="store_true", help="End with 1 on warnings, too.")
    add_flags(parser)


def run(options: argparse.Namespace) -> NoReturn:
    """Ends the process with 0, or with 1 when there are problems."""
    given = vars(options)
    machine, strict = given.pop("json"), given.pop("strict")
    # What the checks find is in the report; drivers and stores need not log it, too.
    logging.disable()
    with suppress(KeyboardInterrupt):
        asyncio.run(_examine_and_exit(resolve_all(given), machine=machine, strict=strict))
    print("Interrupted.", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)


async def _examine_and_exit(resolved: list[ResolvedSetting], *, machine: bool, strict: bool) -> None:
    examination = await examine(resolved)
    print(_json(examination) if machine else _text(examination))
    sys.stdout.flush()
    # A resolver that gets no answer holds a thread for half a minute, and an orderly end would wait for it.
    os._exit(exit_code(examination.findings, strict=strict))


def _text(examination: Examination) -> str:
    unset = [one.name for one in examination.settings if not one.value]
    return "\n".join(
        [
            f"Railtrack {version('railtrack')}, for clients of MLflow up to {MLFLOW_VERSION}",
            "",
            *columns([(one.name, one.value, _source(one)) for one in examination.settings if one.value]),
            *Paper.of_stdout().lines(f"Not set: {', '.join(unset)}", 0),
            "",
            *table(examination.findings, Paper.of_stdout()),
            "",
            summary(examination.findings, examination.seconds),
        ]
    )


def _source(one: Resolved) -> str:
    return "" if one.source == one.name else one.source


def _json(examination: Examination) -> str:
    members = {
        "railtrack": version("railtrack"),
        "mlflow": MLFLOW_VERSION,
        "python": platform.python_version(),
        "verdict": verdict(examination.findings).value,
        "settings": [one._asdict() for one in examination.settings],
        "checks": as_json(examination.findings),
        "seconds": round(examination.seconds, 3),
    }
    return json.dumps(members, indent=2, ensure_ascii=False)
