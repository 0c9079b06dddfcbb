"""`railtrack tail RUN`: print the metrics of a run as they are logged, until it ends."""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from railtrack.checks.client import UnexpectedResponse, VerifyClient
from railtrack.cli.verify import authorization
from railtrack.config.client_settings import client_settings, tracking_uri
from railtrack.errors import StartError

INTERRUPTED = 130
"""The exit code of shells for a process ended by SIGINT."""
DEFAULT_URL = "http://127.0.0.1:5000"
MIN_INTERVAL_S = 0.5
AWAY_LIMIT_S = 240
"""As long as MLflow's clients wait for a server."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="Id of the run.")
    parser.add_argument("--url", help=f"URL of the server. [MLFLOW_TRACKING_URI; default: {DEFAULT_URL}]")
    parser.add_argument("--token", help="Bearer token to send. [MLFLOW_TRACKING_TOKEN]")
    parser.add_argument("--metrics", metavar="NAMES", help="Print these only, such as 'val/*,train/loss'.")
    parser.add_argument("--interval", type=float, default=2.0, help="Seconds between two requests (default: 2).")


def run(options: argparse.Namespace) -> int:
    """Return 0 when the run finishes, 1 if it fails, is killed or cannot be read, 130 for an interrupt."""
    options.url = options.url or tracking_uri() or DEFAULT_URL
    try:
        client = VerifyClient(options.url, authorization(options, client_settings().auth))
        return asyncio.run(_follow(client, options))
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
    except UnexpectedResponse as error:
        print(f"Error: {error.fault}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


async def _follow(client: VerifyClient, options: argparse.Namespace) -> int:
    interval = max(options.interval, MIN_INTERVAL_S)
    patterns = options.metrics.split(",") if options.metrics else ["*"]
    printed: dict[str, Any] = {}
    away_s = 0.0
    try:
        while True:
            try:
                data = (await client.call("GET", "runs/get", {"run_id": options.run}))["run"]
            except UnexpectedResponse as error:
                # A run that has been read once still exists when the server is away or restarts.
                if not printed or away_s >= AWAY_LIMIT_S:
                    raise
                if not away_s:
                    print(f"{error.fault}. Waiting for the server.", file=sys.stderr)
                away_s += interval
            else:
                away_s = 0.0
                if not printed:
                    print(f"{data['info']['run_name']}, {data['info']['status']}", flush=True)
                printed[""] = None
                new = [one for one in data["data"].get("metrics", []) if printed.get(one["key"]) != one]
                printed.update((one["key"], one) for one in new)
                for line in _lines(one for one in new if any(fnmatchcase(one["key"], name) for name in patterns)):
                    print(line, flush=True)
                status = data["info"]["status"]
                if status not in ("RUNNING", "SCHEDULED"):
                    print(status, flush=True)
                    return int(status != "FINISHED")
            await asyncio.sleep(interval)
    finally:
        client.close()


def _lines(metrics: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each step, with its metrics by name."""
    steps: dict[int, list[str]] = {}
    for one in sorted(metrics, key=lambda one: (int(one.get("step", 0)), one["key"])):
        value = one["value"]  # NaN and infinities are strings
        shown = f"{value:.6g}" if isinstance(value, float | int) else value
        steps.setdefault(int(one.get("step", 0)), []).append(f"{one['key']} {shown}")
    for step, values in steps.items():
        yield f"step {step}: {', '.join(values)}"
