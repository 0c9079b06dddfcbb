"""What filters and orders of runs may name, and the SQL of each name. The language is in search/."""

from railtrack.search.fields import (
    LIST_COMPARATORS,
    NULL_COMPARATORS,
    TEXT_COMPARATORS,
    EntityFields,
    Field,
    SearchFields,
    SortField,
    SortKey,
    TopValues,
    ValueType,
)

_INVALID_COMPARATOR = "Invalid comparator '{comparator}' not one of '{valid}"
"""MLflow leaves the closing quote out for some entities only."""

_JOIN_TOP = "JOIN top {alias} ON {alias}.run_uuid = runs.run_uuid"

_START_TIME = SortField((SortKey("runs.start_time", ValueType.BIGINT, nullable=True),))
_RUN_NAME = Field(
    "x.value",
    # MLflow filters by the tag, not by the column, which runs of its old versions lack.
    condition="EXISTS (SELECT 1 FROM tags x WHERE x.run_uuid = runs.run_uuid AND x.key = 'mlflow.runName' AND {test})",
)
_ATTRIBUTES = EntityFields(
    name="attribute",
    fields={
        "run_id": Field("runs.run_uuid", accepts_lists=True),
        "run_name": _RUN_NAME,
        "run name": _RUN_NAME,
        "Run name": _RUN_NAME,
        "Run Name": _RUN_NAME,
        "status": Field("runs.status"),
        "user_id": Field("runs.user_id"),
        "artifact_uri": Field("runs.artifact_uri"),
        "start_time": Field("runs.start_time", ValueType.BIGINT),
        "created": Field("runs.start_time", ValueType.BIGINT),
        "Created": Field("runs.start_time", ValueType.BIGINT),
        "end_time": Field("runs.end_time", ValueType.BIGINT),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sort_fields={
        "run_id": SortField((SortKey("runs.run_uuid", ValueType.TEXT),)),
        "run_name": SortField((SortKey("runs.name", ValueType.TEXT, nullable=True),)),
        "status": SortField((SortKey("runs.status", ValueType.TEXT, nullable=True),)),
        "user_id": SortField((SortKey("runs.user_id", ValueType.TEXT, nullable=True),)),
        "artifact_uri": SortField((SortKey("runs.artifact_uri", ValueType.TEXT, nullable=True),)),
        "start_time": _START_TIME,
        "created": _START_TIME,
        "Created": _START_TIME,
        "end_time": SortField((SortKey("runs.end_time", ValueType.BIGINT, nullable=True),)),
    },
)
_METRICS = EntityFields(
    name="metric",
    any_field=Field(
        "x.value",
        ValueType.DOUBLE,
        condition="EXISTS (SELECT 1 FROM latest_metrics x "
        "WHERE x.run_uuid = runs.run_uuid AND x.key = {key} AND {test})",
        is_nan="x.is_nan",
    ),
    any_sort_field=SortField(
        (
            # Numbers, then NaN, then runs without the metric, in both directions.
            SortKey(
                "CASE WHEN {alias}.is_nan THEN 1 WHEN {alias}.value IS NULL THEN 2 ELSE 0 END",
                ValueType.BIGINT,
                ignores_direction=True,
            ),
            SortKey("{alias}.value", ValueType.DOUBLE, nullable=True),
        ),
        "LEFT JOIN latest_metrics {alias} ON {alias}.run_uuid = runs.run_uuid AND {alias}.key = {key}",
        TopValues(
            "SELECT {alias}.run_uuid, {alias}.value, {alias}.is_nan FROM latest_metrics {alias} "
            "WHERE {alias}.key = {key} AND NOT {alias}.is_nan",
            _JOIN_TOP,
        ),
    ),
    shares_joins=True,
    number_expected="Expected numeric value type for metric. Found {value}",
    invalid_comparator=_INVALID_COMPARATOR,
)
_PARAMS = EntityFields(
    name="parameter",
    any_field=Field(
        "x.value",
        condition="EXISTS (SELECT 1 FROM params x WHERE x.run_uuid = runs.run_uuid AND x.key = {key} AND {test})",
    ),
    any_sort_field=SortField(
        (SortKey("{alias}.value", ValueType.TEXT, nullable=True),),
        "LEFT JOIN params {alias} ON {alias}.run_uuid = runs.run_uuid AND {alias}.key = {key}",
        TopValues(
            "SELECT {alias}.run_uuid, {alias}.value FROM params {alias} WHERE {alias}.key = {key}",
            _JOIN_TOP,
        ),
    ),
    shares_joins=True,
    comparators=TEXT_COMPARATORS + NULL_COMPARATORS,
    text_expected="Expected a quoted string value for parameter (e.g. 'my-value'). Got value {value}",
)
_TAGS = EntityFields(
    name="tag",
    any_field=Field(
        "x.value",
        condition="EXISTS (SELECT 1 FROM tags x WHERE x.run_uuid = runs.run_uuid AND x.key = {key} AND {test})",
    ),
    any_sort_field=SortField(
        (SortKey("{alias}.value", ValueType.TEXT, nullable=True),),
        "LEFT JOIN tags {alias} ON {alias}.run_uuid = runs.run_uuid AND {alias}.key = {key}",
        TopValues(
            "SELECT {alias}.run_uuid, {alias}.value FROM tags {alias} "
            "WHERE {alias}.key = {key} AND {alias}.value IS NOT NULL",
            _JOIN_TOP,
        ),
    ),
    shares_joins=True,
    comparators=TEXT_COMPARATORS + NULL_COMPARATORS,
    text_expected="Expected a quoted string value for tag (e.g. 'my-value'). Got value {value}",
    invalid_comparator=_INVALID_COMPARATOR,
)

_IN_DATASETS = (
    "EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id "
    "WHERE i.destination_id = runs.run_uuid AND i.destination_type = 'RUN' AND i.source_type = 'DATASET' "
    "AND {test})"
)
_IN_CONTEXTS = (
    "EXISTS (SELECT 1 FROM inputs i JOIN input_tags t ON t.input_uuid = i.input_uuid "
    "WHERE i.destination_id = runs.run_uuid AND i.destination_type = 'RUN' AND i.source_type = 'DATASET' "
    "AND t.name = 'mlflow.data.context' AND {test})"
)
_DATASETS = EntityFields(
    name="dataset",
    fields={
        "name": Field("d.name", condition=_IN_DATASETS, accepts_lists=True),
        "digest": Field("d.digest", condition=_IN_DATASETS, accepts_lists=True),
        "context": Field("t.value", condition=_IN_CONTEXTS, accepts_lists=True),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    unknown_key="Invalid dataset key '{key}' specified. Valid keys are '{valid}'",
    text_expected="Expected a quoted string value for dataset attributes. Got value {value}",
    invalid_comparator=_INVALID_COMPARATOR,
)

RUNS = SearchFields(
    table="runs",
    entities={
        **dict.fromkeys(("", "attribute", "attributes", "attr", "run"), _ATTRIBUTES),
        **dict.fromkeys(("metric", "metrics"), _METRICS),
        **dict.fromkeys(("param", "params", "parameter", "parameters"), _PARAMS),
        **dict.fromkeys(("tag", "tags"), _TAGS),
        **dict.fromkeys(("dataset", "datasets"), _DATASETS),
    },
    default_order=(
        SortKey("runs.start_time", ValueType.BIGINT, descending=True, nullable=True),
        SortKey("runs.run_uuid", ValueType.TEXT),
    ),
    unknown_entity="Invalid entity type '{entity}'. Valid values are "
    "['metric', 'parameter', 'tag', 'attribute', 'dataset']",
    null_not_supported="IS NULL / IS NOT NULL is only supported for tags and params, not for '{entity}' '{key}'",
    order_not_supported="Invalid identifier type '{entity}'",
)
