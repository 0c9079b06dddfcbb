"""The records of an evaluation dataset: upsert, a page of them, delete.

Records travel as JSON in a text, in both directions. Stored JSON is embedded in a page without being parsed.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any
from uuid import uuid4

import msgspec

from railtrack.api.evaluation_datasets.queries import digest_of, lock_dataset
from railtrack.api.evaluation_datasets.schemas import parsed_json, user_of
from railtrack.auth import DATASET_EDIT, DATASET_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.db.retry import idempotent
from railtrack.errors import invalid
from railtrack.mlflow.validation import check_length
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page import rows_within
from railtrack.search.paged_query import Order, PagedQuery
from railtrack.wire.request import Int32, Request, RequiredStr
from railtrack.wire.response import BytesResponse, Response, hold_for_response
from railtrack.wire.routing import endpoint
from railtrack.wire.turns import in_turn

DEFAULT_RESULTS = 1000
MAX_RESULTS = 50_000
"""Longer pages end there, as other long ones after PAGE_BYTES."""
PAGE_BYTES = 2 * 1024 * 1024
"""About the bytes of the records of a page: after them a page ends early, and clients ask for the next one."""
PAGE_FACTOR = 4
"""Memory of a page for each byte of its records: as rows, joined, escaped and in the body."""
ROWS_AT_ONCE = 500
DELETED_LIMIT = 10_000
SOURCE_TYPES = ("UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE")
SOURCE_ID_LIMIT = 36
WRAPPED = "mlflow_wrapped"
"""MLflow stores outputs, which need not be objects, as the member of an object."""
WRAPPER = f'{{"{WRAPPED}": '
NOT_FOUND = "Evaluation dataset with id '{}' not found"


class UpsertRecords(Request):
    dataset_id: RequiredStr
    records: RequiredStr


class UpsertRecordsResponse(msgspec.Struct):
    inserted_count: int
    updated_count: int


class Record(msgspec.Struct):
    """A record to insert or to update, with the changes of a request."""

    record_id: str
    is_new: bool
    inputs: str
    expectations: dict[str, Any] | None = None
    tags: dict[str, Any] | None = None
    outputs: str | None = None
    source: str | None = None
    source_id: str | None = None
    source_type: str | None = None
    created_by: str | None = None
    last_updated_by: str | None = None


@endpoint("POST", "datasets/{dataset_id}/records", access=DATASET_EDIT, api="3.0")
@idempotent
async def upsert_records(ctx: Context, req: UpsertRecords) -> UpsertRecordsResponse:
    """Insert the records of a request, or update those with the same inputs: expectations and tags are merged.

    Update also the schema of the dataset, its number of records and its digest.
    """
    sent = await in_turn(_parsed_records, req.records)
    hashes = await in_turn(_hashes, sent)
    now = now_ms()
    async with ctx.db.write() as tx:
        name = await lock_dataset(tx, req.dataset_id, NOT_FOUND)
        records = await _existing(tx, req.dataset_id, list(dict.fromkeys(hashes)))
        inserted = 0
        updated_by = None
        for one, input_hash in zip(sent, hashes, strict=True):
            user = user_of(one.get("tags"))
            updated_by = user or updated_by
            record = records.get(input_hash)
            if record is None:
                records[input_hash] = _new_record(one, user)
                inserted += 1
            else:
                _merge(record, one, user)
        await _store(tx, req.dataset_id, records, now)
        await _update_dataset(tx, req.dataset_id, sent, digest_of(name, now), updated_by, now)
    return UpsertRecordsResponse(inserted, len(sent) - inserted)


def _parsed_records(text: str) -> list[dict[str, Any]]:
    records = parsed_json(text, "records")
    if not isinstance(records, list):
        raise invalid("The value of 'records' must be a JSON array.")
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise invalid(f"records[{number}] must be a JSON object.")
        if not isinstance(record.get("inputs", {}), dict):
            raise invalid(f"records[{number}].inputs must be a JSON object.")
        for member in ("expectations", "tags", "source"):
            if not isinstance(record.get(member), dict | None):
                raise invalid(f"records[{number}].{member} must be a JSON object.")
        _check_storable(record, f"records[{number}]")
    return records


def _check_storable(value: Any, path: str) -> None:
    """Raise for what JSON or PostgreSQL cannot store: NaN, Infinity, NUL characters and lone surrogates."""
    match value:
        case str():
            if "\0" in value or (not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value)):
                raise invalid(f"{path} has a text with a NUL character or a lone surrogate, which cannot be stored.")
        case float() if value != value or value in (float("inf"), float("-inf")):
            raise invalid(f"{path} has a number that is not finite, which JSON cannot express.")
        case list():
            for item in value:
                _check_storable(item, path)
        case dict():
            for key, item in value.items():
                _check_storable(key, path)
                _check_storable(item, path)


def _hashes(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the hash of each record's inputs, by which MLflow finds the record to update."""
    return [sha256(json.dumps(one.get("inputs", {}), sort_keys=True).encode()).hexdigest() for one in records]


async def _existing(tx: Tx, dataset_id: str, hashes: Sequence[str]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for start in range(0, len(hashes), ROWS_AT_ONCE):
        for input_hash, record_id, expectations, tags, outputs, last_updated_by in await tx.fetch(
            "SELECT input_hash, dataset_record_id, expectations, tags, outputs, last_updated_by "
            "FROM evaluation_dataset_records WHERE dataset_id = $1 AND input_hash = ANY($2)",
            dataset_id,
            list(hashes[start : start + ROWS_AT_ONCE]),
        ):
            found[input_hash] = Record(
                record_id,
                is_new=False,
                inputs="{}",
                expectations=json.loads(expectations) if expectations else None,
                tags=json.loads(tags) if tags else None,
                outputs=outputs,
                last_updated_by=last_updated_by,
            )
    return found


def _new_record(sent: dict[str, Any], user: str | None) -> Record:
    record = Record(
        f"dr-{uuid4().hex}",
        is_new=True,
        inputs=json.dumps(sent.get("inputs", {})),
        expectations=sent.get("expectations"),
        tags=sent.get("tags") or {},
        outputs=_wrapped(sent.get("outputs", {})),
        created_by=user,
        last_updated_by=user,
    )
    if source := sent.get("source"):
        source_type, data = _source(source)
        record.source = json.dumps({"source_type": source_type, "source_data": data})
        record.source_type = source_type
        record.source_id = data.get("trace_id" if source_type == "TRACE" else "source_id")
        if not isinstance(record.source_id, str | None):
            raise invalid(f"The id of a record's source must be a text: {json.dumps(record.source_id)[:250]}")
        check_length("source_id", record.source_id or "", SOURCE_ID_LIMIT)
    return record


def _source(source: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    unknown = source.keys() - {"source_type", "source_data"}
    source_type, data = source.get("source_type"), source.get("source_data")
    if unknown or not isinstance(source_type, str) or not isinstance(data, dict | None):
        raise invalid("The source of a record must have 'source_type', a text, may have 'source_data', an object.")
    if source_type.upper() not in SOURCE_TYPES:
        raise invalid(
            f"Invalid dataset record source type: {source_type.upper()[:250]}. Valid source types: {list(SOURCE_TYPES)}"
        )
    return source_type.upper(), data or {}


def _wrapped(outputs: Any) -> str | None:
    return None if outputs is None else json.dumps({WRAPPED: outputs})


def _merge(record: Record, sent: dict[str, Any], user: str | None) -> None:
    """Change a record as MLflow does: outputs are replaced, expectations and tags merged, the source stays."""
    if "outputs" in sent:
        record.outputs = _wrapped(sent["outputs"])
    if expectations := sent.get("expectations"):
        record.expectations = {**(record.expectations or {}), **expectations}
    if tags := sent.get("tags"):
        record.tags = {**(record.tags or {}), **tags}
    record.last_updated_by = user or record.last_updated_by


COLUMNS = {
    "dataset_record_id": "text",
    "dataset_id": "text",
    "input_hash": "text",
    "inputs": "text",
    "expectations": "text",
    "tags": "text",
    "outputs": "text",
    "source": "text",
    "source_id": "text",
    "source_type": "text",
    "created_time": "bigint",
    "created_by": "text",
    "last_updated_by": "text",
}


async def _store(tx: Tx, dataset_id: str, records: dict[str, Record], now: int) -> None:
    # SQLite's CAST to JSON would make a number of the text.
    as_json = tx.per_dialect(postgresql="CAST(r.{0} AS JSON)", sqlite="r.{0}")
    json_columns = ("inputs", "expectations", "tags", "outputs", "source")
    values = ", ".join(as_json.format(name) if name in json_columns else f"r.{name}" for name in COLUMNS)
    insert = (
        f"INSERT INTO evaluation_dataset_records ({', '.join(COLUMNS)}, last_update_time) "  # noqa: S608 (our own text)
        f"SELECT {values}, r.created_time FROM {{rows}} WHERE true"
    )
    changed = ", ".join(f"{name} = {as_json.format(name)}" for name in ("expectations", "tags", "outputs"))
    update = (
        f"UPDATE evaluation_dataset_records SET {changed}, last_update_time = r.created_time, "  # noqa: S608 (our own text)
        "last_updated_by = r.last_updated_by FROM {rows} "
        "WHERE evaluation_dataset_records.dataset_record_id = r.dataset_record_id"
    )
    rows = [
        (
            record.record_id,
            dataset_id,
            input_hash,
            record.inputs,
            json.dumps(record.expectations),
            json.dumps(record.tags),
            record.outputs,
            record.source,
            record.source_id,
            record.source_type,
            now,
            record.created_by,
            record.last_updated_by,
        )
        for input_hash, record in records.items()
    ]
    are_new = [record.is_new for record in records.values()]
    for sql, wanted in ((insert, True), (update, False)):
        chosen = [row for row, is_new in zip(rows, are_new, strict=True) if is_new is wanted]
        for start in range(0, len(chosen), ROWS_AT_ONCE):
            await tx.execute_rows(sql, COLUMNS, chosen[start : start + ROWS_AT_ONCE])


async def _update_dataset(
    tx: Tx, dataset_id: str, sent: Sequence[dict[str, Any]], digest: str, updated_by: str | None, now: int
) -> None:
    stored, number = await _schema_and_number(tx, dataset_id)
    schema = _extended(stored, sent)
    await tx.execute(
        "UPDATE evaluation_datasets SET schema = COALESCE($2, schema), profile = COALESCE($3, profile), digest = $4, "
        "last_updated_by = $5, last_update_time = $6 WHERE dataset_id = $1",
        dataset_id,
        json.dumps(schema) if schema else None,
        json.dumps({"num_records": number}) if number else None,
        digest,
        updated_by,
        now,
    )


async def _schema_and_number(tx: Tx, dataset_id: str) -> tuple[str | None, int]:
    row = await tx.fetch_row(
        "SELECT schema, (SELECT COUNT(*) FROM evaluation_dataset_records WHERE dataset_id = $1) "
        "FROM evaluation_datasets WHERE dataset_id = $1",
        dataset_id,
    )
    assert row is not None, "the dataset is locked"
    return row[0], row[1]


def _extended(stored: str | None, records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the schema with the fields of the records that it does not have yet; None for no records at all."""
    if not records and not stored:
        return None
    schema: dict[str, Any] = (
        json.loads(stored) if stored else {"inputs": {}, "outputs": {}, "expectations": {}, "version": "1.0"}
    )
    for record in records:
        for part in ("inputs", "outputs", "expectations"):
            value = record.get(part)
            if isinstance(value, dict):
                if isinstance(schema[part], dict):
                    for key, member in value.items():
                        schema[part].setdefault(key, _type_name(member))
            elif value is not None and not schema[part]:
                schema[part] = _type_name(value)
    return schema


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "float"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


class GetRecords(Request):
    dataset_id: RequiredStr
    max_results: Int32 = DEFAULT_RESULTS
    page_token: str = ""


class GetRecordsResponse(msgspec.Struct, omit_defaults=True):
    """`records` is a JSON array as text."""

    records: str
    next_page_token: str = ""


SIZE = "500 + 2 * LENGTH(CAST(inputs AS TEXT)) + 2 * LENGTH(COALESCE(CAST(expectations AS TEXT), '')) + 2 * LENGTH(\
COALESCE(CAST(tags AS TEXT), '')) + 2 * LENGTH(COALESCE(CAST(outputs AS TEXT), ''))"
"""About the bytes of a record in a page, where each quote has a backslash."""
PAGE_COLUMNS = """
    dataset_record_id, inputs, expectations, tags, source, source_id, source_type, created_time, last_update_time,
    created_by, last_updated_by, outputs
"""
BY_AGE = Order(
    (),
    (
        SortKey("evaluation_dataset_records.created_time", ValueType.BIGINT, nullable=True),
        SortKey("evaluation_dataset_records.dataset_record_id", ValueType.TEXT),
    ),
)


@endpoint("GET", "datasets/{dataset_id}/records", access=DATASET_READ, api="3.0")
async def get_records(ctx: Context, req: GetRecords) -> Annotated[Response, GetRecordsResponse]:
    """Return a page of records, the oldest first. It ends early after PAGE_BYTES. As in MLflow, 0 is the default."""
    limit = min(req.max_results or DEFAULT_RESULTS, MAX_RESULTS)
    if limit < 1:
        raise invalid(f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer")
    where = ["evaluation_dataset_records.dataset_id = $1"]
    query = PagedQuery(f"dataset_record_id, {SIZE}", "evaluation_dataset_records", where, BY_AGE, [req.dataset_id])
    query = query.starting_at(req.page_token)
    statement = query.page(query.start, limit + 1)
    sized = await ctx.db.fetch(statement.sql, *statement.values)
    number, size = rows_within([row[1] for row in sized[:limit]], PAGE_BYTES)
    await hold_for_response(ctx.http, PAGE_FACTOR * size)
    page = sized[:number]
    token = query.token_after(page[-1][2:]) if number < len(sized) else ""
    rows = {
        row[0]: row
        for row in await ctx.db.fetch(
            f"SELECT {PAGE_COLUMNS} FROM evaluation_dataset_records WHERE dataset_record_id = ANY($1)",  # noqa: S608
            [row[0] for row in page],
        )
    }
    ordered = [rows[row[0]] for row in page if row[0] in rows]
    return BytesResponse(await in_turn(_encoded, req.dataset_id, ordered, token))


def _encoded(dataset_id: str, rows: Sequence[Row], token: str) -> bytes:
    records = f"[{', '.join(_record_json(dataset_id, row) for row in rows)}]"
    return msgspec.json.encode(GetRecordsResponse(records, token))


def _record_json(dataset_id: str, row: Row) -> str:
    """Return a record as MLflow's JSON. NULL and the JSON null are no member."""
    (
        record_id,
        inputs,
        expectations,
        tags,
        source,
        source_id,
        source_type,
        created,
        updated,
        creator,
        updater,
        outputs,
    ) = row
    members = {
        "dataset_record_id": json.dumps(record_id),
        "dataset_id": json.dumps(dataset_id),
        "inputs": inputs,
        "expectations": expectations,
        "tags": tags,
        "source": source,
        "source_id": json.dumps(source_id),
        "source_type": json.dumps(source_type) if source_type else None,
        "created_time": json.dumps(created),
        "last_update_time": json.dumps(updated),
        "created_by": json.dumps(creator),
        "last_updated_by": json.dumps(updater),
        "outputs": _unwrapped(outputs),
    }
    shown = (f'"{name}": {value}' for name, value in members.items() if value is not None and value != "null")
    return f"{{{', '.join(shown)}}}"


def _unwrapped(stored: str | None) -> str | None:
    if stored is None or stored.startswith(WRAPPER):
        return stored and stored[len(WRAPPER) : -1]
    value = json.loads(stored)
    return json.dumps(value.get(WRAPPED)) if isinstance(value, dict) else None


class DeleteRecords(Request):
    dataset_id: RequiredStr
    dataset_record_ids: list[str] = []


class DeleteRecordsResponse(msgspec.Struct):
    deleted_count: int


@endpoint("DELETE", "datasets/{dataset_id}/records", access=DATASET_EDIT, api="3.0")
async def delete_records(ctx: Context, req: DeleteRecords) -> DeleteRecordsResponse:
    """Delete records by their ids. Unknown ids are no error."""
    ids = req.dataset_record_ids
    if len(ids) > DELETED_LIMIT:
        raise invalid(f"A request can delete at most {DELETED_LIMIT} records. Got {len(ids)}.")
    async with ctx.db.write() as tx:
        await tx.fetch(
            "SELECT 1 FROM evaluation_datasets WHERE dataset_id = $1 FOR NO KEY UPDATE", req.dataset_id
        )  # so that of two deletions each counts what the other one left
        deleted = await tx.execute(
            "DELETE FROM evaluation_dataset_records WHERE dataset_id = $1 AND dataset_record_id = ANY($2)",
            req.dataset_id,
            ids,
        )
        if deleted:
            _, number = await _schema_and_number(tx, req.dataset_id)
            await tx.execute(
                "UPDATE evaluation_datasets SET profile = $2 WHERE dataset_id = $1",
                req.dataset_id,
                json.dumps({"num_records": number} if number else None),
            )
            await ctx.audit(tx, "evaluation dataset", req.dataset_id, f"{deleted} records")
    return DeleteRecordsResponse(deleted)
