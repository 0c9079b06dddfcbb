"""Plays the scenarios to the real MLflow and writes what it answers to tests/compat/recorded/.

python -m tests.compat.record --mlflow VENV/bin/python          starts `mlflow server` on SQLite and on PostgreSQL
python -m tests.compat.record --sqlite URL --postgresql URL     asks servers that are running already
"""

import argparse
import asyncio
import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.compat.normalise import Normaliser
from tests.compat.oracle import both_servers
from tests.compat.play import Exchange, Response, Scenario, Send, new_prefix, play
from tests.compat.scenarios import SCENARIOS

RECORDED = Path(__file__).parent / "recorded"


def over_http(url: str) -> Send:
    """Sends exchanges to a server that listens at `url`, one connection each."""
    address = urlsplit(url)

    async def send(exchange: Exchange) -> Response:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
        try:
            connection.request(exchange.method, exchange.path, exchange.body, dict(exchange.headers))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, response.read(), headers)
        finally:
            connection.close()

    return send


async def record_of(scenario: Scenario, send: Send) -> dict[str, Any]:
    """One play of a scenario under a prefix of its own, normalised."""
    prefix = new_prefix()
    return Normaliser(prefix).play(await play(scenario, prefix, send))


def merged(sqlite: dict[str, Any], postgresql: dict[str, Any]) -> dict[str, Any]:
    """One record of both engines: `answer` where they agree, `answers` by engine where they don't."""
    assert list(sqlite) == list(postgresql), "the engines led the scenario along different exchanges"
    both = {}
    for name, one in sqlite.items():
        other = postgresql[name]
        if one["answer"] == other["answer"]:
            both[name] = one
        else:
            responses = {"sqlite": one["answer"], "postgresql": other["answer"]}
            both[name] = {"request": one["request"], "answers": responses}
    return both


def write(name: str, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=False)
    RECORDED.mkdir(exist_ok=True)
    (RECORDED / f"{name}.json").write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")


def load(name: str) -> dict[str, Any]:
    """The record of a scenario: exchange name -> {"request", "answer" or "answers"}."""
    record: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    return record


async def record(names: list[str], sqlite: str, postgresql: str) -> None:
    for name in names:
        on_sqlite = await record_of(SCENARIOS[name], over_http(sqlite))
        on_postgresql = await record_of(SCENARIOS[name], over_http(postgresql))
        write(name, merged(on_sqlite, on_postgresql))
        print(f"{name}: {len(on_sqlite)} exchanges")


async def record_a_fresh_server(names: list[str], python: str) -> None:
    async with both_servers(python) as (sqlite, postgresql):
        await record(names, sqlite, postgresql)


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what MLflow answers to the scenarios of tests/compat.")
    parser.add_argument("--mlflow", metavar="PYTHON", help="start the MLflow of this interpreter")
    parser.add_argument("--sqlite", metavar="URL", help="or ask the server on SQLite that listens here")
    parser.add_argument("--postgresql", metavar="URL", help="and the one on PostgreSQL that listens here")
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)} (default: all)")
    options = parser.parse_args()
    names = options.scenarios or list(SCENARIOS)
    if options.mlflow:
        asyncio.run(record_a_fresh_server(names, str(Path(options.mlflow).absolute())))
    elif options.sqlite and options.postgresql:
        asyncio.run(record(names, options.sqlite, options.postgresql))
    else:
        parser.error("either --mlflow, or both --sqlite and --postgresql")


if __name__ == "__main__":
    main()
