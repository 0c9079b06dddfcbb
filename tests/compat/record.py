"""Run the scenarios against the real MLflow and write its responses to tests/compat/recorded/.

python -m tests.compat.record --mlflow VENV/bin/python          starts `mlflow server` on SQLite and on PostgreSQL
python -m tests.compat.record --mlflow VENV/bin/python --before 3.17.2
                                                                records where this earlier version responds otherwise
python -m tests.compat.record --sqlite URL --postgresql URL     uses servers that are already running
"""

import argparse
import asyncio
import http.client
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.compat.normalise import Normaliser
from tests.compat.oracle import both_servers
from tests.compat.play import Exchange, Response, Scenario, Send, new_prefix, play
from tests.compat.scenarios import SCENARIOS, WITH_LOGIN

RECORDED = Path(__file__).parent / "recorded"


def over_http(url: str) -> Send:
    """Return a function that sends each exchange to the server at `url` on its own connection."""
    address = urlsplit(url)

    async def send(exchange: Exchange) -> Response:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
        try:
            connection.request(exchange.method, exchange.path, exchange.body, exchange.sent_headers)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, response.read(), headers)
        finally:
            connection.close()

    return send


async def record_of(scenario: Scenario, send: Send) -> dict[str, Any]:
    """Run a scenario with a new prefix and return its normalised record."""
    prefix = new_prefix()
    return Normaliser(prefix).play(await play(scenario, prefix, send))


def merged(sqlite: dict[str, Any], postgresql: dict[str, Any]) -> dict[str, Any]:
    """Merge the records of both engines: `answer` if they agree, otherwise `answers` by engine."""
    assert list(sqlite) == list(postgresql), "the scenario sent different exchanges to the two engines"
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
    """Return the record of a scenario: exchange name -> {"request", "answer" or "answers"}."""
    record: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    return record


def earlier_file(version: str) -> Path:
    """Return the file with what an earlier version of MLflow responds otherwise."""
    return RECORDED.with_name(f"recorded_{version.replace('.', '_')}.json")


def load_earlier(version: str) -> dict[str, dict[str, Any]]:
    """Return scenario -> exchange -> {"answer"} or {"answers"} of an earlier version, where it responds otherwise."""
    earlier: dict[str, dict[str, Any]] = json.loads(earlier_file(version).read_text("utf-8"))
    return earlier


def changed(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the responses of a scenario that differ from the record, apart from the numbers of experiments."""
    responses = {
        name: {kind: one[kind] for kind in ("answer", "answers") if kind in one} for name, one in earlier.items()
    }
    return {name: response for name, response in responses.items() if _numberless(response) != _numberless(now[name])}


def _numberless(response: dict[str, Any]) -> Any:
    """Return the response without numbers as the oracle assigns them, with one answer if both engines have it."""
    of_engines = [response["answer"]] if "answer" in response else list(response.get("answers", {}).values())
    texts = [re.sub(r"\b1000\d{3}\b", "<number>", json.dumps(one, sort_keys=True)) for one in of_engines]
    return list(dict.fromkeys(texts))


def write_earlier(version: str, records: dict[str, dict[str, Any]]) -> None:
    """Replace the scenarios in `records` in the file of an earlier version."""
    file = earlier_file(version)
    known = load_earlier(version) if file.exists() else {}
    known |= {name: changed(record, load(name)) for name, record in records.items()}
    kept = {name: known[name] for name in SCENARIOS if known.get(name)}
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    file.write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")


async def record(names: list[str], sqlite: str, postgresql: str) -> dict[str, dict[str, Any]]:
    """Return the record of each scenario."""
    records = {}
    for name in names:
        on_sqlite = await record_of(SCENARIOS[name], over_http(sqlite))
        on_postgresql = await record_of(SCENARIOS[name], over_http(postgresql))
        records[name] = merged(on_sqlite, on_postgresql)
        print(f"{name}: {len(on_sqlite)} exchanges")
    return records


async def record_a_fresh_server(names: list[str], python: str) -> dict[str, dict[str, Any]]:
    records = {}
    for login in (False, True):
        if of_these := [name for name in names if (name in WITH_LOGIN) is login]:
            async with both_servers(python, login=login) as (sqlite, postgresql):
                records |= await record(of_these, sqlite, postgresql)
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description="Record MLflow's responses to the scenarios of tests/compat.")
    parser.add_argument("--mlflow", metavar="PYTHON", help="start the MLflow of this interpreter")
    parser.add_argument("--sqlite", metavar="URL", help="or use the running server on SQLite at this URL")
    parser.add_argument("--postgresql", metavar="URL", help="and the one on PostgreSQL at this URL")
    parser.add_argument("--before", metavar="VERSION", help="this is an earlier MLflow: record what differs")
    parser.add_argument("scenarios", nargs="*", help=f"scenarios to record: {', '.join(SCENARIOS)} (default: all)")
    options = parser.parse_args()
    names = options.scenarios or list(SCENARIOS)
    if options.mlflow:
        records = asyncio.run(record_a_fresh_server(names, str(Path(options.mlflow).absolute())))
    elif options.sqlite and options.postgresql:
        records = asyncio.run(record(names, options.sqlite, options.postgresql))
    else:
        parser.error("either --mlflow, or both --sqlite and --postgresql")
    if options.before:
        write_earlier(options.before, records)
        return
    for name, one in records.items():
        write(name, one)


if __name__ == "__main__":
    main()
