"""Create, get, list, update and delete review queues. Their items are in items.py."""

from enum import Enum
from functools import partial
from typing import Annotated
from uuid import uuid4

import msgspec

from railtrack.api.experiments.queries import no_such_experiment
from railtrack.api.review_queues.queries import (
    COLUMNS,
    ReviewQueue,
    check_owns,
    check_sees,
    load_queue,
    load_queues,
    lock_queue,
    reviewer,
)
from railtrack.auth import QUEUE_CREATE, QUEUE_EDIT, QUEUE_READ, QUEUES_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Db, Row, Tx, UniqueViolation
from railtrack.db.retry import idempotent
from railtrack.db.sql import bind
from railtrack.errors import SEE_DOCS, ApiError, exists, invalid, not_found, permission_denied
from railtrack.mlflow.ids import experiment_number
from railtrack.search.conditions import Parameters
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page import fetch_page
from railtrack.search.paged_query import Order, PagedQuery
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse, Response
from railtrack.wire.routing import endpoint

NAME_LIMIT = 250
SCHEMA_ID_LIMIT = 36
USERS_LIMIT = 10
SCHEMAS_LIMIT = 1000
RESERVED_NAME = "default"
DEFAULT_RESULTS = 1000
MAX_RESULTS = 50_000
NEWEST_FIRST = Order(
    (),
    (
        SortKey("review_queues.creation_time_ms", ValueType.BIGINT, descending=True),
        SortKey("review_queues.queue_id", ValueType.TEXT),
    ),
)


class QueueType(Enum):
    """In the order of protobuf's enum numbers, from 1."""

    USER = "USER"
    CUSTOM = "CUSTOM"


class QueueResponse(msgspec.Struct):
    review_queue: ReviewQueue


class CreateQueue(Request):
    experiment_id: RequiredStr
    name: RequiredStr
    queue_type: QueueType | None = None
    users: list[str] = []
    schema_ids: list[str] = []


@endpoint("POST", "review-queues/create", access=QUEUE_CREATE, api="3.0")
async def create_queue(ctx: Context, req: CreateQueue) -> QueueResponse:
    """Create a review queue, whose owner is the caller. Names are unique in an experiment, whatever their case."""
    if req.queue_type is None:
        raise invalid("Review queue `queue_type` is required: USER or CUSTOM.")
    users, schema_ids = _users(req.users), _schema_ids(req.schema_ids)
    if req.queue_type is QueueType.USER:
        name = _user(req.name)
        if users and users != [name]:
            raise invalid(
                "A user queue must have exactly one assigned user equal to its name; "
                f"got name={name!r} and users={users!r}."
            )
        if schema_ids:
            raise invalid(
                "A user queue cannot have explicitly-attached schemas; it resolves to all of the experiment's label "
                "schemas."
            )
        users = [name]
    else:
        name = await _custom_name(ctx, req.name)
    owner = ctx.identity.username if ctx.identity is not None else None
    return QueueResponse(
        await _create(ctx, experiment_number(req.experiment_id), name, req.queue_type, owner, users, schema_ids)
    )


async def _create(
    ctx: Context,
    number: int,
    name: str,
    queue_type: QueueType,
    owner: str | None,
    users: list[str],
    schema_ids: list[str],
) -> ReviewQueue:
    queue_id = f"rq-{uuid4().hex}"
    try:
        async with ctx.db.write() as tx:
            await _check_experiment(tx, number)
            await _check_schemas(tx, number, schema_ids)
            await tx.execute(
                *bind(
                    """
                    INSERT INTO review_queues (queue_id, experiment_id, name, name_key, queue_type, created_by,
                        creation_time_ms, last_update_time_ms)
                    VALUES (:queue_id, :number, :name, :name_key, :queue_type, :owner, :now, :now)
                    """,
                    queue_id=queue_id,
                    number=number,
                    name=name,
                    name_key=name.lower(),
                    queue_type=queue_type.value.lower(),
                    owner=owner,
                    now=now_ms(),
                )
            )
            await _insert_users(tx, queue_id, users)
            await _insert_schemas(tx, queue_id, schema_ids)
            tx.set_commit_check("SELECT 1 FROM review_queues WHERE queue_id = $1", queue_id)
            return await load_queue(tx, queue_id)
    except UniqueViolation as error:
        raise _name_taken(name) from error


def _name_taken(name: str) -> ApiError:
    return exists(f"Review queue with name '{name}' already exists (names are case-insensitive).")


async def _check_experiment(tx: Tx, number: int) -> None:
    if not await tx.fetch_value("SELECT 1 FROM experiments WHERE experiment_id = $1", number):
        raise no_such_experiment(number)


async def _check_schemas(tx: Tx, number: int, schema_ids: list[str]) -> None:
    known = {
        row[0]
        for row in await tx.fetch(
            "SELECT schema_id FROM label_schemas WHERE experiment_id = $1 AND schema_id = ANY($2)", number, schema_ids
        )
    }
    if missing := [schema_id for schema_id in schema_ids if schema_id not in known]:
        raise invalid(f"Label schema id(s) {missing[:20]} not found for experiment '{number}'.")


async def _insert_users(tx: Tx, queue_id: str, users: list[str]) -> None:
    await tx.execute_rows(
        "INSERT INTO review_queue_users (queue_id, user_id) SELECT r.queue_id, r.user_id FROM {rows} WHERE true",
        {"queue_id": "text", "user_id": "text"},
        [(queue_id, user) for user in users],
    )


async def _insert_schemas(tx: Tx, queue_id: str, schema_ids: list[str]) -> None:
    await tx.execute_rows(
        "INSERT INTO review_queue_label_schemas (queue_id, schema_id) "
        "SELECT r.queue_id, r.schema_id FROM {rows} WHERE true",
        {"queue_id": "text", "schema_id": "text"},
        [(queue_id, schema_id) for schema_id in schema_ids],
    )


def _user(name: str) -> str:
    """Return a user's name as MLflow stores it: stripped, in lower case."""
    user = name.strip().lower()
    _check_text(user, "user", NAME_LIMIT)
    return user


def _users(names: list[str]) -> list[str]:
    users = list(dict.fromkeys(map(_user, names)))
    if len(users) > USERS_LIMIT:
        raise invalid(f"A review queue can have at most {USERS_LIMIT} assigned users; got {len(users)}.")
    return users


def _schema_ids(sent: list[str]) -> list[str]:
    ids = list(dict.fromkeys(one.strip() for one in sent))
    if len(ids) > SCHEMAS_LIMIT:
        raise invalid(f"A review queue can have at most {SCHEMAS_LIMIT} label schemas; got {len(ids)}.")
    for schema_id in ids:
        _check_text(schema_id, "schema_id", SCHEMA_ID_LIMIT)
    return ids


def _check_text(text: str, field: str, limit: int) -> None:
    if not text:
        raise invalid(f"`{field}` must be a non-empty string; got ''.")
    if len(text) > limit:
        raise invalid(f"`{field}` must be at most {limit} characters; got {len(text)}.")


async def _custom_name(ctx: Context, sent: str) -> str:
    """Return the name of a custom queue. It must not be that of a user, whose own queue it would hide."""
    name = sent.strip()
    _check_text(name, "name", NAME_LIMIT)
    if name.lower() == RESERVED_NAME:
        raise invalid(f"`{name}` is a reserved queue name and cannot be used for a custom queue.")
    if ctx.identity is not None and await ctx.db.fetch_value(
        "SELECT 1 FROM railtrack_users WHERE lower(username) = $1", name.lower()
    ):
        raise invalid(
            f"'{name}' is a registered user. A custom review queue cannot use a username as its name; assign that "
            "user to a queue instead."
        )
    return name


class GetOrCreateUserQueue(Request):
    experiment_id: RequiredStr
    user: RequiredStr


@endpoint("POST", "review-queues/get-or-create-user", access=QUEUE_CREATE, api="3.0")
@idempotent
async def get_or_create_user_queue(ctx: Context, req: GetOrCreateUserQueue) -> QueueResponse:
    """Return the queue of a user, who owns it."""
    name, number = _user(req.user), experiment_number(req.experiment_id)
    queue = await _named(ctx.db, number, name)
    if queue is None:
        try:
            queue = await _create(ctx, number, name, QueueType.USER, name, [name], [])
        except ApiError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
            queue = await _named(ctx.db, number, name)
    if queue is None or queue.queue_type != "USER":
        raise exists(
            f"A non-user queue named '{name}' already exists; cannot get-or-create a user queue with that name."
        )
    return QueueResponse(queue)


async def _named(tx: Tx, number: int, name: str) -> ReviewQueue | None:
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM review_queues WHERE experiment_id = $1 AND name_key = $2",  # noqa: S608 (our own text)
        number,
        name.lower(),
    )
    return (await load_queues(tx, rows))[0] if rows else None


class GetQueue(Request):
    queue_id: RequiredStr


@endpoint("GET", "review-queues/get", access=QUEUE_READ, api="3.0")
async def get_queue(ctx: Context, req: GetQueue) -> QueueResponse:
    """Return a queue by its id."""
    return QueueResponse(await check_sees(ctx, await load_queue(ctx.db, req.queue_id)))


class GetQueueByName(Request):
    experiment_id: RequiredStr
    name: RequiredStr


@endpoint("GET", "review-queues/get-by-name", access=QUEUES_READ, api="3.0")
async def get_queue_by_name(ctx: Context, req: GetQueueByName) -> QueueResponse:
    """Return a queue of an experiment by its name, whatever its case."""
    number = experiment_number(req.experiment_id)
    async with ctx.db.read() as tx:
        await _check_experiment(tx, number)
        queue = await _named(tx, number, req.name)
    if queue is None:
        raise not_found(f"Review queue with name '{req.name[:250]}' not found for experiment '{number}'.")
    return QueueResponse(await check_sees(ctx, queue))


class ListQueues(Request):
    experiment_id: RequiredStr
    user: str | None = None
    max_results: Int32 = DEFAULT_RESULTS
    page_token: str = ""
    item_id: str | None = None


class ListQueuesResponse(msgspec.Struct):
    review_queues: list[ReviewQueue] = []
    next_page_token: str = ""


@endpoint("GET", "review-queues/list", access=QUEUES_READ, api="3.0")
async def list_queues(ctx: Context, req: ListQueues) -> Annotated[Response, ListQueuesResponse]:
    """Return a page of the queues of an experiment, the newest first: of those that the caller may see."""
    if not 1 <= req.max_results <= MAX_RESULTS:
        raise invalid(f"max_results must be between 1 and {MAX_RESULTS}. {SEE_DOCS}")
    number = experiment_number(req.experiment_id)
    await _check_experiment(ctx.db, number)
    parameters = Parameters()
    where = [f"review_queues.experiment_id = {parameters.add(number)}"]
    has_user = (
        "EXISTS (SELECT 1 FROM review_queue_users u WHERE u.queue_id = review_queues.queue_id AND u.user_id = {})"
    )
    if req.user is not None:
        where.append(has_user.format(parameters.add(req.user.strip().lower())))
    if req.item_id is not None:
        where.append(
            "EXISTS (SELECT 1 FROM review_queue_items i WHERE i.queue_id = review_queues.queue_id "  # noqa: S608
            f"AND i.item_id = {parameters.add(req.item_id)})"
        )
    caller = await reviewer(ctx, str(number))
    if not caller.is_manager and caller.name is not None:
        name = parameters.add(caller.name.strip().lower())
        where.append(f"(lower(review_queues.created_by) = {name} OR {has_user.format(name)})")
    query = PagedQuery(COLUMNS, "review_queues", where, NEWEST_FIRST, parameters.values).starting_at(req.page_token)
    chunks = fetch_page(ctx.db.fetch, query, req.max_results)
    return await list_response(ctx.http, ListQueuesResponse, chunks, req.max_results, partial(_load, ctx.db))


async def _load(db: Db, rows: list[Row]) -> list[ReviewQueue]:
    return await load_queues(db, rows)


class UpdateQueue(Request):
    queue_id: RequiredStr
    update_users: bool = False
    users: list[str] = []
    update_schema_ids: bool = False
    schema_ids: list[str] = []
    name: str | None = None
    new_owner: str | None = None


@endpoint("POST", "review-queues/update", access=QUEUE_EDIT, api="3.0")
@idempotent
async def update_queue(ctx: Context, req: UpdateQueue) -> QueueResponse:
    """Update the parts of a custom queue that the request has. Questions are fixed while the queue has items.

    Its owner may do so, too, except for giving it to another one.
    """
    users, schema_ids = _users(req.users), _schema_ids(req.schema_ids)
    try:
        async with ctx.db.write() as tx:
            queue = await lock_queue(tx, req.queue_id)
            await check_owns(ctx, queue)
            if req.new_owner is not None and not (await reviewer(ctx, queue.experiment_id)).is_manager:
                raise permission_denied()
            if queue.queue_type == "USER":
                raise invalid("A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated.")
            name = queue.name if req.name is None else req.name.strip()
            if name != queue.name:
                name = await _custom_name(ctx, name)
            owner = queue.created_by
            if req.new_owner is not None:
                owner = req.new_owner.strip()
                _check_text(owner, "new_owner", NAME_LIMIT)
            if req.update_users:
                await tx.execute("DELETE FROM review_queue_users WHERE queue_id = $1", req.queue_id)
                await _insert_users(tx, req.queue_id, users)
            if req.update_schema_ids:
                if await tx.fetch_value("SELECT 1 FROM review_queue_items WHERE queue_id = $1 LIMIT 1", req.queue_id):
                    raise invalid(
                        "A review queue's questions are locked once items are assigned to it. "
                        "Remove the items before changing its questions."
                    )
                await _check_schemas(tx, int(queue.experiment_id), schema_ids)
                await tx.execute("DELETE FROM review_queue_label_schemas WHERE queue_id = $1", req.queue_id)
                await _insert_schemas(tx, req.queue_id, schema_ids)
            if req.update_users or req.update_schema_ids or req.name is not None or req.new_owner is not None:
                await tx.execute(
                    "UPDATE review_queues SET name = $2, name_key = $3, created_by = $4, last_update_time_ms = $5 "
                    "WHERE queue_id = $1",
                    req.queue_id,
                    name,
                    name.lower(),
                    owner,
                    now_ms(),
                )
            return QueueResponse(await load_queue(tx, req.queue_id))
    except UniqueViolation as error:
        raise _name_taken((req.name or "").strip()) from error


class DeleteQueue(Request):
    queue_id: RequiredStr


@endpoint("POST", "review-queues/delete", access=QUEUE_EDIT, api="3.0")
@idempotent
async def delete_queue(ctx: Context, req: DeleteQueue) -> EmptyResponse:
    """Delete a queue with its items, not the traces. To delete it again is no error."""
    async with ctx.db.write() as tx:
        try:
            queue = await lock_queue(tx, req.queue_id)
        except ApiError:
            return EMPTY_RESPONSE
        await check_owns(ctx, queue, custom_only=True)
        await tx.execute("DELETE FROM review_queues WHERE queue_id = $1", req.queue_id)
        await ctx.audit(tx, "review queue", req.queue_id)
    return EMPTY_RESPONSE
