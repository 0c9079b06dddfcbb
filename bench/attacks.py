"""Attacks on a server over loopback, bounded in connections and time. hostile.py runs them beside an honest client.

    python -m bench.attacks URL NAME SECONDS      prints its counters as JSON, a line a second

An attack is some numbers of connections, each of which does the same again and again until the time is over.
"""

import argparse
import asyncio
import fcntl
import itertools
import json
import random
import resource
import socket
import sys
import termios
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.loads import API
from bench.seed import HEAVY, LARGE, START_MS, run_id

ADDRESSES = 50
"""Loopback addresses from which an attack connects: a limit per address alone does not stop it."""
AGAIN_S = 2.0
"""Pause before a connection that has ended is opened again, from half to one and a half of it."""
CONNECT_LIMIT_S = 30
TARGETS = [run_id(LARGE, number) for number in range(1, 9)]
"""Runs to log to."""
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
TCP_ESTABLISHED = 1
DESCRIPTORS = 8192


@dataclass
class Counters:
    """What an attack did so far; `open` and `unread_mb` are of now. Unread: arrived, but not read by the attacker."""

    opened: int = 0
    open: int = 0
    peak_open: int = 0
    not_connected: int = 0
    closed_by_server: int = 0
    sent_mb: float = 0.0
    received_mb: float = 0.0
    unread_mb: float = 0.0
    peak_unread_mb: float = 0.0
    responses: Counter[str] = field(default_factory=Counter)


class Connection:
    """One socket. It reads only when its user reads."""

    def __init__(self, address: tuple[str, int], source: str, counters: Counters) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self._address = address
        self._source = source
        self._counters = counters
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        self.socket.bind((self._source, 0))
        async with asyncio.timeout(CONNECT_LIMIT_S):
            await self._loop.sock_connect(self.socket, self._address)
        self._counters.opened += 1

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self._loop.sock_sendall(self.socket, piece)
            self._counters.sent_mb += len(piece) / 2**20

    async def receive(self, size: int) -> bytes:
        data = await self._loop.sock_recv(self.socket, size)
        self._counters.received_mb += len(data) / 2**20
        return data

    async def respond(self) -> None:
        """Read the response to a request with `Connection: close`, and count its status."""
        status = b""
        with suppress(ConnectionError):
            while data := await self.receive(65536):
                status = status or data[9:12]
        self._counters.responses[status.decode("latin-1") or "none"] += 1

    async def hold(self) -> None:
        """Return when the server has closed the connection. Read nothing."""
        while self.is_established:  # noqa: ASYNC110 (no event reports it without reading)
            await asyncio.sleep(1)
        self._counters.closed_by_server += 1

    @property
    def is_established(self) -> bool:
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
        return info[0] == TCP_ESTABLISHED

    @property
    def unread_bytes(self) -> int:
        with suppress(OSError):
            return int.from_bytes(fcntl.ioctl(self.socket.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
        return 0


Behaviour = Callable[[Connection], Awaitable[None]]


class Part(NamedTuple):
    """Connections of an attack that behave alike. `addresses`: the number they come from; 0 is the honest client's."""

    connections: int
    behave: Behaviour
    addresses: int = ADDRESSES


class Attack(NamedTuple):
    name: str
    description: str
    parts: tuple[Part, ...]


def head(method: str, path: str, length: int = 0) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def request(path: str, body: Any) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return head("POST", path, len(data)) + data


# Responses that nobody reads


@cache
def heavy_search() -> bytes:
    """Search all runs of the experiment with large tags: a response of 4.9 MB."""
    return request(f"{API}runs/search", {"experiment_ids": [str(HEAVY)], "max_results": 1000})


async def unread_response(one: Connection) -> None:
    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await one.open()
    await one.send(heavy_search())
    await one.hold()


async def slow_reader(one: Connection) -> None:
    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 24_000)
    await one.open()
    await one.send(heavy_search())
    data = await one.receive(24_000)
    while data:
        await asyncio.sleep(3)
        data = await one.receive(24_000)


# Requests that do not end


def filler(size: int) -> bytes:
    return b" " * size


async def unfinished_body(one: Connection) -> None:
    """Send all but the last byte of just under 1 MiB."""
    size = 2**20 - 1
    await one.open()
    await one.send(head("POST", f"{API}runs/log-batch", size), b"{", filler(size - 2))
    await one.hold()


def unfinished_head(size: int) -> Behaviour:
    async def behave(one: Connection) -> None:
        await one.open()
        start = f"GET {API}runs/search?filter=".encode()
        await one.send(start)
        for _ in range(0, size - len(start), 10_000):
            await one.send(b"x" * min(10_000, size - len(start)))
        await one.hold()

    return behave


async def stalled_upload(one: Connection) -> None:
    """Send 1.1 of 1.3 MB."""
    await one.open()
    await one.send(head("POST", f"{API}runs/log-inputs", 1_300_000), b"{", filler(1_100_000))
    await one.hold()


async def trickled_body(one: Connection) -> None:
    """Send 300 kB of 0.9 MB, then a byte every 20 s."""
    await one.open()
    await one.send(head("POST", f"{API}runs/log-batch", 900_000), b"{", filler(300_000))
    while one.is_established:
        await asyncio.sleep(20)
        await one.send(b" ")


async def slow_head(one: Connection) -> None:
    """Send a byte of a head every 5 s."""
    await one.open()
    for byte in itertools.chain(head("GET", f"{API}experiments/get?experiment_id=0")[:-4], itertools.repeat(ord("x"))):
        await one.send(bytes([byte]))
        await asyncio.sleep(5)
        if not one.is_established:
            return


async def unfinished_chunks(one: Connection) -> None:
    """Send just under 1 MiB in chunks, but not the last one."""
    await one.open()
    start = head("POST", f"{API}runs/log-batch", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    await one.send(start, *[b"4000\r\n" + filler(0x4000) + b"\r\n"] * 63)
    await one.hold()


async def pipelined(one: Connection) -> None:
    """Send 240 kB of requests at once, the first of which has a large response, and read nothing."""
    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await one.open()
    more = f"GET {API}runs/search?filter={'x' * 7900} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    await one.send(heavy_search().replace(b"Connection: close\r\n", b""), more * 30)
    await one.hold()


async def stalled_artifact(one: Connection) -> None:
    """Send 300 kB of an artifact of 1 MB."""
    await one.open()
    await one.send(head("PUT", f"{ARTIFACTS}stalled-{random.randrange(10**9)}.bin", 1_000_000), filler(300_000))
    await one.hold()


async def unread_artifact(one: Connection) -> None:
    """Upload an artifact of 5 MB, request it, and read nothing."""
    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await one.open()
    path = f"{ARTIFACTS}unread-{random.randrange(20)}.bin"
    await one.send(head("PUT", path, 5_000_000).replace(b"Connection: close\r\n", b""), filler(5_000_000))
    await one.receive(4096)
    await one.send(head("GET", path))
    await one.hold()


async def silent(one: Connection) -> None:
    await one.open()
    await one.hold()


# Complete requests that cost much


@cache
def batch(run: str) -> bytes:
    """Return a valid batch of 0.95 MB, as large as MLflow's limits allow."""
    metrics = [{"key": f"{'k' * 236}{at:04}", "value": at / 7, "timestamp": START_MS, "step": at} for at in range(800)]
    params = [{"key": f"large_{at}", "value": "v" * 6000} for at in range(100)]
    tags = [{"key": f"large_{at}", "value": "t" * 700} for at in range(100)]
    return request(f"{API}runs/log-batch", {"run_id": run, "metrics": metrics, "params": params, "tags": tags})


async def full_batch(one: Connection) -> None:
    await one.open()
    await one.send(batch(random.choice(TARGETS)))
    await one.respond()


@cache
def batch_of_texts(run: str) -> bytes:
    """Return a batch of 0.95 MB whose numbers are strings. It has more metrics than allowed, which shows at its end."""
    metrics = [{"key": f"m{at:05}", "value": "1.5", "timestamp": "1700000000000", "step": "12"} for at in range(12_400)]
    return request(f"{API}runs/log-batch", {"run_id": run, "metrics": metrics})


async def text_numbers(one: Connection) -> None:
    await one.open()
    await one.send(batch_of_texts(random.choice(TARGETS)))
    await one.respond()


def graphql(query: str) -> Behaviour:
    """Send a query. Its alias differs each time, as a server may cache what it has validated."""

    async def behave(one: Connection) -> None:
        await one.open()
        await one.send(request("/graphql", {"query": query.replace("ALIAS", f"r{random.randrange(10**9)}")}))
        await one.respond()

    return behave


GET_RUN = '{ALIAS:mlflowGetRun(input:{runId:"x"})'
ALIASES = f"{GET_RUN}{{apiError{{{'a:code ' * 490}}}}}}}"
FRAGMENTS = f"{GET_RUN}{{apiError{{{' '.join(f'...F{at}' for at in range(40))}}}}}}}" + "".join(
    f" fragment F{at} on ApiError{{{'aliased:code ' * 11}}}" for at in range(40)
)


@cache
def long_filters() -> bytes:
    text = " AND ".join(["metrics.m > 1"] * 11_000)
    return request(f"{API}runs/search", {"experiment_ids": [str(LARGE)], "filter": text})


async def long_filter(one: Connection) -> None:
    await one.open()
    await one.send(long_filters())
    await one.respond()


@cache
def large_search() -> bytes:
    """Search a page of 1,000 runs by a metric, which the database must sort."""
    page = {"filter": "metrics.metric_3 > 1", "order_by": ["metrics.metric_3 DESC"], "max_results": 1000}
    return request(f"{API}runs/search", {"experiment_ids": [str(LARGE)], **page})


async def vanishing_search(one: Connection) -> None:
    await one.open()
    await one.send(large_search())
    await asyncio.sleep(random.uniform(0.01, 0.1))


NONE = "none"
ATTACKS = (
    Attack(NONE, "no attack", ()),
    Attack("unread", "150 connections request 4.9 MB and read nothing", (Part(150, unread_response),)),
    Attack("slow-readers", "64 connections request 4.9 MB and read 24 kB every 3 s", (Part(64, slow_reader),)),
    Attack("unfinished-bodies", "700 JSON bodies of 1 MiB without their last byte", (Part(700, unfinished_body),)),
    Attack("full-batches", "600 complete batches of 0.95 MB at once, and again", (Part(600, full_batch),)),
    Attack("heads-1mb", "400 unfinished request heads of 1 MB", (Part(400, unfinished_head(1_000_000)),)),
    Attack("heads-60kb", "400 unfinished request heads of 60 kB", (Part(400, unfinished_head(60_000)),)),
    Attack("stalled-uploads", "12 JSON bodies of 1.3 MB stall after 1.1 MB", (Part(12, stalled_upload),)),
    Attack("trickled-bodies", "300 bodies of 0.9 MB: 300 kB, then 1 byte per 20 s", (Part(300, trickled_body),)),
    Attack("silent", "2,300 connections send nothing", (Part(2300, silent),)),
    Attack("silent-same-address", "the same from the honest client's address", (Part(2300, silent, 0),)),
    Attack("text-numbers", "200 batches of 0.95 MB with numbers as strings, and again", (Part(200, text_numbers),)),
    Attack(
        "graphql",
        "GraphQL queries of 490 equal fields and of 40 overlapping fragments, 32 at once",
        (Part(16, graphql(ALIASES)), Part(16, graphql(FRAGMENTS))),
    ),
    Attack("long-filters", "search filters of 200 kB, 32 at once", (Part(32, long_filter),)),
    Attack("vanishing", "searches for 1,000 runs whose clients vanish within 0.1 s", (Part(32, vanishing_search),)),
    Attack("slow-heads", "900 request heads, 1 byte per 5 s", (Part(900, slow_head),)),
    Attack(
        "framing",
        "350 JSON bodies of 1 MiB in chunks without the last one, 400 connections pipeline 240 kB and read nothing",
        (Part(350, unfinished_chunks), Part(400, pipelined)),
    ),
    Attack(
        "artifacts",
        "300 uploads of artifacts stall after 300 kB, 100 connections request 5 MB and read nothing",
        (Part(300, stalled_artifact), Part(100, unread_artifact)),
    ),
    Attack(
        "mixed-memory",
        "unread, slow-readers, unfinished-bodies, heads and stalled-uploads at once",
        (
            Part(60, unread_response),
            Part(30, slow_reader),
            Part(300, unfinished_body),
            Part(100, unfinished_head(1_000_000)),
            Part(200, unfinished_head(60_000)),
            Part(12, stalled_upload),
        ),
    ),
    Attack(
        "mixed-cpu",
        "text-numbers, both GraphQL queries, long-filters and vanishing at once",
        (
            Part(40, text_numbers),
            Part(8, graphql(ALIASES)),
            Part(8, graphql(FRAGMENTS)),
            Part(8, long_filter),
            Part(16, vanishing_search),
        ),
    ),
    Attack(
        "mixed-all",
        "some of everything",
        (
            Part(40, unread_response),
            Part(20, slow_reader),
            Part(200, unfinished_body),
            Part(100, full_batch),
            Part(200, unfinished_head(60_000)),
            Part(6, stalled_upload),
            Part(100, trickled_body),
            Part(800, silent),
            Part(20, text_numbers),
            Part(4, graphql(ALIASES)),
            Part(4, graphql(FRAGMENTS)),
            Part(4, long_filter),
            Part(8, vanishing_search),
            Part(200, slow_head),
            Part(50, unfinished_chunks),
            Part(50, pipelined),
            Part(30, stalled_artifact),
            Part(10, unread_artifact),
        ),
    ),
)


def find_attack(name: str) -> Attack:
    return next(one for one in ATTACKS if one.name == name)


async def run(url: str, attack: Attack, seconds: float, scale: float) -> None:
    """Run the attack for `seconds` and print its counters every second. All connections end with it.

    `scale`: the part of the attack's connections to use, at least one of each kind.
    """
    counters = Counters()
    living: set[Connection] = set()
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 0)

    async def play(part: Part, number: int) -> None:
        source = f"127.1.0.{1 + number % part.addresses}" if part.addresses else "127.0.0.1"
        while True:
            one = Connection(address, source, counters)
            living.add(one)
            try:
                await part.behave(one)
            except (TimeoutError, ConnectionRefusedError):
                counters.not_connected += 1
            except ConnectionError:
                counters.closed_by_server += 1
            finally:
                living.discard(one)
                one.socket.close()
            await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.5))

    until = time.monotonic() + seconds
    tasks = [
        asyncio.create_task(play(part, at))
        for part in attack.parts
        for at in range(max(1, round(part.connections * scale)))
    ]
    try:
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(1, left))
            counters.open = sum(one.is_established for one in living)
            counters.peak_open = max(counters.peak_open, counters.open)
            counters.unread_mb = sum(one.unread_bytes for one in living) / 2**20
            counters.peak_unread_mb = max(counters.peak_unread_mb, counters.unread_mb)
            print(json.dumps(vars(counters)), flush=True)
            for task in tasks:
                if task.done():
                    task.result()  # raises the error that ended it
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("name", choices=[one.name for one in ATTACKS])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--scale", type=float, default=1, help="part of the connections to use")
    parser.add_argument("--part", type=int, help="index of the only part of the attack to use")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    attack = find_attack(options.name)
    if options.part is not None:
        attack = attack._replace(parts=(attack.parts[options.part],))
    asyncio.run(run(options.url, attack, options.seconds, options.scale))


if __name__ == "__main__":
    main()
