"""What is counted, where it stands in a worker's slot, and the hand that counts it. How it is told: exposition.py."""

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from railtrack.prometheus.shared_memory import Cells
from railtrack.wire.request import HttpRequest
from railtrack.wire.routing import Route

LATENCY_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)
GROUP_BOUNDS = tuple(float(2**power) for power in range(12))
"""Requests in one commit; GroupCommit counts its groups by the same powers of two."""
STATUSES = ("gone", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Status classes by their first digit; 0 is a client that hung up before its answer was whole."""


class Sample(NamedTuple):
    """The state and the sums of one process at a moment. The sums, from `refusals` on, only ever grow."""

    queue_requests: int
    queue_rows: int
    connections_in_use: int
    connections_open: int
    connections_limit: int
    refusals: int
    retries: int
    conflicts: int
    grouped: int
    groups: Sequence[int]


# Where each number stands in a slot.
PID, STARTED, IN_FLIGHT = range(3)
QUEUE_REQUESTS, QUEUE_ROWS, CONNECTIONS_IN_USE, CONNECTIONS_OPEN, CONNECTIONS_LIMIT = range(3, 8)
STATE = range(IN_FLIGHT, 8)
"""What is true for the present worker only."""
STARTS, REFUSALS, RETRIES, CONFLICTS, GROUPED, CPU_S = range(8, 14)
GROUPS = range(14, 14 + len(GROUP_BOUNDS) + 1)
ROUTES = GROUPS.stop

# And within the numbers of a route.
LATENCIES = range(len(STATUSES), len(STATUSES) + len(LATENCY_BOUNDS_S) + 1)
SECONDS, RECEIVED, SENT = range(LATENCIES.stop, LATENCIES.stop + 3)
ROUTE_SIZE = SENT + 1


class Counts:
    """The counts of all workers, made before they are forked. `routes`: every way in that there is."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = [(route.method, route.path) for route in routes] + [("other", "unmatched")]
        # By identity: to hash a Route takes longer than all the counting.
        self.places = {id(route): ROUTES + number * ROUTE_SIZE for number, route in enumerate(routes)}
        self.unmatched = ROUTES + len(routes) * ROUTE_SIZE
        self.cells = Cells(self.unmatched + ROUTE_SIZE)


class WorkerCounts:
    """The counting of one worker into its slot; it counts on from where the slot's last worker ended.

    What happens with every request is written at once (under 1 us); the rest by publish(), every second.
    """

    def __init__(self, counts: Counts, slot: int, sample: Callable[[], Sample]) -> None:
        self.counts = counts
        self._cells = cells = counts.cells.open(slot)
        self._places = counts.places
        self._unmatched = counts.unmatched
        self._sample = sample
        for place in STATE:
            cells[place] = 0.0
        self._before = cells[STARTS : GROUPS.stop].tolist()
        self._cpu_before = time.process_time()
        cells[PID] = os.getpid()
        cells[STARTED] = time.time()
        cells[STARTS] += 1
        self.publish()

    def began(self) -> None:
        self._cells[IN_FLIGHT] += 1

    def ended(self, http: HttpRequest, request_id: str, seconds: float) -> None:
        cells = self._cells
        place = self._places.get(id(http.route), self._unmatched)
        cells[IN_FLIGHT] -= 1
        cells[place + http.status // 100] += 1
        cells[place + LATENCIES.start + bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        cells[place + SECONDS] += seconds
        cells[place + RECEIVED] += http.received
        cells[place + SENT] += http.sent

    def publish(self) -> None:
        """Write what is not counted request by request."""
        now = self._sample()
        cells = self._cells
        cells[QUEUE_REQUESTS], cells[QUEUE_ROWS] = now.queue_requests, now.queue_rows
        cells[CONNECTIONS_IN_USE], cells[CONNECTIONS_OPEN] = now.connections_in_use, now.connections_open
        cells[CONNECTIONS_LIMIT] = now.connections_limit
        sums = (now.refusals, now.retries, now.conflicts, now.grouped, time.process_time() - self._cpu_before)
        for place, since in enumerate((*sums, *now.groups), REFUSALS):
            cells[place] = self._before[place - STARTS] + since

    def close(self) -> None:
        """Leave the slot: its sums stay, its state doesn't."""
        self.publish()
        for place in (PID, *STATE):
            self._cells[place] = 0.0
