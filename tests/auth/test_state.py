"""The version of the access data, as a worker reads it."""

import asyncio
from typing import Any

import pytest

from railtrack.auth.state import AuthState, bump
from railtrack.db import Db


async def test_a_read_that_ends_late_does_not_bring_an_old_version_back(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the old version, what was cached before the change would be valid again."""
    state, fetch_value = AuthState(db), db.fetch_value
    has_read, may_end = asyncio.Event(), asyncio.Event()

    async def fetch_late(*args: Any) -> Any:
        value = await fetch_value(*args)
        has_read.set()
        await may_end.wait()
        return value

    with monkeypatch.context() as patch:
        patch.setattr(db, "fetch_value", fetch_late)
        late = asyncio.create_task(state.refresh())
        await has_read.wait()
    async with db.write() as tx:
        await bump(tx)
    state.expire()
    await state.refresh()
    version = state.version
    may_end.set()
    await late
    assert state.version == version
