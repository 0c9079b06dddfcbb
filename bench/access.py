"""Measure what the login costs: the same requests to an open server and to one with login, on one database, in turns.

Three callers log in: a trainer by token and by password, who may edit two experiments, and a reader of one experiment.
Nothing else is open to them.
"""

import asyncio
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster

from bench.loads import LOADS, post, request_json
from bench.measure import wrk
from bench.seed import LARGE, seed
from bench.servers import Server, railtrack

OPEN, TOKEN, PASSWORD, READER = "open", "token", "password", "reader of 1 of 500"
WRITE, GET, SEARCH = "log-metric", "get-run, 20 metrics", "search, page of 100, filter and metric order"
CALLERS = {WRITE: (TOKEN, PASSWORD), GET: (TOKEN, PASSWORD), SEARCH: (READER,)}
"""Load -> callers that are compared with the open server."""
EXPERIMENTS = 500
ADMIN_PASSWORD = "correct horse battery"
LOGIN = {
    "RAILTRACK_AUTH": "on",
    "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
    "MLFLOW_AUTH_DEFAULT_PERMISSION": "NO_PERMISSIONS",
}


@dataclass(frozen=True)
class Caller:
    """`authorization`: the header's value, "" for none."""

    server: Server
    authorization: str


def access_cost(postgres: PostgresCluster, folder: Path, seconds: float, rounds: int) -> dict[str, dict[str, Any]]:
    """Return load -> caller -> rounds of `rate`, responses per second, and `cpu_ms`, of the server per response."""
    found: dict[str, dict[str, Any]] = {}
    with (
        scratch_database("postgresql", folder, postgres) as database,
        railtrack().start(database, folder / "open") as open_server,
        railtrack(LOGIN).start(database, folder / "login") as server,
    ):
        asyncio.run(seed(database, "mlflow"))
        for number in range(EXPERIMENTS):
            request_json(open_server.url, post("experiments/create", {"name": f"of others {number}"}))
        callers = {OPEN: Caller(open_server, ""), **_users(server, database)}
        for load in (load for load in LOADS if load.name in CALLERS):
            names = (OPEN, *CALLERS[load.name])
            requests = load.requests(open_server.url)
            for name in names:  # read the users, and the data
                wrk(callers[name].server.url, load.connections, 1, requests, callers[name].authorization)
            found[load.name] = {name: [] for name in names}
            for _ in range(rounds):
                for name in names:
                    one = callers[name]
                    before_s = one.server.cpu_s()
                    result = wrk(one.server.url, load.connections, seconds, requests, one.authorization)
                    cpu_s = one.server.cpu_s() - before_s
                    if result["rejected"] or not result["requests"]:
                        raise RuntimeError(f"{load.name} by {name}: {result}")
                    figure = {
                        "rate": result["requests"] / result["seconds"],
                        "cpu_ms": cpu_s * 1000 / result["requests"],
                    }
                    found[load.name][name].append(figure)
    return found


def _users(server: Server, database: str) -> dict[str, Caller]:
    """Create the users, with their grants and tokens, by the commands that an administrator uses."""

    def command(*arguments: str, text: str = "", variables: Mapping[str, str] | None = None) -> str:
        program = str(Path(sys.executable).with_name("railtrack"))
        environment = {"PATH": os.environ["PATH"], "MLFLOW_BACKEND_STORE_URI": database, **(variables or {})}
        done = subprocess.run(
            [program, *arguments], input=text, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    command("users", "create", "trainer", "--password-stdin", text=ADMIN_PASSWORD + "\n")
    command("users", "create", "reader", "--no-password")
    for user, experiment, level in (("trainer", 0, "EDIT"), ("trainer", LARGE, "EDIT"), ("reader", LARGE, "READ")):
        command("grants", "set", user, "experiment", str(experiment), level)
    trainer, reader = (command("tokens", "create", user, "bench") for user in ("trainer", "reader"))
    password = b64encode(f"trainer:{ADMIN_PASSWORD}".encode()).decode()
    return {
        TOKEN: Caller(server, f"Bearer {trainer.split()[-1]}"),
        PASSWORD: Caller(server, f"Basic {password}"),
        READER: Caller(server, f"Bearer {reader.split()[-1]}"),
    }
