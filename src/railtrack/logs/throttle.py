"""What the log is told of a store that fails or refuses: a line a second at the most, however many requests fail."""

import logging
import time

log = logging.getLogger("railtrack")

TOLD_EVERY_S = 1.0


class TroubleLog:
    """The lines of one process."""

    def __init__(self) -> None:
        self._quiet_until = 0.0
        self._left_out = 0

    def tell(self, message: str) -> None:
        if time.monotonic() < self._quiet_until:
            self._left_out += 1
            return
        before = f" ({self._left_out} more such lines were left out before)" if self._left_out else ""
        log.error("artifact store: %s%s", message, before)
        self._quiet_until = time.monotonic() + TOLD_EVERY_S
        self._left_out = 0


tell = TroubleLog().tell
