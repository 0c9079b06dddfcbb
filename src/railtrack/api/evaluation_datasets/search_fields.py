"""What filters and orders of evaluation datasets may name, and the SQL of each name."""

from railtrack.search.fields import (
    NUMBER_COMPARATORS,
    EntityFields,
    Field,
    SearchFields,
    SortField,
    SortKey,
    ValueType,
)

_INVALID_KEY = "Invalid attribute key '{key}' specified. Valid keys are: {valid}"
_CREATED = SortKey("evaluation_datasets.created_time", ValueType.BIGINT, nullable=True)
_TEXT_COMPARATORS = ("=", "!=", "LIKE", "ILIKE")
_ATTRIBUTE = EntityFields(
    name="attribute",
    fields={
        "created_by": Field("evaluation_datasets.created_by"),
        "created_time": Field("evaluation_datasets.created_time", ValueType.WHOLE),
        "last_update_time": Field("evaluation_datasets.last_update_time", ValueType.WHOLE),
        "last_updated_by": Field("evaluation_datasets.last_updated_by"),
        "name": Field("evaluation_datasets.name", accepts_lists=True),
    },
    comparators=(*_TEXT_COMPARATORS, "IN", *(one for one in NUMBER_COMPARATORS if one not in _TEXT_COMPARATORS)),
    sort_fields={
        "created_time": SortField((_CREATED,)),
        "last_update_time": SortField(
            (SortKey("evaluation_datasets.last_update_time", ValueType.BIGINT, nullable=True),)
        ),
        "name": SortField((SortKey("evaluation_datasets.name", ValueType.TEXT),)),
    },
    unknown_key=_INVALID_KEY,
    text_expected="Expected a quoted string value for attributes. Got value {value}",
    number_expected="Expected numeric value type for numeric attribute: {key}. Found {value}",
    invalid_comparator="Invalid comparator for string attribute: {comparator}",
)
_TAG = EntityFields(
    name="tag",
    any_field=Field(
        "x.value",
        condition="EXISTS (SELECT 1 FROM evaluation_dataset_tags x "
        "WHERE x.dataset_id = evaluation_datasets.dataset_id AND x.key = {key} AND {test})",
    ),
    comparators=_TEXT_COMPARATORS,
    text_expected="Expected a quoted string value for tag (e.g. 'my-value'). Got value {value}",
    invalid_comparator="Invalid comparator for tag: {comparator}",
)
DATASETS = SearchFields(
    table="evaluation_datasets",
    entities={"": _ATTRIBUTE, "tags": _TAG},
    default_order=(
        SortKey(_CREATED.expression, ValueType.BIGINT, descending=True, nullable=True),
        SortKey("evaluation_datasets.dataset_id", ValueType.TEXT, descending=True),
    ),
    unknown_entity="Invalid identifier token '{entity}' specified",
    null_not_supported="Invalid comparator for {entity}: {comparator}",
    order_not_supported="Invalid order_by entity: {entity}",
    invalid_clauses="Invalid clause(s) in filter string: {clauses}",
    rejects_repeated_order=False,
)
