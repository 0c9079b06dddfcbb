"""Runs servers that are coroutines in a background thread, for tests that block."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """An event loop in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns, run in that loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @contextlib.contextmanager
    def enter(self, server: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Run the server in that loop."""
        value = self.run(server.__aenter__())  # type: ignore[arg-type]
        try:
            yield value
        finally:
            self.run(server.__aexit__(None, None, None))  # type: ignore[arg-type]


@contextlib.contextmanager
def background() -> Iterator[Background]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Background(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
