"""`railtrack verify URL`: a deployed server is used as a client uses it, step by step, and left as it was."""

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from importlib.metadata import version

from railtrack.checks import Finding
from railtrack.checks.client import Client, basic
from railtrack.checks.deployed import STEPS, Visit, verify
from railtrack.checks.report import Paper, as_json, exit_code, lines_of, summary, verdict
from railtrack.config.settings import client_login, client_settings
from railtrack.errors import StartError

LIMIT_S = 120.0
INTERRUPTED = 130
"""What shells make of an end by SIGINT."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="Where the server is: https://name.up.railway.app")
    parser.add_argument("--token", help="Sent as a bearer token. [MLFLOW_TRACKING_TOKEN]")
    parser.add_argument("--timeout", type=float, default=LIMIT_S, help=f"Seconds for all steps; default: {LIMIT_S:g}.")
    parser.add_argument("--json", action="store_true", help="Print JSON (docs/doctor.md lists its members).")
    parser.add_argument("--strict", action="store_true", help="End with 1 on warnings, too.")


def run(options: argparse.Namespace) -> int:
    """0 when all went well, 1 when a step found a problem, 130 when it was interrupted; it has cleaned up then."""
    logging.disable()
    try:
        visit = Visit(Client(options.url, _authorization(options.token)), client_settings())
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    try:
        return asyncio.run(_verify(visit, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def _authorization(token: str | None) -> str:
    """As MLflow's clients have it: a user and a password win over a token."""
    login = client_login()
    if token:
        return f"Bearer {token}"
    if login.user:
        return basic(login.user, login.password)
    return f"Bearer {login.token}" if login.token else ""


async def _verify(visit: Visit, options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = time.monotonic()
    if options.json:
        found = await verify(visit, options.timeout, lambda finding: None)
        print(_json(visit.client.shown, found, time.monotonic() - began))
    else:
        print(f"Railtrack {version('railtrack')} visits {visit.client.shown}\n", flush=True)
        found = await verify(visit, options.timeout, _print)
        print(f"\n{summary(found, time.monotonic() - began)}")
    return exit_code(found, strict=options.strict)


def _print(finding: Finding) -> None:
    broad = max(len(step.name) for step in STEPS)
    print("\n".join(lines_of(finding, broad, Paper.of_stdout(), timed=True)), flush=True)


def _json(url: str, found: list[Finding], seconds: float) -> str:
    members = {
        "railtrack": version("railtrack"),
        "url": url,
        "verdict": verdict(found).value,
        "checks": as_json(found),
        "seconds": round(seconds, 3),
    }
    return json.dumps(members, indent=2, ensure_ascii=False)
