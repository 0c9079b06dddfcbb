"""Numbers in memory that all workers share, allocated before the fork with a slot for each worker.

Each worker writes its own slot only, so nothing is locked. A slot keeps its numbers when its worker dies, and the next
worker in it continues from there: a counter never decreases.
"""

import mmap
from collections.abc import Iterator

SLOTS = 128
"""Workers that can be alive at once: twice the limit of the setting, since a reload runs old and new workers together.
Unused slots take no memory."""
NUMBER_BYTES = 8


class SharedSlots:
    """SLOTS arrays of `size` doubles. A double is eight aligned bytes, so that a read is never torn."""

    def __init__(self, size: int) -> None:
        self._size = size
        # Anonymous, shared with processes that are forked later. The first SLOTS numbers mark the used slots.
        self._numbers = memoryview(mmap.mmap(-1, (SLOTS + SLOTS * size) * NUMBER_BYTES)).cast("d")

    def open(self, number: int) -> "memoryview[float]":
        """Return the slot of a worker, to be written by it."""
        self._numbers[number] = 1.0
        return self._slot(number)

    def used(self) -> "Iterator[tuple[int, memoryview[float]]]":
        """Yield (number, slot) for each slot that was ever open. Even reading another one would allocate memory."""
        for number in range(SLOTS):
            if self._numbers[number]:
                yield number, self._slot(number)

    def _slot(self, number: int) -> "memoryview[float]":
        start = SLOTS + number * self._size
        return self._numbers[start : start + self._size]
