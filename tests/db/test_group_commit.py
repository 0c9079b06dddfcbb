"""Many requests, one commit: who is answered when, what a failure takes with it, and where the queue ends."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from railtrack.db import Conflict, Db, Tx, database_unavailable
from railtrack.db.group_commit import GROUP_COST_LIMIT, QUEUE_COST_LIMIT, SMALL_COST, GroupCommit, GroupCommits
from railtrack.errors import ApiError, invalid


@dataclass(frozen=True)
class Note:
    """A run of this name; rejected by the writer if `is_invalid`, by the database if `is_poison`."""

    name: str
    cost: int = 1
    is_invalid: bool = False
    is_poison: bool = False


class Writer:
    """Writes notes as runs, and remembers the groups it was given."""

    def __init__(self, *, conflicts: int = 0) -> None:
        self.groups: list[list[str]] = []
        self._conflicts = conflicts

    async def write(self, db: Db, notes: Sequence[Note]) -> list[ApiError | None]:
        async with db.write() as tx:
            return await self._write(tx, notes)

    async def _write(self, tx: Tx, notes: Sequence[Note]) -> list[ApiError | None]:
        self.groups.append([note.name for note in notes])
        for note in notes:
            if not note.is_invalid:
                start = 2**63 if note.is_poison else 1
                sql = "INSERT INTO runs (run_uuid, start_time, experiment_id) VALUES ($1, $2, 0)"
                await tx.execute(sql, note.name, start)
        if self._conflicts:
            self._conflicts -= 1
            raise Conflict("as if another transaction had won")
        return [invalid(f"no {note.name}") if note.is_invalid else None for note in notes]


async def stored(db: Db) -> list[str]:
    return [name for (name,) in await db.fetch("SELECT run_uuid FROM runs ORDER BY run_uuid")]


async def test_waiting_entries_are_committed_together(db: Db) -> None:
    writer = Writer()
    group = GroupCommit(db, writer.write)
    await asyncio.gather(*(group.submit(Note(name)) for name in "abcdef"))
    assert await stored(db) == list("abcdef")
    assert sorted(name for names in writer.groups for name in names) == list("abcdef")
    assert len(writer.groups) <= 2


async def test_a_submission_returns_after_the_commit(db: Db) -> None:
    group = GroupCommit(db, Writer().write)
    await group.submit(Note("a"))
    assert await stored(db) == ["a"]


async def test_an_invalid_entry_fails_alone(db: Db) -> None:
    group = GroupCommit(db, Writer().write)
    notes = [Note("a"), Note("b", is_invalid=True), Note("c")]
    answers = await asyncio.gather(*(group.submit(note) for note in notes), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["None", "no b", "None"]
    assert await stored(db) == ["a", "c"]


async def test_an_entry_that_the_database_rejects_fails_alone(db: Db) -> None:
    group = GroupCommit(db, Writer().write)
    notes = [Note("a"), Note("b", is_poison=True), Note("c")]
    answers = await asyncio.gather(*(group.submit(note) for note in notes), return_exceptions=True)
    assert [getattr(answer, "status", None) for answer in answers] == [None, 400, None]
    assert await stored(db) == ["a", "c"]


async def test_a_group_that_conflicts_is_written_again(db: Db) -> None:
    writer = Writer(conflicts=2)
    group = GroupCommit(db, writer.write)
    await group.submit(Note("a"))
    assert writer.groups == [["a"]] * 3
    assert await stored(db) == ["a"]


async def test_a_conflict_without_end_is_answered_with_429(db: Db) -> None:
    group = GroupCommit(db, Writer(conflicts=1000).write)
    with pytest.raises(ApiError) as caught:
        await group.submit(Note("a"))
    assert caught.value.status == 429
    assert await stored(db) == []


async def test_a_group_holds_no_more_than_its_bound(db: Db) -> None:
    writer = Writer()
    group = GroupCommit(db, writer.write)
    await asyncio.gather(*(group.submit(Note(name, cost=GROUP_COST_LIMIT // 2)) for name in "abcdef"))
    assert max(len(names) for names in writer.groups) == 2
    assert await stored(db) == list("abcdef")


async def test_small_entries_overtake_large_ones_and_each_group_has_a_large_one(db: Db) -> None:
    writer = Writer()
    group = GroupCommit(db, writer.write)
    large = [Note(f"large{number}", cost=GROUP_COST_LIMIT // 2) for number in range(6)]
    small = [Note(f"small{number}", cost=SMALL_COST) for number in range(GROUP_COST_LIMIT // SMALL_COST)]
    await asyncio.gather(*(group.submit(note) for note in large + small))
    assert len(await stored(db)) == len(large) + len(small)
    kinds = [sorted(name[:5] for name in names) for names in writer.groups]
    half = len(small) // 2
    assert kinds == [["large"] + ["small"] * half] * 2 + [["large"] * 2] * 2
    assert group.queue_length == (0, 0)


async def test_a_full_queue_answers_429(db: Db) -> None:
    group = GroupCommit(db, Writer().write)
    half = QUEUE_COST_LIMIT // 2
    answers = await asyncio.gather(*(group.submit(Note(name, cost=half)) for name in "abc"), return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, ApiError)]
    assert [error.status for error in errors] == [429]
    assert await stored(db) == ["a", "b"]
    await group.submit(Note("d"))
    assert await stored(db) == ["a", "b", "d"]


async def test_a_cancelled_submission_does_not_block_the_others(db: Db) -> None:
    group = GroupCommit(db, Writer().write)
    gone = asyncio.create_task(group.submit(Note("a")))
    await asyncio.sleep(0)
    gone.cancel()
    await group.submit(Note("b"))
    assert await stored(db) == ["a", "b"]


async def test_each_writing_function_has_its_own_queue_and_all_count_together(db: Db) -> None:
    one, other = Writer(), Writer()
    write_one, write_other = one.write, other.write
    group_commits = GroupCommits(db)
    assert group_commits.totals().grouped == 0
    assert group_commits.of(write_one) is group_commits.of(write_one)
    await asyncio.gather(*(group_commits.of(write_one).submit(Note(name)) for name in "abc"))
    await group_commits.of(write_other).submit(Note("d"))
    assert (one.groups, other.groups) == ([["a", "b", "c"]], [["d"]])
    totals = group_commits.totals()
    assert (totals.queue_length, totals.rejected, totals.grouped) == ((0, 0), 0, 4)
    assert sum(totals.groups) == 2


async def test_entries_that_wait_behind_two_failed_groups_are_not_written(db: Db) -> None:
    """If the database hangs, each group takes long to fail, and the entries behind it wait."""
    groups: list[list[str]] = []

    async def fail(db: Db, notes: Sequence[Note]) -> list[ApiError | None]:
        groups.append([note.name for note in notes])
        raise database_unavailable("gone")

    group = GroupCommit(db, fail)
    notes = [Note(name, cost=GROUP_COST_LIMIT) for name in "abcde"]
    answers = await asyncio.gather(*(group.submit(note) for note in notes), return_exceptions=True)
    assert [getattr(answer, "status", None) for answer in answers] == [429] * 5
    assert groups == [["a"], ["b"]]
    assert group.queue_length == (0, 0)
    with pytest.raises(ApiError):
        await group.submit(Note("f"))
    assert groups[-1] == ["f"], "later entries are tried"
