"""The counts of all workers as Prometheus reads them: its text format, version 0.0.4. Counting is counts.py's."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from railtrack.prometheus.counters import (
    CONFLICTS,
    CONNECTIONS_IN_USE,
    CONNECTIONS_LIMIT,
    CONNECTIONS_OPEN,
    CPU_S,
    GROUP_BOUNDS,
    GROUPED,
    GROUPS,
    IN_FLIGHT,
    LATENCIES,
    LATENCY_BOUNDS_S,
    PID,
    QUEUE_REQUESTS,
    QUEUE_ROWS,
    RECEIVED,
    REFUSALS,
    RETRIES,
    ROUTE_SIZE,
    ROUTES,
    SECONDS,
    SENT,
    STARTED,
    STARTS,
    STATUSES,
    Counts,
)
from railtrack.prometheus.process_stats import Memory, is_alive, memory

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Family(NamedTuple):
    """One metric: its name and type, the labels that its samples bear, and what it means."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


REQUESTS = Family(
    "railtrack_http_requests_total",
    "counter",
    ("method", "route", "status"),
    "Requests that ended, by status class; `gone`: the client hung up before its answer was whole.",
)
DURATION = Family(
    "railtrack_http_request_duration_seconds",
    "histogram",
    ("method", "route"),
    "From a request's head to the last byte of its answer, uploads and downloads included.",
)
RECEIVED_BYTES = Family(
    "railtrack_http_received_bytes_total",
    "counter",
    ("method", "route"),
    "Bytes of request bodies that were read; artifacts that clients send straight to a store are not among them.",
)
SENT_BYTES = Family(
    "railtrack_http_sent_bytes_total", "counter", ("method", "route"), "Bytes of answers' bodies, after compression."
)
GROUP_SIZE = Family(
    "railtrack_write_group_requests", "histogram", (), "Log requests that one commit served (docs/adr/0004)."
)
SUMS = {
    REFUSALS: Family(
        "railtrack_write_queue_refusals_total", "counter", (), "Log requests answered 429 because the queue was full."
    ),
    RETRIES: Family(
        "railtrack_transaction_retries_total",
        "counter",
        (),
        "Transactions run again because another one was in their way.",
    ),
    CONFLICTS: Family(
        "railtrack_transaction_conflicts_total", "counter", (), "Requests answered 429 because that did not end."
    ),
    STARTS: Family("railtrack_worker_starts_total", "counter", (), "Worker processes started since the server was."),
}
STATES = {
    IN_FLIGHT: Family("railtrack_http_requests_in_flight", "gauge", ("worker",), "Requests begun and not ended."),
    QUEUE_REQUESTS: Family(
        "railtrack_write_queue_requests", "gauge", ("worker",), "Log requests that wait for a commit."
    ),
    QUEUE_ROWS: Family("railtrack_write_queue_rows", "gauge", ("worker",), "Rows in those requests; 40,000 is full."),
    CONNECTIONS_IN_USE: Family(
        "railtrack_database_connections_in_use", "gauge", ("worker",), "Database connections at work."
    ),
    CONNECTIONS_OPEN: Family(
        "railtrack_database_connections_open", "gauge", ("worker",), "Database connections open, idle ones included."
    ),
    CONNECTIONS_LIMIT: Family(
        "railtrack_database_connections_limit", "gauge", ("worker",), "Database connections that there may be."
    ),
    STARTED: Family(
        "railtrack_process_start_time_seconds", "gauge", ("worker",), "When the worker started, in Unix time."
    ),
}
CPU = Family(
    "railtrack_process_cpu_seconds_total", "counter", ("worker",), "CPU time of the worker and of those it replaced."
)
RESIDENT = Family(
    "railtrack_process_resident_memory_bytes",
    "gauge",
    ("worker",),
    "Memory of a process, shared pages in full (RSS); `master` is the process that starts the workers.",
)
PROPORTIONAL = Family(
    "railtrack_process_proportional_memory_bytes",
    "gauge",
    ("worker",),
    "Memory of a process, each shared page divided among those that share it (PSS): these add up.",
)
FAMILIES = (
    REQUESTS,
    DURATION,
    RECEIVED_BYTES,
    SENT_BYTES,
    GROUP_SIZE,
    *SUMS.values(),
    *STATES.values(),
    CPU,
    RESIDENT,
    PROPORTIONAL,
)
"""Every metric there is; docs/metrics.md lists them."""


def exposition(counts: Counts, master: int) -> bytes:
    """All workers' counts as text. `master`: the process id of their parent. Reads a few files of /proc."""
    slots = {slot: cells.tolist() for slot, cells in counts.cells.used()}
    alive = {slot: row for slot, row in slots.items() if row[PID] and is_alive(int(row[PID]))}
    totals = [sum(column) for column in zip(*slots.values(), strict=True)]
    pids = {"master": master} | {str(slot): int(row[PID]) for slot, row in alive.items()}
    lines = [
        *_routes(counts, totals),
        *_head(GROUP_SIZE),
        *_histogram(GROUP_SIZE.name, "", GROUP_BOUNDS, totals[GROUPS.start : GROUPS.stop], totals[GROUPED]),
    ]
    for place, family in SUMS.items():
        lines += [*_head(family), f"{family.name} {_number(totals[place])}"]
    for place, family in STATES.items():
        lines += [*_head(family), *(_of_worker(family, slot, row[place]) for slot, row in alive.items())]
    lines += [*_head(CPU), *(_of_worker(CPU, slot, row[CPU_S]) for slot, row in slots.items())]
    lines += _memory({name: found for name, pid in pids.items() if (found := memory(pid))})
    return ("\n".join(lines) + "\n").encode()


def _routes(counts: Counts, totals: Sequence[float]) -> Iterator[str]:
    """The metrics of the routes that were asked for, one family after the other as the format demands."""
    asked = []
    for number, (method, path) in enumerate(counts.routes):
        row = totals[ROUTES + number * ROUTE_SIZE : ROUTES + (number + 1) * ROUTE_SIZE]
        if any(row):
            asked.append((f'method="{method}",route="{path}"', row))
    yield from _head(REQUESTS)
    for labels, row in asked:
        for status, count in zip(STATUSES, row, strict=False):
            if count:
                yield f'{REQUESTS.name}{{{labels},status="{status}"}} {_number(count)}'
    yield from _head(DURATION)
    for labels, row in asked:
        found = row[LATENCIES.start : LATENCIES.stop]
        yield from _histogram(DURATION.name, labels, LATENCY_BOUNDS_S, found, row[SECONDS])
    for family, place in ((RECEIVED_BYTES, RECEIVED), (SENT_BYTES, SENT)):
        yield from _head(family)
        for labels, row in asked:
            yield f"{family.name}{{{labels}}} {_number(row[place])}"


def _memory(found: dict[str, Memory]) -> Iterator[str]:
    for family, field in ((RESIDENT, "resident"), (PROPORTIONAL, "proportional")):
        yield from _head(family)
        for name, sizes in found.items():
            yield f'{family.name}{{worker="{name}"}} {getattr(sizes, field)}'


def _head(family: Family) -> tuple[str, str]:
    return f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"


def _histogram(name: str, labels: str, bounds: Sequence[float], counts: Sequence[float], total: float) -> Iterator[str]:
    """`counts`: how many fell into each bucket alone; the format wants each with all below it."""
    below = 0.0
    before = f"{labels}," if labels else ""
    after = f"{{{labels}}}" if labels else ""
    for bound, count in zip((*map(_number, bounds), "+Inf"), counts, strict=True):
        below += count
        yield f'{name}_bucket{{{before}le="{bound}"}} {_number(below)}'
    yield f"{name}_sum{after} {_number(total)}"
    yield f"{name}_count{after} {_number(below)}"


def _of_worker(family: Family, slot: int, value: float) -> str:
    return f'{family.name}{{worker="{slot}"}} {_number(value)}'


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def text_of_all(counts: Counts) -> bytes:
    """The exposition as a worker gives it: its parent is the master."""
    return exposition(counts, os.getppid())
