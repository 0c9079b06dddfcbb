"""A well-behaved client, which logs, reads and probes at a modest rate while hostile.py attacks the server."""

import http.client
import select
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.loads import FILTERED, Request, get, post
from bench.seed import LARGE, START_MS, run_id

RESPONSE_LIMIT_S = 60
RETRY_PAUSES_S = (0, 4, 8, 16, 32, 64, 120)
"""Those of mlflow's client, without their jitter."""
RETRIED = {408, 429, 500, 502, 503, 504}
REPEATED_AT_ONCE = 50
HEALTH = "/health"
RUN = run_id(LARGE, 100)
PROFILE = "p" * 1_200_000


class Kind(NamedTuple):
    """Requests of `clients`, due every `interval_s`. `is_probe`: each opens a connection, as a load balancer's does."""

    name: str
    clients: int
    interval_s: float
    request: Callable[[int], Request]
    is_probe: bool = False


def log_metric(number: int) -> Request:
    return post("runs/log-metric", {"run_id": RUN, "key": "loss", "value": 0.5, "timestamp": START_MS, "step": number})


def log_batch(number: int) -> Request:
    metrics = [{"key": f"batch_{at}", "value": at / 7, "timestamp": START_MS, "step": number} for at in range(100)]
    return post("runs/log-batch", {"run_id": RUN, "metrics": metrics})


def log_inputs(_number: int) -> Request:
    dataset = {"name": "train", "digest": "1", "source_type": "local", "source": "{}", "profile": PROFILE}
    return post("runs/log-inputs", {"run_id": RUN, "datasets": [{"dataset": dataset}]})


def get_run(number: int) -> Request:
    return get("runs/get", {"run_id": run_id(LARGE, 200 + number % 500)})


def search(_number: int) -> Request:
    return post("runs/search", {"experiment_ids": [str(LARGE)], **FILTERED})


KINDS = (
    Kind("log-metric", 5, 0.5, log_metric),
    Kind("log-batch of 100", 2, 1, log_batch),
    Kind("log-inputs of 1.2 MB", 1, 2, log_inputs),
    Kind("get-run", 5, 1, get_run),
    Kind("search, page of 100", 2, 2, search),
    Kind(HEALTH, 1, 0.5, lambda _number: Request("GET", HEALTH), is_probe=True),
)


class Try(NamedTuple):
    """The first try of a request. `seconds`: from when it was due to its response or failure. `outcome`: ok, a status
    code, or an exception's name.
    """

    kind: str
    due: float
    seconds: float
    outcome: str

    @property
    def ended(self) -> float:
        return self.due + self.seconds

    @property
    def is_ok(self) -> bool:
        return self.outcome == "ok"


@dataclass
class Summary:
    """What a client saw in an interval; seconds.

    `failed`: "kind: outcome" -> number of failed first tries; `slowest_s`: kind -> its slowest request.
    """

    requests: int
    failed: dict[str, int]
    p50_s: float
    p99_s: float
    max_s: float
    slowest_s: dict[str, float]


def summary(tries: list[Try]) -> Summary:
    seconds = sorted(one.seconds for one in tries) or [0.0]
    return Summary(
        len(tries),
        dict(Counter(f"{one.kind}: {one.outcome}" for one in tries if not one.is_ok)),
        statistics.median(seconds),
        seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))],
        seconds[-1],
        {kind.name: max((one.seconds for one in tries if one.kind == kind.name), default=0.0) for kind in KINDS},
    )


class HonestClient:
    """Threads, each with a connection, from `start()` to `stop()`: some for each kind of request.

    Each sends on a fixed schedule. A request that becomes due while another is in progress is sent after it, and its
    time counts from when it was due. A failed request counts, and is repeated beside the others after the pauses of
    mlflow's client.
    """

    def __init__(self, url: str) -> None:
        self.tries: list[Try] = []
        self.lost: Counter[str] = Counter()
        """Requests whose repetitions failed too, by kind."""
        self._address = urlsplit(url).netloc
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._play, args=(kind, client), daemon=True)
            for kind in KINDS
            for client in range(kind.clients)
        ]
        self._due: dict[tuple[str, int], float] = {}
        self._repeating = threading.Semaphore(REPEATED_AT_ONCE)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def since(self, begin: float, end: float = float("inf")) -> list[Try]:
        """Return the tries that were due in the interval."""
        return [one for one in list(self.tries) if begin <= one.due < end]

    def longest_wait_s(self) -> float:
        """Return how long the oldest request that is due has had no response."""
        return max((time.monotonic() - due for due in list(self._due.values())), default=0.0)

    def _play(self, kind: Kind, client: int) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=RESPONSE_LIMIT_S)
        due = self._due[kind.name, client] = time.monotonic() + client / kind.clients * kind.interval_s
        for number in count(client, kind.clients):
            if self._over.wait(max(0.0, due - time.monotonic())):
                break
            request = kind.request(number)
            outcome = _outcome(connection, request, is_new=kind.is_probe)
            self.tries.append(Try(kind.name, due, time.monotonic() - due, outcome))
            if outcome != "ok" and not kind.is_probe and self._repeating.acquire(blocking=False):
                threading.Thread(target=self._repeat, args=(kind, request, outcome), daemon=True).start()
            due = self._due[kind.name, client] = due + kind.interval_s
        connection.close()

    def _repeat(self, kind: Kind, request: Request, outcome: str) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=RESPONSE_LIMIT_S)
        pauses = iter(RETRY_PAUSES_S)
        while outcome != "ok":
            pause_s = None if outcome.isdigit() and int(outcome) not in RETRIED else next(pauses, None)
            if pause_s is None:
                self.lost[kind.name] += 1
                break
            if self._over.wait(pause_s):
                break
            outcome = _outcome(connection, request, is_new=False)
        connection.close()
        self._repeating.release()


def _outcome(connection: http.client.HTTPConnection, request: Request, *, is_new: bool) -> str:
    """Send a request. Reopen the connection before, as urllib3 does, if the server has closed it."""
    try:
        if is_new or _is_dropped(connection):
            connection.close()
        body = request.body.encode() or None
        connection.request(request.method, request.path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        response.read()
        return "ok" if response.status == 200 else str(response.status)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return type(error).__name__


def _is_dropped(connection: Any) -> bool:
    with suppress(OSError, ValueError):
        return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])
    return True
