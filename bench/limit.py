"""What PostgreSQL does alone: the statements that Railtrack sends for a request, replayed by pgbench.

They are recorded from Railtrack itself, which serves the request in this process; nothing is spelled out twice.
"""

import asyncio
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.client import Client
from tests.servers.postgres import embedded_binaries

from bench.loads import Load, Request
from railtrack.app import App
from railtrack.config import load as load_settings
from railtrack.db import postgres

JSON = {"Content-Type": "application/json"}
Statement = tuple[str, tuple[Any, ...]]
NUMBER, CONNECTION = 4242424242, 717171
"""Stand for what differs from request to request, which pgbench draws at random, and from connection to connection."""


def limit(database: str, folder: Path, load: Load, request: Request, seconds: float) -> float:
    """How often a second the database alone does what a request of this load makes it do."""
    body = request.body.replace("@n@", str(NUMBER)).replace("@c@", str(CONNECTION))
    recorded = asyncio.run(transactions(database, folder, Request(request.method, request.path, body)))
    created = re.findall(r'"run_uuid":"([0-9a-f]{32})"', str(recorded)) if request.path.endswith("create") else []
    return pgbench(database, script(recorded, *created[:1]), load.connections, seconds)


async def transactions(database: str, folder: Path, request: Request) -> list[list[Statement]]:
    """The statements that the request leads to, by transaction; a second request, for the first one fills caches."""
    flags = {"backend_store_uri": database, "data": str(folder / "limit")}
    app = App(load_settings(flags, {}))
    app.open()
    try:
        client = Client(app)
        for _ in range(2):
            with _recorded() as seen:
                answer = await client.send(request.method, request.path, body=request.body.encode(), headers=JSON)
                assert answer.status == 200, answer.body
    finally:
        await app.close()
    return [statements for statements in seen if statements]


@contextmanager
def _recorded() -> Iterator[list[list[Statement]]]:
    """What is sent to PostgreSQL meanwhile, a list for each transaction."""
    seen: list[list[Statement]] = []
    original = postgres.PostgresTx

    class Recorder(original):  # type: ignore[valid-type, misc]
        def __init__(self, connection: Any) -> None:
            super().__init__(connection)
            self._statements: list[Statement] = []
            seen.append(self._statements)

        async def fetch(self, sql: str, *args: Any) -> Any:
            self._statements.append((sql, args))
            return await super().fetch(sql, *args)

        async def fetchrow(self, sql: str, *args: Any) -> Any:
            self._statements.append((sql, args))
            return await super().fetchrow(sql, *args)

        async def fetchval(self, sql: str, *args: Any) -> Any:
            self._statements.append((sql, args))
            return await super().fetchval(sql, *args)

        async def execute(self, sql: str, *args: Any) -> int:
            self._statements.append((sql, args))
            changed: int = await super().execute(sql, *args)
            return changed

    postgres.PostgresTx = Recorder  # type: ignore[misc]
    try:
        yield seen
    finally:
        postgres.PostgresTx = original  # type: ignore[misc]


def script(transactions: Sequence[Sequence[Statement]], fresh_id: str = "") -> str:
    """A pgbench script. `fresh_id`: an id that a transaction may use only once; its end is drawn at random, too."""
    lines = ["\\set n random(1000000000, 9999999999)"]
    for statements in transactions:
        texts = [_literal_sql(sql, args) for sql, args in statements]
        lines += ["BEGIN;", *texts, "COMMIT;"] if len(texts) > 1 else texts
    text = "\n".join(lines) + "\n"
    if fresh_id:
        text = text.replace(fresh_id, fresh_id[:22] + ":n")
    text = text.replace(str(CONNECTION), ":client_id")
    return re.sub(rf"(?<=:){NUMBER}(\.0)?", " :n", text)


def _literal_sql(sql: str, args: Sequence[Any]) -> str:
    """The statement on one line, its parameters put in."""
    return " ".join(re.sub(r"\$(\d+)", lambda found: _literal(args[int(found[1]) - 1]), sql).split()) + ";"


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int() | float():
            return str(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case list() | tuple():
            return _literal("{" + ",".join(str(item) for item in value) + "}")
    raise TypeError(f"no literal for {value!r}")


def pgbench(database: str, text: str, connections: int, seconds: float) -> float:
    """Transactions of the script a second."""
    parts = urlsplit(database)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(text)
        file.flush()
        command = [str(embedded_binaries() / "pgbench"), "--no-vacuum", "--file", file.name, "--protocol", "simple"]
        command += ["--client", str(connections), "--jobs", str(min(2, connections)), "--time", str(round(seconds))]
        command += ["-h", parts.hostname or "", "-p", str(parts.port), "-U", "postgres", parts.path[1:]]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 120)
    [rate] = re.findall(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if "aborted" in done.stderr:
        raise RuntimeError(done.stderr)
    return float(rate)
