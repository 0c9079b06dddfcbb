"""The counters of all workers in the text format of Prometheus, version 0.0.4. Counting: counters.py."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from railtrack.prometheus.counters import (
    CONFLICTS,
    CONNECTIONS_IN_USE,
    CONNECTIONS_LIMIT,
    CONNECTIONS_OPEN,
    CPU_S,
    EVICTED_CONNECTIONS,
    GROUP_BOUNDS,
    GROUPED,
    GROUPS,
    IN_FLIGHT,
    LATENCIES,
    LATENCY_BOUNDS_S,
    MEMORY_REJECTIONS,
    PID,
    QUEUE_REQUESTS,
    QUEUE_ROWS,
    RECEIVED,
    REJECTED_CONNECTIONS,
    REJECTIONS,
    RESERVED_BYTES,
    RESERVED_BYTES_LIMIT,
    RETRIES,
    ROUTE_SIZE,
    ROUTES,
    SECONDS,
    SENT,
    STARTED,
    STARTS,
    STATUSES,
    Counters,
)
from railtrack.prometheus.process_stats import ProcessMemory, is_alive, process_memory

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricFamily(NamedTuple):
    """A metric: its name and type, the labels of its samples, and its help."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


REQUESTS = MetricFamily(
    "railtrack_http_requests_total",
    "counter",
    ("method", "route", "status"),
    "Completed requests by status class. `gone`: the client disconnected before the end of the response.",
)
DURATION = MetricFamily(
    "railtrack_http_request_duration_seconds",
    "histogram",
    ("method", "route"),
    "Time from the head of a request to the last byte of its response, including uploads and downloads.",
)
RECEIVED_BYTES = MetricFamily(
    "railtrack_http_received_bytes_total",
    "counter",
    ("method", "route"),
    "Bytes read from request bodies. Excludes artifacts that clients send to the store directly.",
)
SENT_BYTES = MetricFamily(
    "railtrack_http_sent_bytes_total", "counter", ("method", "route"), "Bytes of response bodies, after compression."
)
GROUP_SIZE = MetricFamily(
    "railtrack_write_group_requests", "histogram", (), "Log and create-run requests per commit (docs/adr/0004)."
)
TOTALS = {
    REJECTIONS: MetricFamily(
        "railtrack_write_queue_rejections_total",
        "counter",
        (),
        "Log and create-run requests rejected with 429, the queue being full.",
    ),
    RETRIES: MetricFamily(
        "railtrack_transaction_retries_total",
        "counter",
        (),
        "Transactions retried after a conflict with another one.",
    ),
    CONFLICTS: MetricFamily(
        "railtrack_transaction_conflicts_total", "counter", (), "Requests rejected with 429 after the last such retry."
    ),
    MEMORY_REJECTIONS: MetricFamily(
        "railtrack_http_memory_rejections_total",
        "counter",
        (),
        "Requests rejected with 429 because the memory for requests was in use (docs/sizing.md).",
    ),
    REJECTED_CONNECTIONS: MetricFamily(
        "railtrack_http_connections_rejected_total",
        "counter",
        (),
        "Connections rejected with 503 or 429 because there were too many, in total or of one client.",
    ),
    EVICTED_CONNECTIONS: MetricFamily(
        "railtrack_http_connections_evicted_total",
        "counter",
        (),
        "Idle or slow connections closed in favour of new ones.",
    ),
    STARTS: MetricFamily("railtrack_worker_starts_total", "counter", (), "Worker processes started with this server."),
}
STATES = {
    IN_FLIGHT: MetricFamily("railtrack_http_requests_in_flight", "gauge", ("worker",), "Requests in progress."),
    QUEUE_REQUESTS: MetricFamily(
        "railtrack_write_queue_requests", "gauge", ("worker",), "Log and create-run requests waiting for a commit."
    ),
    QUEUE_ROWS: MetricFamily(
        "railtrack_write_queue_rows", "gauge", ("worker",), "Rows in those requests; at most 40,000 of each kind."
    ),
    CONNECTIONS_IN_USE: MetricFamily(
        "railtrack_database_connections_in_use", "gauge", ("worker",), "Database connections in use."
    ),
    CONNECTIONS_OPEN: MetricFamily(
        "railtrack_database_connections_open", "gauge", ("worker",), "Open database connections, including idle ones."
    ),
    CONNECTIONS_LIMIT: MetricFamily(
        "railtrack_database_connections_limit", "gauge", ("worker",), "Maximum number of database connections."
    ),
    RESERVED_BYTES: MetricFamily(
        "railtrack_http_reserved_bytes",
        "gauge",
        ("worker",),
        "Memory reserved for requests and responses that are not small.",
    ),
    RESERVED_BYTES_LIMIT: MetricFamily(
        "railtrack_http_reserved_bytes_limit", "gauge", ("worker",), "Limit of that memory (docs/sizing.md)."
    ),
    STARTED: MetricFamily(
        "railtrack_process_start_time_seconds", "gauge", ("worker",), "Start time of the worker in Unix time."
    ),
}
CPU = MetricFamily(
    "railtrack_process_cpu_seconds_total",
    "counter",
    ("worker",),
    "CPU time of the worker and its predecessors.",
)
RESIDENT = MetricFamily(
    "railtrack_process_resident_memory_bytes",
    "gauge",
    ("worker",),
    "Memory of a process including shared pages (RSS). `master` is the parent of the workers.",
)
PROPORTIONAL = MetricFamily(
    "railtrack_process_proportional_memory_bytes",
    "gauge",
    ("worker",),
    "Memory of a process with its share of shared pages (PSS). The sum is the memory of the server.",
)
FAMILIES = (
    REQUESTS,
    DURATION,
    RECEIVED_BYTES,
    SENT_BYTES,
    GROUP_SIZE,
    *TOTALS.values(),
    *STATES.values(),
    CPU,
    RESIDENT,
    PROPORTIONAL,
)
"""All metrics, as listed in docs/metrics.md."""


def exposition(counters: Counters) -> bytes:
    """Return the counters of all workers as text. Call this in a worker, whose parent is the master.

    It blocks while it reads a few files of /proc.
    """
    slots = {number: slot.tolist() for number, slot in counters.slots.used()}
    alive = {number: slot for number, slot in slots.items() if slot[PID] and is_alive(int(slot[PID]))}
    totals = [sum(column) for column in zip(*slots.values(), strict=True)]
    lines = [
        *_routes(counters, totals),
        *_head(GROUP_SIZE),
        *_histogram(GROUP_SIZE.name, "", GROUP_BOUNDS, totals[GROUPS.start : GROUPS.stop], totals[GROUPED]),
    ]
    for index, family in TOTALS.items():
        lines += [*_head(family), f"{family.name} {_number(totals[index])}"]
    for index, family in STATES.items():
        lines += [*_head(family), *(_of_worker(family, number, slot[index]) for number, slot in alive.items())]
    lines += [*_head(CPU), *(_of_worker(CPU, number, slot[CPU_S]) for number, slot in slots.items())]
    pids = {"master": os.getppid()} | {str(number): int(slot[PID]) for number, slot in alive.items()}
    lines += _memory({worker: memory for worker, pid in pids.items() if (memory := process_memory(pid))})
    return ("\n".join(lines) + "\n").encode()


def _routes(counters: Counters, totals: Sequence[float]) -> Iterator[str]:
    """Yield the metrics of the routes that were requested, one family after the other as the format demands."""
    requested = []
    for number, (method, path) in enumerate(counters.routes):
        numbers = totals[ROUTES + number * ROUTE_SIZE : ROUTES + (number + 1) * ROUTE_SIZE]
        if any(numbers):
            requested.append((f'method="{method}",route="{path}"', numbers))
    yield from _head(REQUESTS)
    for labels, numbers in requested:
        for status, count in zip(STATUSES, numbers, strict=False):
            if count:
                yield f'{REQUESTS.name}{{{labels},status="{status}"}} {_number(count)}'
    yield from _head(DURATION)
    for labels, numbers in requested:
        latencies = numbers[LATENCIES.start : LATENCIES.stop]
        yield from _histogram(DURATION.name, labels, LATENCY_BOUNDS_S, latencies, numbers[SECONDS])
    for family, index in ((RECEIVED_BYTES, RECEIVED), (SENT_BYTES, SENT)):
        yield from _head(family)
        for labels, numbers in requested:
            yield f"{family.name}{{{labels}}} {_number(numbers[index])}"


def _memory(processes: dict[str, ProcessMemory]) -> Iterator[str]:
    yield from _head(RESIDENT)
    yield from (f'{RESIDENT.name}{{worker="{worker}"}} {memory.resident}' for worker, memory in processes.items())
    yield from _head(PROPORTIONAL)
    for worker, memory in processes.items():
        yield f'{PROPORTIONAL.name}{{worker="{worker}"}} {memory.proportional}'


def _head(family: MetricFamily) -> tuple[str, str]:
    return f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"


def _histogram(name: str, labels: str, bounds: Sequence[float], counts: Sequence[float], total: float) -> Iterator[str]:
    """Yield the lines of a histogram. `counts` are per bucket; the format wants cumulative ones."""
    cumulative = 0.0
    bucket_labels = f"{labels}," if labels else ""
    all_labels = f"{{{labels}}}" if labels else ""
    for bound, count in zip((*map(_number, bounds), "+Inf"), counts, strict=True):
        cumulative += count
        yield f'{name}_bucket{{{bucket_labels}le="{bound}"}} {_number(cumulative)}'
    yield f"{name}_sum{all_labels} {_number(total)}"
    yield f"{name}_count{all_labels} {_number(cumulative)}"


def _of_worker(family: MetricFamily, slot: int, value: float) -> str:
    return f'{family.name}{{worker="{slot}"}} {_number(value)}'


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
