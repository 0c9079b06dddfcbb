"""Which connections a worker admits: limits in total and for each client, a reserve for probes, and eviction.

A connection decides by itself whether it can be evicted: GovernedConnection.eviction_rank().
"""

from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from heapq import nsmallest
from operator import itemgetter
from typing import TYPE_CHECKING, cast

from uvicorn.server import ServerState

from railtrack.byte_budget import BUDGET
from railtrack.http_server import limits

if TYPE_CHECKING:
    from railtrack.http_server.governed_connection import GovernedConnection

CANDIDATES = 64
"""Connections that are found at once for eviction, since that takes a look at all of them."""

Rank = tuple[int, float]
"""Of a connection that can be evicted: kind, and since when. The lowest goes first."""
UNUSED, IDLE, UNFINISHED_HEAD, SLOW, FRESH = range(5)


class Admission(Enum):
    ADMITTED = auto()
    FOR_PROBES = auto()
    """Only a health check is served."""
    REJECTED = auto()
    """The client gets a 503 and time to read it."""
    CLOSED = auto()
    """The client gets a 503 if it reads at once."""


class WorkerState(ServerState):
    """What the connections of a worker share. `is_ending`: no response may promise to keep its connection open.

    `client_of`: returns what the addresses of one client have in common, or "" for a proxy, which has many clients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_ending = False
        self.client_of: Callable[[str], str] = str
        self._clients: Counter[str] = Counter()
        self._candidates: list[GovernedConnection] = []

    def admit(self, connection: "GovernedConnection") -> Admission:
        """Admit a connection that is among `connections` already, if necessary by evicting another one."""
        client = self._client(connection)
        if client:
            self._clients[client] += 1
            if self._clients[client] > limits.CLIENT_CONNECTIONS_LIMIT and not self._evict_of(client, connection):
                return self._rejected()
        if len(self.connections) <= limits.CONNECTIONS_LIMIT or self.make_room(connection):
            return Admission.ADMITTED
        if len(self.connections) <= limits.CONNECTIONS_LIMIT + limits.PROBES_RESERVE:
            return Admission.FOR_PROBES
        return self._rejected()

    def leave(self, connection: "GovernedConnection") -> None:
        """Take account of a connection that was lost."""
        client = self._client(connection)
        if client:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def ranked_by_unread(self) -> list["GovernedConnection"]:
        """Return the connections that hold unread bytes, in the order in which their requests should be rejected.

        The last bytes that arrived may be of a client that sends at full speed. So clients with a penalty come first,
        then those that hold most over all of their connections. Bodies that the application reads are last.
        """
        holding = [one for one in cast("set[GovernedConnection]", self.connections) if one.unread_bytes]
        held: Counter[str] = Counter()
        for one in holding:
            held[one.sender] += one.unread_bytes
        holding.sort(
            key=lambda one: (not one.is_streamed, BUDGET.bodies.is_penalized(one.sender), held[one.sender]),
            reverse=True,
        )
        return holding

    @property
    def is_full(self) -> bool:
        return len(self.connections) > limits.CONNECTIONS_LIMIT

    def _rejected(self) -> Admission:
        BUDGET.rejected_connections += 1
        room = limits.CONNECTIONS_LIMIT + limits.PROBES_RESERVE + limits.REJECTED_RESERVE
        return Admission.REJECTED if len(self.connections) <= room else Admission.CLOSED

    def _client(self, connection: "GovernedConnection") -> str:
        return self.client_of(connection.client[0]) if connection.client else ""

    def make_room(self, newcomer: "GovernedConnection") -> bool:
        """Close the connection that waited longest. Return False if all are in use."""
        now = newcomer.loop.time()
        for are_new in (False, True):  # those that were found for an earlier newcomer may all be in use by now
            if are_new:
                self._candidates = self._ranked(newcomer, CANDIDATES, lambda _: True)[::-1]
            while self._candidates:
                candidate = self._candidates.pop()
                if candidate is newcomer or candidate not in self.connections:
                    continue
                if candidate.eviction_rank(now):
                    self._close(candidate)
                    return True
        return False

    def _evict_of(self, client: str, newcomer: "GovernedConnection") -> bool:
        """Close the connection of this client that waited longest. Return False if all of them are in use."""
        for candidate in self._ranked(newcomer, 1, lambda connection: self._client(connection) == client):
            self._close(candidate)
            return True
        return False

    def _ranked(
        self, newcomer: "GovernedConnection", count: int, is_wanted: Callable[["GovernedConnection"], bool]
    ) -> list["GovernedConnection"]:
        now = newcomer.loop.time()
        ranked = [
            (rank, connection)
            for connection in cast("set[GovernedConnection]", self.connections)
            if connection is not newcomer and (rank := connection.eviction_rank(now)) and is_wanted(connection)
        ]
        return [connection for _, connection in nsmallest(count, ranked, key=itemgetter(0))]

    def _close(self, connection: "GovernedConnection") -> None:
        BUDGET.evicted_connections += 1
        self.connections.discard(connection)  # it may take until the next iteration of the event loop to be lost
        connection.evict()
