"""What MLflow 3.17 keeps in columns of traces, spans and assessments, computed from what older versions stored.

Tokens, costs, names and sessions of traces and costs of spans move: the rows that they come from are deleted.
"""

import json
import math
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from railtrack.db import Row, Tx
from railtrack.errors import StartError

BATCH = 250

NAME_TAG, SESSION = "mlflow.traceName", "mlflow.trace.session"
TOKENS, COST = "mlflow.trace.tokenUsage", "mlflow.trace.cost"
GATEWAY = "mlflow.gateway.endpointId"
MODEL, PROVIDER = "mlflow.llm.model", "mlflow.llm.provider"

TOKEN_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
COST_COLUMNS = ("input_cost", "output_cost", "total_cost")
NAME_LIMIT, SESSION_LIMIT, MODEL_LIMIT = 4096, 250, 500
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1
TRUE, FALSE = "yes", "no"

TRACE_COLUMNS = {
    "request_id": "text",
    "trace_name": "text",
    "session_id": "text",
    **dict.fromkeys(TOKEN_COLUMNS, "bigint"),
    **dict.fromkeys(COST_COLUMNS, "double precision"),
}
SPAN_COLUMNS = {
    "trace_id": "text",
    "span_id": "text",
    **dict.fromkeys(COST_COLUMNS, "double precision"),
    "model_name": "text",
    "model_provider": "text",
}


async def convert_traces(tx: Tx, key: str | None) -> str | None:
    """Fill the columns of the next traces, and delete the tags, metadata and metrics that they come from."""
    ids = [
        trace_id
        for (trace_id,) in await tx.fetch(
            "SELECT request_id FROM trace_info WHERE request_id > $1 ORDER BY request_id LIMIT $2", key or "", BATCH
        )
    ]
    if not ids:
        return None
    metadata_keys = [SESSION, TOKENS, COST]
    names = _by_id(
        await tx.fetch(
            "SELECT request_id, key, value FROM trace_tags WHERE request_id = ANY($1) AND key = $2", ids, NAME_TAG
        )
    )
    metadata = _by_id(
        await tx.fetch(
            "SELECT request_id, key, value FROM trace_request_metadata WHERE request_id = ANY($1) AND key = ANY($2)",
            ids,
            metadata_keys,
        )
    )
    metrics = _by_id(
        await tx.fetch(
            "SELECT request_id, key, value FROM trace_metrics WHERE request_id = ANY($1) AND key = ANY($2)",
            ids,
            list(TOKEN_COLUMNS),
        )
    )
    rows = [
        _trace_row(one, names.get(one, {}).get(NAME_TAG), metadata.get(one, {}), metrics.get(one, {})) for one in ids
    ]
    await tx.execute_rows(
        _update("trace_info", TRACE_COLUMNS, ("request_id",)),
        TRACE_COLUMNS,
        [row for row in rows if any(value is not None for value in row[1:])],
    )
    await tx.execute("DELETE FROM trace_tags WHERE request_id = ANY($1) AND key = $2", ids, NAME_TAG)
    await tx.execute(
        "DELETE FROM trace_request_metadata WHERE request_id = ANY($1) AND key = ANY($2)", ids, metadata_keys
    )
    await tx.execute("DELETE FROM trace_metrics WHERE request_id = ANY($1) AND key = ANY($2)", ids, list(TOKEN_COLUMNS))
    return str(ids[-1])


def _by_id(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one, key, value in rows:
        found.setdefault(one, {})[key] = value
    return found


def _trace_row(trace_id: str, name: str | None, metadata: dict[str, Any], metrics: dict[str, Any]) -> list[Any]:
    tokens, costs = _json_object(metadata.get(TOKENS)), _json_object(metadata.get(COST))
    return [
        trace_id,
        _shortened(name, NAME_LIMIT),
        _shortened(metadata.get(SESSION), SESSION_LIMIT),
        *(_count(metrics[column] if column in metrics else tokens.get(column)) for column in TOKEN_COLUMNS),
        *(_number(costs.get(column)) for column in COST_COLUMNS),
    ]


async def convert_spans(tx: Tx, key: tuple[str, str] | None) -> tuple[str, str] | None:
    """Fill the columns of the next spans that have costs or a model, and delete the metrics of costs."""
    trace_id, span_id = key or ("", "")
    has_dimensions = await _has_dimensions(tx)
    spans = await tx.fetch(
        f"""
        SELECT trace_id, span_id, {"CAST(dimension_attributes AS text)" if has_dimensions else "NULL"} FROM spans
        WHERE trace_id > $1 OR (trace_id = $1 AND span_id > $2) ORDER BY trace_id, span_id LIMIT $3
        """,  # noqa: S608 (constants)
        trace_id,
        span_id,
        BATCH,
    )
    if not spans:
        return None
    trace_ids = sorted({trace for trace, _, _ in spans})
    costs: dict[tuple[str, str], dict[str, Any]] = {}
    for trace, span, name, value in await tx.fetch(
        "SELECT trace_id, span_id, key, value FROM span_metrics WHERE trace_id = ANY($1) AND key = ANY($2)",
        trace_ids,
        list(COST_COLUMNS),
    ):
        costs.setdefault((trace, span), {})[name] = value
    rows = []
    for trace, span, dimensions in spans:
        of_span = costs.get((trace, span), {})
        model, provider = model_of(dimensions, trace, span)
        row = [trace, span, *(_number(of_span.get(column)) for column in COST_COLUMNS), model, provider]
        if any(value is not None for value in row[2:]):
            rows.append(row)
    await tx.execute_rows(_update("spans", SPAN_COLUMNS, ("trace_id", "span_id")), SPAN_COLUMNS, rows)
    last = (spans[-1][0], spans[-1][1])
    await tx.execute(
        """
        DELETE FROM span_metrics WHERE key = ANY($1) AND trace_id = ANY($2)
          AND (trace_id > $3 OR (trace_id = $3 AND span_id > $4))
          AND (trace_id < $5 OR (trace_id = $5 AND span_id <= $6))
        """,
        list(COST_COLUMNS),
        trace_ids,
        trace_id,
        span_id,
        *last,
    )
    return last


async def _has_dimensions(tx: Tx) -> bool:
    """Return False for a table of spans from before or after the versions that had this column."""
    return bool(
        await tx.fetch_value(
            tx.per_dialect(
                # The engines' catalogues have nothing in common.
                postgresql="""
                    SELECT 1 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                    WHERE pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = 'spans'
                      AND CAST(a.attname AS text) = 'dimension_attributes' AND NOT a.attisdropped
                """,
                sqlite="SELECT 1 FROM pragma_table_info('spans') WHERE name = 'dimension_attributes'",
            )
        )
    )


def model_of(dimensions: str | None, trace_id: str, span_id: str) -> tuple[str | None, str | None]:
    """Return model and provider from a span's attributes. Raise StartError for others, which would be lost."""
    try:
        value = json.loads(dimensions) if dimensions is not None else None
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        value = dimensions
    if value is None:
        return None, None
    if (
        not isinstance(value, dict)
        or not value.keys() <= {MODEL, PROVIDER}
        or not all(one is None or isinstance(one, str) for one in value.values())
    ):
        raise StartError(
            f"The span {span_id} of the trace {trace_id} has dimension_attributes that have no column in the new "
            f"schema: {str(dimensions)[:200]}.",
            "MLflow's upgrade stops there, too. Set them to NULL in the table spans if you do not need them.",
        )
    return _shortened(value.get(MODEL), MODEL_LIMIT), _shortened(value.get(PROVIDER), MODEL_LIMIT)


async def sum_gateway_costs(tx: Tx, _key: None) -> None:
    """Set the total cost of traces of MLflow's gateway to that of their spans."""
    total = "(SELECT sum(s.total_cost) FROM spans s WHERE s.trace_id = trace_info.request_id)"
    await tx.execute(
        f"""
        UPDATE trace_info SET total_cost = {total}
        WHERE total_cost IS NULL AND {total} IS NOT NULL AND EXISTS (
            SELECT 1 FROM trace_request_metadata m WHERE m.request_id = trace_info.request_id AND m.key = $1
        )
        """,  # noqa: S608 (constants)
        GATEWAY,
    )


async def convert_assessments(tx: Tx, key: str | None) -> str | None:
    """Fill the columns of the next assessments: experiment and time of the trace, and a value that can be averaged."""
    rows = await tx.fetch(
        """
        SELECT a.assessment_id, a.value, t.experiment_id, t.timestamp_ms
        FROM assessments a JOIN trace_info t ON t.request_id = a.trace_id
        WHERE a.assessment_id > $1 ORDER BY a.assessment_id LIMIT $2
        """,
        key or "",
        BATCH,
    )
    if not rows:
        return None
    columns = {
        "assessment_id": "text",
        "experiment_id": "bigint",
        "trace_timestamp_ms": "bigint",
        "aggregate_value": "double precision",
        "is_numeric_value": "boolean",
    }
    values = [[one, experiment, time_ms, *aggregate_of(value)] for one, value, experiment, time_ms in rows]
    await tx.execute_rows(_update("assessments", columns, ("assessment_id",)), columns, values)
    return str(rows[-1][0])


def aggregate_of(text: str) -> tuple[float | None, bool]:
    """Return the number that an assessment counts as, and whether it is a number: yes and true count as 1."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, bool):
        return float(value), False
    if isinstance(value, (int, float)):
        number = _number(value)
        return number, number is not None
    if isinstance(value, str):
        return {TRUE: 1.0, FALSE: 0.0}.get(value.strip().lower()), False
    return None, False


def _update(table: str, columns: Iterable[str], key: tuple[str, ...]) -> str:
    """Return the UPDATE of many rows. A value that is NULL leaves what an interrupted upgrade has stored."""
    changes = ", ".join(f"{name} = coalesce(r.{name}, {table}.{name})" for name in columns if name not in key)
    same = " AND ".join(f"{table}.{name} = r.{name}" for name in key)
    return f"UPDATE {table} SET {changes} FROM {{rows}} WHERE {same}"  # noqa: S608 (constants)


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _shortened(text: str | None, limit: int) -> str | None:
    return text[:limit] if text is not None else None


def _count(value: Any) -> int | None:
    """Return a number of tokens: whole, and one that the column can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
        # The range is checked first: 1e999999999 has more digits than there is memory.
        return int(number) if MIN_INT64 <= number <= MAX_INT64 and number == number.to_integral_value() else None
    except (InvalidOperation, ValueError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    """Return a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
