"""A load of HTTP requests over keep-alive connections, run as a process of its own beside the server under test.

    python -m bench.load URL CONNECTIONS SECONDS KIND RUN_ID

prints one line of JSON: requests answered 2xx, those answered otherwise, connections lost, and seconds.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import uvloop

BATCH = 100


def log_metric(run_id: str, connection: int, number: int) -> tuple[str, dict[str, object]]:
    point = {"key": f"metric_{connection}", "value": number * 0.5, "timestamp": 1700000000000 + number, "step": number}
    return "runs/log-metric", {"run_id": run_id, "run_uuid": run_id, **point}


def log_batch(run_id: str, connection: int, number: int) -> tuple[str, dict[str, object]]:
    """100 metrics at a step of their own."""
    step = number * 1000 + connection
    points = [
        {"key": f"batch_{at}", "value": number + at / 7, "timestamp": 1700000000000 + step, "step": step}
        for at in range(BATCH)
    ]
    return "runs/log-batch", {"run_id": run_id, "metrics": points}


KINDS: dict[str, Callable[[str, int, int], tuple[str, dict[str, object]]]] = {
    "log-metric": log_metric,
    "log-batch": log_batch,
}


async def load(url: str, connections: int, seconds: float, kind: str, run_id: str) -> dict[str, float]:
    counts: Counter[str] = Counter()
    began = time.monotonic()
    workers = (_work(url, began + seconds, kind, run_id, number, counts) for number in range(connections))
    await asyncio.gather(*workers)
    taken = time.monotonic() - began
    failed = sum(count for status, count in counts.items() if not status.startswith("2"))
    return {"ok": counts.total() - failed, "failed": failed, "seconds": taken}


async def _work(url: str, until: float, kind: str, run_id: str, connection: int, counts: Counter[str]) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    number = 0
    try:
        while time.monotonic() < until:
            number += 1
            path, body = KINDS[kind](run_id, connection, number)
            counts[await _request(reader, writer, address.netloc, path, json.dumps(body).encode())] += 1
    except (OSError, asyncio.IncompleteReadError):
        counts["lost"] += 1
    finally:
        writer.close()


async def _request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str, body: bytes
) -> str:
    """Send one request and return the status of its answer, which is read to its end."""
    head = (
        f"POST /api/2.0/mlflow/{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in answer[1:])}
    await reader.readexactly(int(fields["content-length"]))
    return answer[0].split(" ")[1]


if __name__ == "__main__":
    target, count, duration, what, run = sys.argv[1:]
    print(json.dumps(uvloop.run(load(target, int(count), float(duration), what, run))))
