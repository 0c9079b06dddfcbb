"""Create, get, list, update and delete label schemas."""

from functools import partial
from typing import Annotated
from uuid import uuid4

import msgspec

from railtrack.api.experiments.queries import no_such_experiment
from railtrack.api.label_schemas.schemas import (
    COLUMNS,
    DEFAULT_INSTRUCTION,
    DEFAULT_NAME,
    LabelSchema,
    LabelSchemaInput,
    LabelSchemaType,
    Text,
    check_fields,
    config_of,
    from_row,
    kind_and_input,
    stored_input,
)
from railtrack.auth import EXPERIMENT_READ, LABEL_SCHEMA_CREATE, LABEL_SCHEMA_EDIT, LABEL_SCHEMA_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Row, Tx, UniqueViolation
from railtrack.db.retry import idempotent
from railtrack.db.sql import bind
from railtrack.errors import SEE_DOCS, ApiError, exists, invalid, not_found
from railtrack.mlflow.ids import experiment_number
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page import fetch_page
from railtrack.search.paged_query import Order, PagedQuery
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse, Response
from railtrack.wire.routing import endpoint

DEFAULT_RESULTS = 100
MAX_RESULTS = 50_000
NEWEST_FIRST = Order(
    (),
    (
        SortKey("label_schemas.created_time", ValueType.BIGINT, descending=True),
        SortKey("label_schemas.schema_id", ValueType.TEXT),
    ),
)


class LabelSchemaResponse(msgspec.Struct):
    label_schema: LabelSchema


class CreateLabelSchema(Request):
    experiment_id: RequiredStr
    name: RequiredStr
    type: LabelSchemaType | None = None
    input: LabelSchemaInput | None = None
    instruction: str | None = None
    enable_comment: bool = False


@endpoint("POST", "label-schemas/create", access=LABEL_SCHEMA_CREATE, api="3.0")
async def create_label_schema(ctx: Context, req: CreateLabelSchema) -> LabelSchemaResponse:
    """Create a label schema. Its name is unique in its experiment."""
    if req.type is None:
        raise invalid("Label schema `type` is required: FEEDBACK or EXPECTATION.")
    kind, value = kind_and_input(req.input)
    check_fields(req.name, req.instruction)
    number, schema_id = experiment_number(req.experiment_id), f"ls-{uuid4().hex}"
    try:
        async with ctx.db.write() as tx:
            await _check_experiment(tx, number)
            await _insert(
                tx,
                schema_id,
                number,
                req.name,
                req.type.value.lower(),
                kind,
                config_of(kind, value),
                instruction=req.instruction,
                enable_comment=req.enable_comment,
            )
            tx.set_commit_check("SELECT 1 FROM label_schemas WHERE schema_id = $1", schema_id)
            return LabelSchemaResponse(await _load(tx, schema_id))
    except UniqueViolation as error:
        raise _name_taken(req.name, number) from error


async def _insert(
    tx: Tx,
    schema_id: str,
    number: int,
    name: str,
    kind: str,
    input_type: str,
    config: str,
    *,
    instruction: str | None,
    enable_comment: bool = False,
    is_default: bool = False,
) -> None:
    await tx.execute(
        *bind(
            """
            INSERT INTO label_schemas (schema_id, experiment_id, name, type, instruction, enable_comment, input_type,
                input_config, created_time, last_update_time, is_default)
            VALUES (:schema_id, :number, :name, :kind, :instruction, :enable_comment, :input_type, :config, :now, :now,
                :is_default)
            """,
            schema_id=schema_id,
            number=number,
            name=name,
            kind=kind,
            instruction=instruction,
            enable_comment=enable_comment,
            input_type=input_type,
            config=config,
            now=now_ms(),
            is_default=is_default,
        )
    )


async def _check_experiment(tx: Tx, number: int) -> None:
    if not await tx.fetch_value("SELECT 1 FROM experiments WHERE experiment_id = $1", number):
        raise no_such_experiment(number)


def _name_taken(name: str, number: int) -> ApiError:
    return exists(f"Label schema with name '{name[:250]}' already exists for experiment '{number}'.")


def _no_such_schema(schema_id: str) -> ApiError:
    return not_found(f"Label schema with id '{schema_id[:250]}' not found.")


async def _load(tx: Tx, schema_id: str) -> LabelSchema:
    row = await tx.fetch_row(f"SELECT {COLUMNS} FROM label_schemas WHERE schema_id = $1", schema_id)  # noqa: S608 (our own text)
    if row is None:
        raise _no_such_schema(schema_id)
    return from_row(row)


class GetLabelSchema(Request):
    schema_id: RequiredStr


@endpoint("GET", "label-schemas/get", access=LABEL_SCHEMA_READ, api="3.0")
async def get_label_schema(ctx: Context, req: GetLabelSchema) -> LabelSchemaResponse:
    """Return a label schema by its id."""
    return LabelSchemaResponse(await _load(ctx.db, req.schema_id))


class GetLabelSchemaByName(Request):
    experiment_id: RequiredStr
    name: RequiredStr


@endpoint("GET", "label-schemas/get-by-name", access=EXPERIMENT_READ, api="3.0")
async def get_label_schema_by_name(ctx: Context, req: GetLabelSchemaByName) -> LabelSchemaResponse:
    """Return a label schema of an experiment by its name."""
    number = experiment_number(req.experiment_id)
    async with ctx.db.read() as tx:
        await _check_experiment(tx, number)
        row = await tx.fetch_row(
            f"SELECT {COLUMNS} FROM label_schemas WHERE experiment_id = $1 AND name = $2",  # noqa: S608 (our own text)
            number,
            req.name,
        )
    if row is None:
        raise not_found(f"Label schema with name '{req.name[:250]}' not found for experiment '{number}'.")
    return LabelSchemaResponse(from_row(row))


class ListLabelSchemas(Request):
    experiment_id: RequiredStr
    max_results: Int32 = DEFAULT_RESULTS
    page_token: str = ""


class ListLabelSchemasResponse(msgspec.Struct):
    label_schemas: list[LabelSchema] = []
    next_page_token: str = ""


@endpoint("GET", "label-schemas/list", access=EXPERIMENT_READ, api="3.0", is_read=False)
async def list_label_schemas(ctx: Context, req: ListLabelSchemas) -> Annotated[Response, ListLabelSchemasResponse]:
    """Return a page of the label schemas of an experiment, the newest first. The first list creates the default one."""
    if not 1 <= req.max_results <= MAX_RESULTS:
        raise invalid(f"max_results must be between 1 and {MAX_RESULTS}. {SEE_DOCS}")
    number = experiment_number(req.experiment_id)
    where = ["label_schemas.experiment_id = $1"]
    query = PagedQuery(COLUMNS, "label_schemas", where, NEWEST_FIRST, [number]).starting_at(req.page_token)
    await _ensure_default(ctx, number)
    chunks = fetch_page(ctx.db.fetch, query, req.max_results)
    return await list_response(ctx.http, ListLabelSchemasResponse, chunks, req.max_results, partial(_schemas))


async def _schemas(rows: list[Row]) -> list[LabelSchema]:
    return [from_row(row) for row in rows]


async def _ensure_default(ctx: Context, number: int) -> None:
    stored = "SELECT 1 FROM label_schemas WHERE experiment_id = $1 AND is_default = TRUE"
    if await ctx.db.fetch_value(stored, number):
        return
    try:
        async with ctx.db.write() as tx:
            await _check_experiment(tx, number)
            if not await tx.fetch_value(stored, number):
                config = config_of("text", Text())
                schema_id = f"ls-{uuid4().hex}"
                await _insert(
                    tx,
                    schema_id,
                    number,
                    DEFAULT_NAME,
                    "feedback",
                    "text",
                    config,
                    instruction=DEFAULT_INSTRUCTION,
                    is_default=True,
                )
                tx.set_commit_check("SELECT 1 FROM label_schemas WHERE schema_id = $1", schema_id)
    except UniqueViolation:
        pass  # another request has just created it, or an older server one of its name


class UpdateLabelSchema(Request):
    schema_id: RequiredStr
    name: str | None = None
    instruction: str | None = None
    enable_comment: bool | None = None
    input: LabelSchemaInput | None = None


@endpoint("PATCH", "label-schemas/update", access=LABEL_SCHEMA_EDIT, api="3.0")
@idempotent
async def update_label_schema(ctx: Context, req: UpdateLabelSchema) -> LabelSchemaResponse:
    """Update the fields that the request has. The kind of input is fixed, and so is the default schema."""
    kind, value = kind_and_input(req.input) if req.input is not None else ("", None)
    number = 0
    try:
        async with ctx.db.write() as tx:
            row = await tx.fetch_row(
                "SELECT experiment_id, is_default, input_type, input_config, name FROM label_schemas "
                "WHERE schema_id = $1 FOR NO KEY UPDATE",
                req.schema_id,
            )
            if row is None:
                raise _no_such_schema(req.schema_id)
            number, is_default, stored_kind, stored_config, name = row
            if is_default:
                raise invalid("The experiment's default question cannot be edited.")
            check_fields(None if req.name == name else req.name, req.instruction)
            if value is not None:
                if kind != stored_kind:
                    raise invalid(
                        "A label schema's input type cannot be changed after creation "
                        f"(existing: {stored_kind}, got: {kind})."
                    )
                stored = stored_input(stored_kind, stored_config).categorical
                if stored is not None and stored.multi_select != getattr(value, "multi_select", None):
                    raise invalid("A label schema's `multi_select` cannot be changed after creation.")
            await tx.execute(
                *bind(
                    """
                    UPDATE label_schemas SET name = COALESCE(:name, name),
                        instruction = COALESCE(:instruction, instruction),
                        enable_comment = COALESCE(:enable_comment, enable_comment),
                        input_config = COALESCE(:config, input_config), last_update_time = :now
                    WHERE schema_id = :schema_id
                    """,
                    schema_id=req.schema_id,
                    name=req.name,
                    instruction=req.instruction,
                    enable_comment=req.enable_comment,
                    config=config_of(kind, value) if value is not None else None,
                    now=now_ms(),
                )
            )
            return LabelSchemaResponse(await _load(tx, req.schema_id))
    except UniqueViolation as error:
        raise _name_taken(req.name or "", number) from error


class DeleteLabelSchema(Request):
    QUERY_WITHOUT_BODY = True

    schema_id: RequiredStr


@endpoint("DELETE", "label-schemas/delete", access=LABEL_SCHEMA_EDIT, api="3.0")
@idempotent
async def delete_label_schema(ctx: Context, req: DeleteLabelSchema) -> EmptyResponse:
    """Delete a label schema, also from review queues. To delete it again is no error; the default one stays."""
    async with ctx.db.write() as tx:
        is_default = await tx.fetch_value(
            "SELECT is_default FROM label_schemas WHERE schema_id = $1 FOR NO KEY UPDATE", req.schema_id
        )
        if is_default:
            raise invalid("The experiment's default question cannot be deleted.")
        await tx.execute("DELETE FROM review_queue_label_schemas WHERE schema_id = $1", req.schema_id)
        if await tx.execute("DELETE FROM label_schemas WHERE schema_id = $1", req.schema_id):
            await ctx.audit(tx, "label schema", req.schema_id)
    return EMPTY_RESPONSE
