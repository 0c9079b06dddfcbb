"""The speed at which a client sends a body or reads a response, compared with the least that is accepted."""

MIN_BYTES_PER_S = 1024
"""A client that stays below this is disconnected once it is behind by its patience. A bad mobile link has ten times
as much."""
BODY_PATIENCE_S = 30.0
RESPONSE_PATIENCE_S = 60.0
SLOW_BYTES_PER_S = 16 * 1024
"""Slower clients are disconnected while others wait for the memory or the connection that they occupy."""


class Pace:
    """Measured once a second, more often under pressure.

    `lead_s`: seconds until the client is too slow, if it sends or reads nothing.
    """

    __slots__ = ("_at", "_patience_s", "_rate", "lead_s")

    def __init__(self, now: float, patience_s: float) -> None:
        self._at = now
        self._patience_s = patience_s
        self._rate = 3.0 * SLOW_BYTES_PER_S  # not slow before it was measured twice
        self.lead_s = patience_s

    def advance(self, size: int, now: float) -> None:
        """Take account of `size` bytes since the last call."""
        seconds = now - self._at
        self._at = now
        if seconds > 0:
            self.lead_s = min(self.lead_s + size / MIN_BYTES_PER_S, self._patience_s) - seconds
            self._rate = (self._rate + size / seconds) / 2

    def pause(self, now: float) -> None:
        """Take no account of the time since the last call, in which the client waited for the server."""
        self._at = now

    @property
    def is_too_slow(self) -> bool:
        return self.lead_s < 0

    @property
    def is_slow(self) -> bool:
        return self._rate < SLOW_BYTES_PER_S
