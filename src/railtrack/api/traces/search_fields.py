"""What filters and orders of traces may name, and the SQL of each name. The language is in search/."""

from railtrack.search.fields import (
    LIST_COMPARATORS,
    NULL_COMPARATORS,
    TEXT_COMPARATORS,
    EntityFields,
    Field,
    SearchFields,
    SortField,
    SortKey,
    ValueType,
)

_TIME = SortKey("trace_info.timestamp_ms", ValueType.BIGINT, descending=True)
_ID = SortKey("trace_info.request_id", ValueType.TEXT)
_DURATION = SortField((SortKey("trace_info.execution_time_ms", ValueType.BIGINT, nullable=True),))
_END = "trace_info.timestamp_ms + trace_info.execution_time_ms"
_END_FIELD = SortField((SortKey(_END, ValueType.BIGINT, nullable=True),))
_OF_RUN = (
    "EXISTS (SELECT 1 FROM ("
    "SELECT m.value AS run_id FROM trace_request_metadata m "
    "WHERE m.request_id = trace_info.request_id AND m.key = 'mlflow.sourceRun' "
    "UNION ALL SELECT a.destination_id FROM entity_associations a "
    "WHERE a.source_type = 'trace' AND a.source_id = trace_info.request_id AND a.destination_type = 'run'"
    ") x WHERE {test})"
)
"""A trace belongs to the run that it was logged in, and to those that it was linked to."""
_ATTRIBUTES = EntityFields(
    name="attribute",
    fields={
        "request_id": Field("trace_info.request_id", accepts_lists=True),
        "client_request_id": Field("trace_info.client_request_id", accepts_lists=True),
        "run_id": Field("x.run_id", condition=_OF_RUN, accepts_lists=True),
        "name": Field("trace_info.trace_name", accepts_lists=True),
        "status": Field("trace_info.status", accepts_lists=True),
        "timestamp": Field("trace_info.timestamp_ms", ValueType.BIGINT),
        "timestamp_ms": Field("trace_info.timestamp_ms", ValueType.BIGINT),
        "execution_time": Field("trace_info.execution_time_ms", ValueType.BIGINT),
        "execution_time_ms": Field("trace_info.execution_time_ms", ValueType.BIGINT),
        "end_time": Field(_END, ValueType.BIGINT),
        "end_time_ms": Field(_END, ValueType.BIGINT),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS + NULL_COMPARATORS,
    sort_fields={
        "request_id": SortField((_ID,)),
        "name": SortField((SortKey("trace_info.trace_name", ValueType.TEXT, nullable=True),)),
        "status": SortField((SortKey("trace_info.status", ValueType.TEXT),)),
        "timestamp": SortField((_TIME,)),
        "timestamp_ms": SortField((_TIME,)),
        "execution_time": _DURATION,
        "execution_time_ms": _DURATION,
        "end_time": _END_FIELD,
        "end_time_ms": _END_FIELD,
        "experiment_id": SortField((SortKey("trace_info.experiment_id", ValueType.BIGINT),)),
    },
)


def _texts(name: str, table: str) -> EntityFields:
    return EntityFields(
        name=name,
        any_field=Field(
            "x.value",
            condition=f"EXISTS (SELECT 1 FROM {table} x "  # noqa: S608 (our own text)
            "WHERE x.request_id = trace_info.request_id AND x.key = {key} AND {test})",
        ),
        comparators=TEXT_COMPARATORS + NULL_COMPARATORS,
        text_expected=f"Expected a quoted string value for {name} (e.g. 'my-value'). Got value {{value}}",
    )


_TAGS = _texts("tag", "trace_tags")
_METADATA = _texts("request_metadata", "trace_request_metadata")
TRACES = SearchFields(
    table="trace_info",
    entities={
        "": _ATTRIBUTES,
        "attribute": _ATTRIBUTES,
        "attributes": _ATTRIBUTES,
        "trace": _ATTRIBUTES,
        "tag": _TAGS,
        "tags": _TAGS,
        "metadata": _METADATA,
        "request_metadata": _METADATA,
    },
    default_order=(_TIME, _ID),
    unknown_entity="Invalid entity type '{entity}'. Valid entity types are ('attribute', 'tag', 'metadata')",
    null_not_supported="IS NULL / IS NOT NULL is not supported for '{key}'",
    order_not_supported="Invalid order_by entity: {entity}",
    rejects_repeated_order=False,
)
