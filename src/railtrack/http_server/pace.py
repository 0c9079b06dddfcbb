"""The speed at which a client sends a body or reads a response, compared with the least that is accepted."""

MIN_BYTES_PER_S = 1024
"""A client that stays below this is disconnected once it is behind by its patience. A bad mobile link has ten times
as much."""
BODY_PATIENCE_S = 30.0
RESPONSE_PATIENCE_S = 60.0
SLOW_BYTES_PER_S = 16 * 1024
"""Slower clients are disconnected while others wait for the memory or the connection that they occupy."""
SILENCE_S = 0.5
SILENT_CHECKS = 3
"""A client that sent nothing for so long, and at so many checks, is silent. After a pause of the event loop, one check
finds nothing because the bytes are still in the socket."""


class Pace:
    """Measured once a second, more often under pressure.

    `lead_s`: seconds until the client is too slow, if it sends or reads nothing.
    """

    __slots__ = ("_at", "_patience_s", "_rate", "_silent_checks", "_silent_s", "lead_s")

    def __init__(self, now: float, patience_s: float) -> None:
        self._at = now
        self._patience_s = patience_s
        self._rate = 3.0 * SLOW_BYTES_PER_S  # not slow before it was measured twice
        self._silent_s = 0.0
        self._silent_checks = 0
        self.lead_s = patience_s

    def advance(self, size: int, now: float) -> None:
        """Take account of `size` bytes since the last call."""
        seconds = now - self._at
        self._at = now
        if seconds > 0:
            self.lead_s = min(self.lead_s + size / MIN_BYTES_PER_S, self._patience_s) - seconds
            self._rate = (self._rate + size / seconds) / 2
            self._silent_s = 0.0 if size else self._silent_s + seconds
            self._silent_checks = 0 if size else self._silent_checks + 1

    def pause(self, now: float) -> None:
        """Take no account of the time since the last call, in which the client waited for the server."""
        self._at = now
        self._silent_s, self._silent_checks = 0.0, 0

    @property
    def is_too_slow(self) -> bool:
        return self.lead_s < 0

    @property
    def is_slow(self) -> bool:
        return self._rate < SLOW_BYTES_PER_S

    @property
    def is_silent(self) -> bool:
        return self._silent_s >= SILENCE_S and self._silent_checks >= SILENT_CHECKS
