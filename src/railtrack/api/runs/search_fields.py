"""What filters and orders of runs may name, and the SQL that each name stands for. The language is in search/."""

from railtrack.search.fields import (
    LIST_COMPARATORS,
    NULL_COMPARATORS,
    TEXT_COMPARATORS,
    Best,
    Entity,
    Field,
    Sort,
    Term,
    Values,
    Vocabulary,
)

_BAD_COMPARATOR = "Invalid comparator '{comparator}' not one of '{valid}"
"""MLflow forgets the closing quote for some entities, and not for others."""

_JOIN_BEST = "JOIN best {alias} ON {alias}.run_uuid = runs.run_uuid"

_START_TIME = Sort((Term("runs.start_time", Values.BIGINT, nullable=True),))
_RUN_NAME = Field(
    "x.value",
    # MLflow filters by the tag, not by the column, which runs of its old versions lack.
    rows="EXISTS (SELECT 1 FROM tags x WHERE x.run_uuid = runs.run_uuid AND x.key = 'mlflow.runName' AND {test})",
)
_ATTRIBUTES = Entity(
    name="attribute",
    fields={
        "run_id": Field("runs.run_uuid", lists=True),
        "run_name": _RUN_NAME,
        "run name": _RUN_NAME,
        "Run name": _RUN_NAME,
        "Run Name": _RUN_NAME,
        "status": Field("runs.status"),
        "user_id": Field("runs.user_id"),
        "artifact_uri": Field("runs.artifact_uri"),
        "start_time": Field("runs.start_time", Values.BIGINT),
        "created": Field("runs.start_time", Values.BIGINT),
        "Created": Field("runs.start_time", Values.BIGINT),
        "end_time": Field("runs.end_time", Values.BIGINT),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sorts={
        "run_id": Sort((Term("runs.run_uuid", Values.TEXT),)),
        "run_name": Sort((Term("runs.name", Values.TEXT, nullable=True),)),
        "status": Sort((Term("runs.status", Values.TEXT, nullable=True),)),
        "user_id": Sort((Term("runs.user_id", Values.TEXT, nullable=True),)),
        "artifact_uri": Sort((Term("runs.artifact_uri", Values.TEXT, nullable=True),)),
        "start_time": _START_TIME,
        "created": _START_TIME,
        "Created": _START_TIME,
        "end_time": Sort((Term("runs.end_time", Values.BIGINT, nullable=True),)),
    },
)
_METRICS = Entity(
    name="metric",
    any_field=Field(
        "x.value",
        Values.DOUBLE,
        rows="EXISTS (SELECT 1 FROM latest_metrics x WHERE x.run_uuid = runs.run_uuid AND x.key = {key} AND {test})",
        is_nan="x.is_nan",
    ),
    any_sort=Sort(
        (
            # Numbers, then what is not a number, then runs without the metric, whichever way the numbers go.
            Term(
                "CASE WHEN {alias}.is_nan THEN 1 WHEN {alias}.value IS NULL THEN 2 ELSE 0 END",
                Values.BIGINT,
                fixed=True,
            ),
            Term("{alias}.value", Values.DOUBLE, nullable=True),
        ),
        "LEFT JOIN latest_metrics {alias} ON {alias}.run_uuid = runs.run_uuid AND {alias}.key = {key}",
        Best(
            "SELECT {alias}.run_uuid, {alias}.value, {alias}.is_nan FROM latest_metrics {alias} "
            "WHERE {alias}.key = {key} AND NOT {alias}.is_nan",
            _JOIN_BEST,
        ),
    ),
    sorts_tested_rows=True,
    number_wanted="Expected numeric value type for metric. Found {value}",
    bad_comparator=_BAD_COMPARATOR,
)
_PARAMS = Entity(
    name="parameter",
    any_field=Field(
        "x.value",
        rows="EXISTS (SELECT 1 FROM params x WHERE x.run_uuid = runs.run_uuid AND x.key = {key} AND {test})",
    ),
    any_sort=Sort(
        (Term("{alias}.value", Values.TEXT, nullable=True),),
        "LEFT JOIN params {alias} ON {alias}.run_uuid = runs.run_uuid AND {alias}.key = {key}",
        Best(
            "SELECT {alias}.run_uuid, {alias}.value FROM params {alias} WHERE {alias}.key = {key}",
            _JOIN_BEST,
        ),
    ),
    sorts_tested_rows=True,
    comparators=TEXT_COMPARATORS + NULL_COMPARATORS,
    text_wanted="Expected a quoted string value for parameter (e.g. 'my-value'). Got value {value}",
)
_TAGS = Entity(
    name="tag",
    any_field=Field(
        "x.value",
        rows="EXISTS (SELECT 1 FROM tags x WHERE x.run_uuid = runs.run_uuid AND x.key = {key} AND {test})",
    ),
    any_sort=Sort(
        (Term("{alias}.value", Values.TEXT, nullable=True),),
        "LEFT JOIN tags {alias} ON {alias}.run_uuid = runs.run_uuid AND {alias}.key = {key}",
        Best(
            "SELECT {alias}.run_uuid, {alias}.value FROM tags {alias} "
            "WHERE {alias}.key = {key} AND {alias}.value IS NOT NULL",
            _JOIN_BEST,
        ),
    ),
    sorts_tested_rows=True,
    comparators=TEXT_COMPARATORS + NULL_COMPARATORS,
    text_wanted="Expected a quoted string value for tag (e.g. 'my-value'). Got value {value}",
    bad_comparator=_BAD_COMPARATOR,
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
_DATASETS = Entity(
    name="dataset",
    fields={
        "name": Field("d.name", rows=_IN_DATASETS, lists=True),
        "digest": Field("d.digest", rows=_IN_DATASETS, lists=True),
        "context": Field("t.value", rows=_IN_CONTEXTS, lists=True),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    unknown_key="Invalid dataset key '{key}' specified. Valid keys are '{valid}'",
    text_wanted="Expected a quoted string value for dataset attributes. Got value {value}",
    bad_comparator=_BAD_COMPARATOR,
)

RUNS = Vocabulary(
    entities={
        **dict.fromkeys(("", "attribute", "attributes", "attr", "run"), _ATTRIBUTES),
        **dict.fromkeys(("metric", "metrics"), _METRICS),
        **dict.fromkeys(("param", "params", "parameter", "parameters"), _PARAMS),
        **dict.fromkeys(("tag", "tags"), _TAGS),
        **dict.fromkeys(("dataset", "datasets"), _DATASETS),
    },
    order=(
        Term("runs.start_time", Values.BIGINT, descending=True, nullable=True),
        Term("runs.run_uuid", Values.TEXT),
    ),
    unknown_entity="Invalid entity type '{entity}'. Valid values are "
    "['metric', 'parameter', 'tag', 'attribute', 'dataset']",
    no_null_test="IS NULL / IS NOT NULL is only supported for tags and params, not for '{entity}' '{key}'",
    no_sort="Invalid identifier type '{entity}'",
)
