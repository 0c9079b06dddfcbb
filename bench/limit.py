"""Measure PostgreSQL alone: pgbench replays the statements that Railtrack sends for a load.

They are recorded from Railtrack, which serves the requests in this process, so no SQL is repeated here. pgbench
prepares them once per connection, with the settings of Railtrack's connections. PostgreSQL's replace() inserts the
values that vary by request, which takes a twentieth of a batch's time.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from tests.client import Client
from tests.servers.postgres import embedded_binaries

from bench.loads import Request
from railtrack.app import App
from railtrack.config.settings import load as load_settings
from railtrack.db import postgres

JSON = {"Content-Type": "application/json"}
Statement = tuple[str, tuple[Any, ...]]
NUMBER, CONNECTION, WARMING = "4242424242", "7171717171", "1313131313"
"""Placeholders for the number that grows with each request, for the connection's number, and for that of a warm-up."""
SCRIPTS = 8
"""Number of different requests of a load that take turns."""
COUNTING = "\\set i :i + 1\n\\set n 1000000000 + :client_id * 100000000 + :i\n"
"""A growing number of ten digits, unique to the client."""


@dataclass
class Transaction:
    """Consecutive statements. `by_key`: sent with the plan settings of Db.fetch_by_key and Db.write."""

    by_key: bool
    statements: list[Statement] = field(default_factory=list)


def alone(database: str, folder: Path, requests: Sequence[Request], connections: int, seconds: float) -> float:
    """Return requests per second, with the statements of one request per transaction."""
    recorded = asyncio.run(transactions(database, folder, [[request] for request in requests[:SCRIPTS]]))
    return pgbench(database, recorded, connections, seconds)


def alone_grouped(
    database: str, folder: Path, requests: Sequence[Request], size: int, connections: int, seconds: float
) -> float:
    """Return requests per second, with `size` requests per transaction."""
    group = [requests[number % len(requests)] for number in range(size)]
    [recorded] = asyncio.run(transactions(database, folder, [group]))
    if len(recorded) != 1:
        raise RuntimeError(f"{size} requests at once were served by {len(recorded)} transactions")
    return pgbench(database, [recorded], connections, seconds) * size


async def transactions(database: str, folder: Path, batches: Sequence[Sequence[Request]]) -> list[list[Transaction]]:
    """Return the transactions of each batch of concurrent requests, after a warm-up."""
    app = App(load_settings({"database.uri": database, "data_folder": str(folder / "limit")}, {}))
    app.open()
    try:
        client = Client(app)
        for batch in batches[:1]:
            await _sent(client, batch, WARMING)
        return [await _sent(client, batch, NUMBER) for batch in batches]
    finally:
        await app.close()


async def _sent(client: Client, batch: Sequence[Request], number: str) -> list[Transaction]:
    with _recorded() as seen:
        responses = await asyncio.gather(
            *(
                client.send(request.method, request.path, body=_body(request, number, index), headers=JSON)
                for index, request in enumerate(batch)
            )
        )
    for response in responses:
        assert response.status == 200, response.body
    creates = any(request.path.endswith("runs/create") for request in batch)
    found = [one for one in seen if one.statements]
    return _with_numbered_ids(found) if creates else found


def _body(request: Request, number: str, index: int) -> bytes:
    return request.body.replace("@n@", number).replace("@c@", f"{CONNECTION}{index:02}").encode()


def _with_numbered_ids(found: list[Transaction]) -> list[Transaction]:
    """Replace the end of new runs' ids by the growing number, because an id is usable once."""

    def numbered(value: Any) -> Any:
        return re.sub(r"\b([0-9a-f]{22})[0-9a-f]{10}\b", rf"\g<1>{NUMBER}", value) if isinstance(value, str) else value

    return [
        Transaction(one.by_key, [(sql, tuple(numbered(value) for value in args)) for sql, args in one.statements])
        for one in found
    ]


@contextmanager
def _recorded() -> Iterator[list[Transaction]]:
    """Record the statements sent to PostgreSQL meanwhile."""
    seen: list[Transaction] = []
    original = postgres.PostgresTx

    class Recorder(original):  # type: ignore[valid-type, misc]
        def __init__(self, connection: Any) -> None:
            super().__init__(connection)
            self._seen = Transaction(by_key=bool(connection._by_key))
            seen.append(self._seen)

        async def fetch(self, sql: str, *args: Any) -> Any:
            self._seen.statements.append((sql, args))
            return await super().fetch(sql, *args)

        async def fetch_row(self, sql: str, *args: Any) -> Any:
            self._seen.statements.append((sql, args))
            return await super().fetch_row(sql, *args)

        async def fetch_value(self, sql: str, *args: Any) -> Any:
            self._seen.statements.append((sql, args))
            return await super().fetch_value(sql, *args)

        async def execute(self, sql: str, *args: Any) -> int:
            self._seen.statements.append((sql, args))
            changed: int = await super().execute(sql, *args)
            return changed

    postgres.PostgresTx = Recorder  # type: ignore[misc]
    try:
        yield seen
    finally:
        postgres.PostgresTx = original  # type: ignore[misc]


def script(recorded: Sequence[Transaction]) -> str:
    """Return a pgbench script of these transactions. A single statement needs no BEGIN."""
    lines = []
    for one in recorded:
        texts = [_with_values(sql, args) for sql, args in one.statements]
        lines += ["BEGIN;", *texts, "COMMIT;"] if len(texts) > 1 else texts
    return COUNTING + "\n".join(lines) + "\n"


def _with_values(sql: str, args: Sequence[Any]) -> str:
    """Return the statement on one line with its parameters inserted."""
    return re.sub(r"\$(\d+)", lambda found: _literal(args[int(found[1]) - 1]), " ".join(sql.split())) + ";"


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int() | float():
            return str(value)
        case str():
            return _text(value)
        case list() | tuple():
            text = _text("{" + ",".join(_element(item) for item in value) + "}")
            return f"CAST({text} AS text[])" if text.startswith("replace") else text
    raise TypeError(f"no literal for {value!r}")


def _element(item: Any) -> str:
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(item, str) else str(item)


def _text(value: str) -> str:
    """Return a string literal whose colons are outside of it, because pgbench reads `:name` as a variable."""
    text = "E'" + value.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a").replace("\n", "\\n") + "'"
    for placeholder, variable in ((NUMBER, ":n"), (CONNECTION, ":client_id")):
        if placeholder in value:
            text = f"replace({text}, '{placeholder}', CAST({variable} AS text))"
    return text


def pgbench(database: str, recorded: Sequence[Sequence[Transaction]], connections: int, seconds: float) -> float:
    """Return the rate at which pgbench runs the recorded scripts, chosen at random."""
    settings = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
    if all(one.by_key for transactions in recorded for one in transactions):
        settings["enable_seqscan"] = "off"
    parts = urlsplit(database)
    with TemporaryDirectory() as folder:
        command = [str(embedded_binaries() / "pgbench"), "--no-vacuum", "--protocol", "prepared", "--define", "i=0"]
        for number, one in enumerate(recorded):
            file = Path(folder, f"{number}.sql")
            file.write_text(script(one))
            command += ["--file", str(file)]
        command += ["--client", str(connections), "--jobs", str(min(2, connections))]
        command += ["--time", str(max(1, round(seconds)))]
        command += ["-h", parts.hostname or "", "-p", str(parts.port), "-U", "postgres", parts.path[1:]]
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        environment = os.environ | {"PGOPTIONS": options}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 120)
    rates = re.findall(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode or "aborted" in done.stderr or not rates:
        raise RuntimeError(f"pgbench: {done.stderr[-1000:]}")
    return float(rates[0])
