"""The counters, their indexes in a worker's slot, and the code that counts. Their text format: exposition.py."""

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from railtrack.prometheus.shared_memory import SharedSlots
from railtrack.wire.request import HttpRequest
from railtrack.wire.routing import Route

LATENCY_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)
GROUP_BOUNDS = tuple(float(2**power) for power in range(12))
"""Requests in one commit, in powers of two as GroupCommit counts them."""
STATUSES = ("gone", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Status classes by their first digit; 0 is for clients that disconnected before the end of the response."""


class Sample(NamedTuple):
    """State and totals of one process. The totals, from `rejections` on, never decrease."""

    queue_requests: int
    queue_rows: int
    connections_in_use: int
    connections_open: int
    connections_limit: int
    reserved_bytes: int
    reserved_bytes_limit: int
    rejections: int
    retries: int
    conflicts: int
    grouped: int
    memory_rejections: int
    rejected_connections: int
    evicted_connections: int
    groups: Sequence[int]


# Indexes in a slot.
PID, STARTED, IN_FLIGHT = range(3)
QUEUE_REQUESTS, QUEUE_ROWS, CONNECTIONS_IN_USE, CONNECTIONS_OPEN, CONNECTIONS_LIMIT = range(3, 8)
RESERVED_BYTES, RESERVED_BYTES_LIMIT = range(8, 10)
STATE = range(IN_FLIGHT, 10)
"""Indexes that are reset for a new worker."""
STARTS, REJECTIONS, RETRIES, CONFLICTS, GROUPED = range(10, 15)
MEMORY_REJECTIONS, REJECTED_CONNECTIONS, EVICTED_CONNECTIONS, CPU_S = range(15, 19)
GROUPS = range(19, 19 + len(GROUP_BOUNDS) + 1)
ROUTES = GROUPS.stop

# Indexes within the numbers of a route.
LATENCIES = range(len(STATUSES), len(STATUSES) + len(LATENCY_BOUNDS_S) + 1)
SECONDS, RECEIVED, SENT = range(LATENCIES.stop, LATENCIES.stop + 3)
ROUTE_SIZE = SENT + 1


class Counters:
    """The counters of all workers, created before they are forked. `routes`: all routes of the application."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = [(route.method, route.path) for route in routes] + [("other", "unmatched")]
        # By identity: hashing a Route takes longer than all the counting.
        self.route_indexes = {id(route): ROUTES + number * ROUTE_SIZE for number, route in enumerate(routes)}
        self.unmatched_index = ROUTES + len(routes) * ROUTE_SIZE
        self.slots = SharedSlots(self.unmatched_index + ROUTE_SIZE)


class WorkerCounters:
    """The counters of one worker, in its slot. They continue from where the slot's last worker ended.

    What happens with every request is counted at once (in less than 1 us), the rest by publish(), every second.
    """

    def __init__(self, counters: Counters, slot: int, sample: Callable[[], Sample]) -> None:
        self.counters = counters
        self._slot = numbers = counters.slots.open(slot)
        self._route_indexes = counters.route_indexes
        self._unmatched_index = counters.unmatched_index
        self._sample = sample
        for index in STATE:
            numbers[index] = 0.0
        self._totals_before = numbers[STARTS : GROUPS.stop].tolist()
        self._cpu_before = time.process_time()
        numbers[PID] = os.getpid()
        numbers[STARTED] = time.time()
        numbers[STARTS] += 1
        self.publish()

    def began(self) -> None:
        self._slot[IN_FLIGHT] += 1

    def ended(self, http: HttpRequest, request_id: str, seconds: float) -> None:
        slot = self._slot
        route = self._route_indexes.get(id(http.route), self._unmatched_index)
        slot[IN_FLIGHT] -= 1
        slot[route + http.status // 100] += 1
        slot[route + LATENCIES.start + bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        slot[route + SECONDS] += seconds
        slot[route + RECEIVED] += http.received
        slot[route + SENT] += http.sent

    def publish(self) -> None:
        """Write what is not counted with each request."""
        now = self._sample()
        slot = self._slot
        slot[QUEUE_REQUESTS], slot[QUEUE_ROWS] = now.queue_requests, now.queue_rows
        slot[CONNECTIONS_IN_USE], slot[CONNECTIONS_OPEN] = now.connections_in_use, now.connections_open
        slot[CONNECTIONS_LIMIT] = now.connections_limit
        slot[RESERVED_BYTES], slot[RESERVED_BYTES_LIMIT] = now.reserved_bytes, now.reserved_bytes_limit
        totals = (
            *(now.rejections, now.retries, now.conflicts, now.grouped),
            *(now.memory_rejections, now.rejected_connections, now.evicted_connections),
            time.process_time() - self._cpu_before,
        )
        for index, total in enumerate((*totals, *now.groups), REJECTIONS):
            slot[index] = self._totals_before[index - STARTS] + total

    def close(self) -> None:
        """Leave the slot. Its totals stay, its state is reset."""
        self.publish()
        for index in (PID, *STATE):
            self._slot[index] = 0.0
