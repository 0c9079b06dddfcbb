"""`railtrack verify URL`: use a deployed server as a client does, step by step, and leave it unchanged."""

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from urllib.parse import urlsplit

from railtrack.checks import Finding
from railtrack.checks.client import VerifyClient, basic_authorization
from railtrack.checks.report import Output, exit_code, findings_as_json, lines_of, summary, verdict
from railtrack.checks.training import TRAINING_STEPS
from railtrack.checks.verify import STEPS, Step, VerifySession, verify
from railtrack.config.client_settings import client_login, client_settings
from railtrack.config.parsers import is_loopback
from railtrack.config.settings import AuthSettings
from railtrack.errors import StartError

TIMEOUT_S = 120.0
INTERRUPTED = 130
"""The exit code of shells for a process ended by SIGINT."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="URL of the server: https://name.up.railway.app")
    parser.add_argument(
        "--training",
        action="store_true",
        help="Run a small training, and check the five points that close the deployment guide.",
    )
    parser.add_argument("--keep", action="store_true", help="Keep the run, to look at its page in a browser.")
    parser.add_argument("--token", help="Bearer token to send. [MLFLOW_TRACKING_TOKEN]")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, help=f"Seconds for all steps (default: {TIMEOUT_S:g})."
    )
    parser.add_argument("--json", action="store_true", help="Print JSON (fields: docs/doctor.md).")
    parser.add_argument("--strict", action="store_true", help="Exit with 1 on warnings, too.")


def run(options: argparse.Namespace) -> int:
    """Return the exit code: 0 for success, 1 for a problem, 130 for an interrupt, after which it has cleaned up."""
    logging.disable()
    try:
        settings = client_settings()
        client = VerifyClient(options.url, authorization(options, settings.auth))
        session = VerifySession(client, settings, keep=options.keep)
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    try:
        return asyncio.run(_verify(session, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def authorization(options: argparse.Namespace, auth: AuthSettings) -> str:
    """Return the header as MLflow's clients send it: user and password override a token.

    Without any, use the administrator of the server's variables, but only on the machine of the server.
    """
    login = client_login()
    if options.token:
        return f"Bearer {options.token}"
    if login.user:
        return basic_authorization(login.user, login.password)
    if login.token:
        return f"Bearer {login.token}"
    if auth.admin_password and is_loopback_url(options.url):
        return basic_authorization(auth.admin_username, auth.admin_password)
    return ""


def is_loopback_url(url: str) -> bool:
    with suppress(ValueError):
        return is_loopback(urlsplit(url).hostname or "")
    return False


async def _verify(session: VerifySession, options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    steps = TRAINING_STEPS if options.training else STEPS
    started = time.monotonic()
    if options.json:
        findings = await verify(session, options.timeout, lambda finding: None, steps)
        print(_json(session.client.shown_url, findings, time.monotonic() - started))
    else:
        print(f"Railtrack {version('railtrack')} verifies {session.client.shown_url}\n", flush=True)
        findings = await verify(session, options.timeout, partial(_print, steps), steps)
        print(f"\n{summary(findings, time.monotonic() - started)}")
    return exit_code(findings, strict=options.strict)


def _print(steps: Sequence[Step], finding: Finding) -> None:
    check_width = max(len(step.name) for step in steps)
    print("\n".join(lines_of(finding, check_width, Output.of_stdout(), timed=True)), flush=True)


def _json(url: str, findings: list[Finding], seconds: float) -> str:
    members = {
        "railtrack": version("railtrack"),
        "url": url,
        "verdict": verdict(findings).value,
        "checks": findings_as_json(findings),
        "seconds": round(seconds, 3),
    }
    return json.dumps(members, indent=2, ensure_ascii=False)
