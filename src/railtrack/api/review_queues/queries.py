"""Review queues from the database, with their users and questions, and what the caller may do with them."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from railtrack.auth.levels import EXPERIMENT, Level
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.errors import not_found, permission_denied

COLUMNS = """
    review_queues.queue_id, CAST(review_queues.experiment_id AS TEXT), review_queues.name,
    UPPER(review_queues.queue_type), review_queues.creation_time_ms, review_queues.last_update_time_ms,
    review_queues.created_by
"""
"""The fields of ReviewQueue up to `created_by`, in their order."""


class ReviewQueue(msgspec.Struct, omit_defaults=True):
    queue_id: str
    experiment_id: str
    name: str
    queue_type: str
    creation_time_ms: int
    last_update_time_ms: int
    created_by: str | None = None
    users: list[str] = []
    schema_ids: list[str] = []


async def load_queues(tx: Tx, rows: Sequence[Row]) -> list[ReviewQueue]:
    """Return the queues of rows of COLUMNS with users and questions, in their order. The caller bounds the page."""
    queues = {row[0]: ReviewQueue(*row) for row in rows}
    for queue_id, user, schema in await tx.fetch(
        """
        SELECT queue_id, user_id, NULL FROM review_queue_users WHERE queue_id = ANY($1)
        UNION ALL
        SELECT queue_id, NULL, schema_id FROM review_queue_label_schemas WHERE queue_id = ANY($1)
        """,
        list(queues),
    ):
        if user is not None:
            queues[queue_id].users.append(user)
        else:
            queues[queue_id].schema_ids.append(schema)
    for queue in queues.values():
        queue.users.sort()
        queue.schema_ids.sort()
    return list(queues.values())


async def load_queue(tx: Tx, queue_id: str) -> ReviewQueue:
    rows = await tx.fetch(f"SELECT {COLUMNS} FROM review_queues WHERE queue_id = $1", queue_id)  # noqa: S608 (our own text)
    if not rows:
        raise not_found(f"Review queue with id '{queue_id[:250]}' not found.")
    return (await load_queues(tx, rows))[0]


async def lock_queue(tx: Tx, queue_id: str) -> ReviewQueue:
    """Return a queue whose row is locked until the transaction ends. Raise RESOURCE_DOES_NOT_EXIST."""
    await tx.fetch("SELECT 1 FROM review_queues WHERE queue_id = $1 FOR NO KEY UPDATE", queue_id)
    return await load_queue(tx, queue_id)


class Reviewer(NamedTuple):
    """The caller as a reviewer. Without login, everyone may do everything."""

    name: str | None
    is_manager: bool

    def is_member(self, queue: ReviewQueue) -> bool:
        return self.name is None or self.name.strip().lower() in queue.users

    def is_owner(self, queue: ReviewQueue) -> bool:
        return self.name is None or self.name.strip().lower() == (queue.created_by or "").strip().lower()

    def sees(self, queue: ReviewQueue) -> bool:
        return self.is_manager or self.is_member(queue) or self.is_owner(queue)


async def reviewer(ctx: Context, experiment_id: str) -> Reviewer:
    """Return who the caller is to the queues of an experiment. MANAGE may be granted on all queues, too."""
    identity = ctx.identity
    if identity is None or ctx.grants is None:
        return Reviewer(None, is_manager=True)
    if identity.is_admin:
        return Reviewer(identity.username, is_manager=True)
    grants = await ctx.grants.fresh(identity.user_id)
    level = grants.permission("review_queue", "*", (EXPERIMENT, experiment_id))
    return Reviewer(identity.username, is_manager=level >= Level.MANAGE)


async def check_sees(ctx: Context, queue: ReviewQueue) -> ReviewQueue:
    """Return the queue. Raise PERMISSION_DENIED unless the caller manages it, owns it, or is one of its users."""
    if not (await reviewer(ctx, queue.experiment_id)).sees(queue):
        raise permission_denied()
    return queue


async def check_owns(ctx: Context, queue: ReviewQueue, *, custom_only: bool = False) -> None:
    """Raise PERMISSION_DENIED unless the caller manages the queue or owns it. `custom_only`: or owns a custom one."""
    caller = await reviewer(ctx, queue.experiment_id)
    if caller.is_manager:
        return
    if not caller.is_owner(queue) or (custom_only and queue.queue_type != "CUSTOM"):
        raise permission_denied()
