"""Numbers in memory that all workers share: made before the fork, of one size for ever, a slot for each worker.

A worker writes its own slot alone, so nothing is locked. What a slot has counted stays when its worker dies, and the
next worker in it counts on: no sum ever goes backwards.
"""

import mmap
from collections.abc import Iterator

SLOTS = 128
"""Workers that can be alive at once: twice the setting's limit, for a reload runs old and new ones side by side.
Memory is taken by the slots that are used only."""
WORD = 8


class Cells:
    """SLOTS rows of `size` doubles each. One of them is eight aligned bytes, so it is read whole or not at all."""

    def __init__(self, size: int) -> None:
        self._size = size
        # Anonymous and shared with the processes forked from here on.
        self._memory = memoryview(mmap.mmap(-1, (SLOTS + SLOTS * size) * WORD)).cast("d")

    def open(self, slot: int) -> "memoryview[float]":
        """The cells of a slot, for its worker to write."""
        self._memory[slot] = 1.0
        return self._row(slot)

    def used(self) -> "Iterator[tuple[int, memoryview[float]]]":
        """Every slot that a worker was ever in; the others are not touched, for even reading would take memory."""
        for slot in range(SLOTS):
            if self._memory[slot]:
                yield slot, self._row(slot)

    def _row(self, slot: int) -> "memoryview[float]":
        start = SLOTS + slot * self._size
        return self._memory[start : start + self._size]
