"""What filters and orders of experiments may name, and the SQL of each name. The language is in search/."""

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

_CREATED = SortKey("experiments.creation_time", ValueType.BIGINT, descending=True, nullable=True)
_ID = SortKey("experiments.experiment_id", ValueType.ID)
_ATTRIBUTES = EntityFields(
    name="attribute",
    fields={
        "name": Field("experiments.name"),
        "experiment_id": Field("experiments.experiment_id", ValueType.ID, accepts_lists=True),
        "creation_time": Field("experiments.creation_time", ValueType.WHOLE),
        "last_update_time": Field("experiments.last_update_time", ValueType.WHOLE),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sort_fields={
        "name": SortField((SortKey("experiments.name", ValueType.TEXT),)),
        "experiment_id": SortField((_ID,)),
        "creation_time": SortField((_CREATED,)),
        "last_update_time": SortField((SortKey("experiments.last_update_time", ValueType.BIGINT, nullable=True),)),
    },
)
_TAGS = EntityFields(
    name="tag",
    any_field=Field(
        "x.value",
        condition="EXISTS (SELECT 1 FROM experiment_tags x "
        "WHERE x.experiment_id = experiments.experiment_id AND x.key = {key} AND {test})",
    ),
    comparators=TEXT_COMPARATORS + NULL_COMPARATORS,
    text_expected="Expected a quoted string value for tag (e.g. 'my-value'). Got value {value}",
    invalid_comparator="Invalid comparator for tag: {comparator}",
)
EXPERIMENTS = SearchFields(
    table="experiments",
    entities={"": _ATTRIBUTES, "attribute": _ATTRIBUTES, "attributes": _ATTRIBUTES, "tag": _TAGS, "tags": _TAGS},
    default_order=(_CREATED, _ID),
    unknown_entity="Invalid entity type '{entity}'. Valid entity types are ('attribute', 'attributes', 'tag', 'tags')",
    null_not_supported="IS NULL / IS NOT NULL is only supported for tags, not for attribute '{key}'",
    order_not_supported="Invalid order_by entity: {entity}",
    invalid_clauses="Invalid clause(s) in filter string: {clauses}",
    rejects_repeated_order=False,
)
