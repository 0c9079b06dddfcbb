"""The items of a review queue: traces, and whether they have been reviewed."""

from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Annotated

import msgspec

from railtrack.api.review_queues.queries import check_owns, check_sees, load_queue, lock_queue, reviewer
from railtrack.auth import QUEUE_EDIT, QUEUE_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.db.retry import idempotent
from railtrack.errors import SEE_DOCS, invalid, not_found, permission_denied
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page import fetch_page
from railtrack.search.paged_query import Order, PagedQuery
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse, Response
from railtrack.wire.routing import endpoint

ITEM_ID_LIMIT = 50
USER_LIMIT = 250
ITEMS_LIMIT = 1000
"""Items that one request may name."""
DEFAULT_RESULTS = 1000
MAX_RESULTS = 50_000
NEWEST_FIRST = Order(
    (),
    (
        SortKey("review_queue_items.creation_time_ms", ValueType.BIGINT, descending=True),
        SortKey("review_queue_items.item_id", ValueType.TEXT),
    ),
)
COLUMNS = """
    review_queue_items.queue_id, UPPER(review_queue_items.item_type), review_queue_items.item_id,
    UPPER(review_queue_items.status), review_queue_items.creation_time_ms, review_queue_items.last_update_time_ms,
    review_queue_items.completed_by, review_queue_items.completed_time_ms
"""


class ItemType(Enum):
    TRACE = "TRACE"


class Status(Enum):
    """In the order of protobuf's enum numbers, from 1."""

    PENDING = "PENDING"
    COMPLETE = "COMPLETE"
    DECLINED = "DECLINED"


class Item(msgspec.Struct, omit_defaults=True):
    queue_id: str
    item_type: str
    item_id: str
    status: str
    creation_time_ms: int
    last_update_time_ms: int
    completed_by: str | None = None
    completed_time_ms: int | None = None


class ItemsResponse(msgspec.Struct):
    items: list[Item] = []
    next_page_token: str = ""


class AddedResponse(msgspec.Struct, omit_defaults=True):
    items: list[Item] = []


class AddItems(Request):
    queue_id: RequiredStr
    item_type: ItemType = ItemType.TRACE
    item_ids: list[str] = []


@endpoint("POST", "review-queues/items/add", access=QUEUE_EDIT, api="3.0")
@idempotent
async def add_items(ctx: Context, req: AddItems) -> AddedResponse:
    """Add traces to a queue. One that is in it already stays as it is."""
    ids = _checked_ids(req.item_ids)
    async with ctx.db.write() as tx:
        queue = await lock_queue(tx, req.queue_id)
        known = {
            row[0]
            for row in await tx.fetch(
                "SELECT request_id FROM trace_info WHERE experiment_id = $1 AND request_id = ANY($2)",
                int(queue.experiment_id),
                ids,
            )
        }
        if missing := [item_id for item_id in ids if item_id not in known]:
            raise not_found(
                f"Cannot attach trace(s) {missing[:20]} to review queue '{req.queue_id}': they do not exist in "
                f"experiment '{queue.experiment_id}'."
            )
        await tx.execute_rows(
            """
            INSERT INTO review_queue_items
                (queue_id, item_type, item_id, status, creation_time_ms, last_update_time_ms)
            SELECT r.queue_id, 'trace', r.item_id, 'pending', r.now, r.now FROM {rows} WHERE true
            ON CONFLICT DO NOTHING
            """,
            {"queue_id": "text", "item_id": "text", "now": "bigint"},
            [(req.queue_id, item_id, now_ms()) for item_id in ids],
        )
        rows = await tx.fetch(
            f"SELECT {COLUMNS} FROM review_queue_items WHERE queue_id = $1 AND item_id = ANY($2)",  # noqa: S608
            req.queue_id,
            ids,
        )
    by_id = {row[2]: Item(*row) for row in rows}
    return AddedResponse([by_id[item_id] for item_id in ids])


def _checked_ids(sent: Sequence[str]) -> list[str]:
    if not sent:
        raise invalid("`item_ids` must be a non-empty list; got [].")
    if len(sent) > ITEMS_LIMIT:
        raise invalid(f"A request can name at most {ITEMS_LIMIT} items. Got {len(sent)}.")
    ids = list(dict.fromkeys(item_id.strip() for item_id in sent))
    for item_id in ids:
        if not item_id:
            raise invalid("`item_id` must be a non-empty string; got ''.")
        if len(item_id) > ITEM_ID_LIMIT:
            raise invalid(f"`item_id` must be at most {ITEM_ID_LIMIT} characters; got {len(item_id)}.")
    return ids


class RemoveItems(Request):
    queue_id: RequiredStr
    item_ids: list[str] = []


@endpoint("POST", "review-queues/items/remove", access=QUEUE_EDIT, api="3.0")
@idempotent
async def remove_items(ctx: Context, req: RemoveItems) -> EmptyResponse:
    """Remove items from a queue. Others than its own are no error."""
    ids = _checked_ids(req.item_ids)
    async with ctx.db.write() as tx:
        await check_owns(ctx, await lock_queue(tx, req.queue_id), custom_only=True)
        await tx.execute("DELETE FROM review_queue_items WHERE queue_id = $1 AND item_id = ANY($2)", req.queue_id, ids)
    return EMPTY_RESPONSE


class ListItems(Request):
    queue_id: RequiredStr
    status: Status | None = None
    max_results: Int32 = DEFAULT_RESULTS
    page_token: str = ""


@endpoint("GET", "review-queues/items/list", access=QUEUE_READ, api="3.0")
async def list_items(ctx: Context, req: ListItems) -> Annotated[Response, ItemsResponse]:
    """Return a page of the items of a queue, the newest first."""
    if not 1 <= req.max_results <= MAX_RESULTS:
        raise invalid(f"max_results must be between 1 and {MAX_RESULTS}. {SEE_DOCS}")
    await check_sees(ctx, await load_queue(ctx.db, req.queue_id))
    where, values = ["review_queue_items.queue_id = $1"], [req.queue_id]
    if req.status is not None:
        where.append("review_queue_items.status = $2")
        values.append(req.status.value.lower())
    query = PagedQuery(COLUMNS, "review_queue_items", where, NEWEST_FIRST, values).starting_at(req.page_token)
    chunks = fetch_page(ctx.db.fetch, query, req.max_results)
    return await list_response(ctx.http, ItemsResponse, chunks, req.max_results, partial(_items))


async def _items(rows: Sequence[Row]) -> list[Item]:
    return [Item(*row) for row in rows]


class SetStatus(Request):
    queue_id: RequiredStr
    item_id: RequiredStr
    status: Status | None = None
    completed_by: str | None = None


class ItemResponse(msgspec.Struct):
    item: Item


@endpoint("POST", "review-queues/items/set-status", access=QUEUE_EDIT, api="3.0")
@idempotent
async def set_status(ctx: Context, req: SetStatus) -> ItemResponse:
    """Complete, decline or reopen an item, as one of the queue's users. The same status again changes nothing.

    On a server with login, the caller is who completed it.
    """
    if req.status is None:
        raise invalid("The `status` of an item is required: PENDING, COMPLETE or DECLINED.")
    status, item_id = req.status.value.lower(), req.item_id.strip()
    by = None if req.completed_by is None else req.completed_by.strip().lower()
    if ctx.identity is not None:
        by = None if req.status is Status.PENDING else ctx.identity.username.strip().lower()
    if req.status is Status.PENDING:
        if by is not None:
            raise invalid("`completed_by` must not be set when reopening an item to `pending`.")
    elif not by:
        raise invalid(f"`completed_by` is required when setting status to `{status}`.")
    if by is not None and len(by) > USER_LIMIT:
        raise invalid(f"`completed_by` must be at most {USER_LIMIT} characters; got {len(by)}.")
    async with ctx.db.write() as tx:
        queue = await lock_queue(tx, req.queue_id)
        if not (await reviewer(ctx, queue.experiment_id)).is_member(queue):
            raise permission_denied()
        stored = await _load(tx, req.queue_id, item_id)
        if stored.status == req.status.value:
            return ItemResponse(stored)
        now = now_ms()
        await tx.execute(
            "UPDATE review_queue_items SET status = $3, completed_by = $4, completed_time_ms = CAST($5 AS BIGINT), "
            "last_update_time_ms = $6 WHERE queue_id = $1 AND item_id = $2",
            req.queue_id,
            item_id,
            status,
            by,
            None if by is None else now,
            now,
        )
        return ItemResponse(await _load(tx, req.queue_id, item_id))


async def _load(tx: Tx, queue_id: str, item_id: str) -> Item:
    row = await tx.fetch_row(
        f"SELECT {COLUMNS} FROM review_queue_items WHERE queue_id = $1 AND item_id = $2",  # noqa: S608 (our own text)
        queue_id,
        item_id,
    )
    if row is None:
        raise not_found(f"Item '{item_id[:250]}' is not attached to review queue '{queue_id[:250]}'.")
    return Item(*row)
