"""What filters and orders of logged models may name, and the SQL of each name.

The language is that of search/, but orders come as objects, and a search may be limited to metrics on some datasets.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from railtrack.errors import invalid
from railtrack.search.builder import ORDER_KEYS_LIMIT
from railtrack.search.conditions import Parameters
from railtrack.search.fields import (
    LIST_COMPARATORS,
    TEXT_COMPARATORS,
    EntityFields,
    Field,
    SearchFields,
    SortKey,
    ValueType,
)

DATASETS_LIMIT = 100

STATUS_FILTER_NAMES = ("UNSPECIFIED", "PENDING", "READY", "FAILED")
"""By number, as filters and MLflow's entities have them. The API has other names."""

CREATED = Field("logged_models.creation_timestamp_ms", ValueType.BIGINT)
UPDATED = Field("logged_models.last_updated_timestamp_ms", ValueType.BIGINT)
INVALID_COMPARATOR = "Invalid comparison operator for {entity}.{{key}}: '{{comparator}}'. Expected one of {{ordered}}."
NUMBER_EXPECTED = "Expected a number for {entity}.{{key}}. Found {{value}}"

_ATTRIBUTES = EntityFields(
    name="attributes",
    fields={
        "name": Field("logged_models.name", accepts_lists=True),
        "model_id": Field("logged_models.model_id", accepts_lists=True),
        "model_type": Field("logged_models.model_type", accepts_lists=True),
        "source_run_id": Field("logged_models.source_run_id", accepts_lists=True),
        "experiment_id": Field("CAST(logged_models.experiment_id AS TEXT)", accepts_lists=True),
        "artifact_uri": Field("logged_models.artifact_location", accepts_lists=True),
        "artifact_location": Field("logged_models.artifact_location", accepts_lists=True),
        "status": Field(
            "CAST(logged_models.status AS TEXT)",
            accepts_lists=True,
            values={name: str(number) for number, name in enumerate(STATUS_FILTER_NAMES)},
            unknown_value="Unknown model status in filter: {value}",
        ),
        "status_message": Field("logged_models.status_message", accepts_lists=True),
        "lifecycle_stage": Field("logged_models.lifecycle_stage", accepts_lists=True),
        "creation_timestamp": CREATED,
        "creation_timestamp_ms": CREATED,
        "creation_time": CREATED,
        "last_updated_timestamp": UPDATED,
        "last_updated_timestamp_ms": UPDATED,
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    accepts_unquoted_text=True,
    invalid_comparator=INVALID_COMPARATOR.format(entity="attributes"),
    number_expected=NUMBER_EXPECTED.format(entity="attributes"),
)
_PARAMS = EntityFields(
    name="params",
    any_field=Field(
        "x.param_value",
        condition="EXISTS (SELECT 1 FROM logged_model_params x "
        "WHERE x.model_id = logged_models.model_id AND x.param_key = {key} AND {test})",
        accepts_lists=True,
    ),
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    accepts_unquoted_text=True,
    invalid_comparator=INVALID_COMPARATOR.format(entity="params"),
)
_TAGS = EntityFields(
    name="tags",
    any_field=Field(
        "x.tag_value",
        condition="EXISTS (SELECT 1 FROM logged_model_tags x "
        "WHERE x.model_id = logged_models.model_id AND x.tag_key = {key} AND {test})",
        accepts_lists=True,
    ),
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    accepts_unquoted_text=True,
    invalid_comparator=INVALID_COMPARATOR.format(entity="tags"),
)
_DEFAULT_ORDER = (
    SortKey("logged_models.creation_timestamp_ms", ValueType.BIGINT, descending=True),
    SortKey("logged_models.model_id", ValueType.TEXT),
)


class MetricDataset(msgspec.Struct):
    dataset_name: str = ""
    dataset_digest: str = ""


def datasets_condition(datasets: Sequence[MetricDataset], parameters: Parameters) -> str:
    """Return the condition that a metric x was measured on one of the datasets; "" for none.

    A dataset without a digest matches all datasets of its name, as MLflow's documentation requires; MLflow finds none.
    """
    if len(datasets) > DATASETS_LIMIT:
        raise invalid(f"A search can name at most {DATASETS_LIMIT} datasets. Got {len(datasets)}.")
    if not all(dataset.dataset_name for dataset in datasets):
        raise invalid("`dataset_name` in the `datasets` clause must be specified.")
    tests = [_dataset_test(dataset.dataset_name, dataset.dataset_digest, parameters) for dataset in datasets]
    return f"({' OR '.join(tests)})" if tests else ""


def _dataset_test(name: str, digest: str, parameters: Parameters) -> str:
    tests = [f"x.dataset_name = {parameters.add(name)}"] if name else []
    tests += [f"x.dataset_digest = {parameters.add(digest)}"] if digest else []
    return " AND ".join(tests)


def has_metric(condition: str) -> str:
    """Return the condition that a model has a metric x that meets `condition`."""
    return (
        "EXISTS (SELECT 1 FROM logged_model_metrics x "  # noqa: S608 (our own text)
        f"WHERE x.model_id = logged_models.model_id AND {condition})"
    )


def latest_value(*conditions: str) -> str:
    """Return the subquery with the `metric_value` of the latest metric x that meets the conditions, if there is one.

    The latest is that of the highest step, then time, then value, as of the metrics of a run.
    """
    tests = " AND ".join(("x.model_id = logged_models.model_id", *filter(None, conditions)))
    return (
        f"(SELECT x.metric_value FROM logged_model_metrics x WHERE {tests} "  # noqa: S608 (our own text)
        "ORDER BY x.metric_step DESC, x.metric_timestamp_ms DESC, x.metric_value DESC LIMIT 1)"
    )


def search_fields(on_datasets: str) -> SearchFields:
    """Return the fields of a search whose metrics are limited by `on_datasets`, a datasets_condition."""
    latest = latest_value("x.metric_name = {key}", on_datasets)
    metrics = EntityFields(
        name="metrics",
        any_field=Field(
            "x.metric_value",
            ValueType.DOUBLE,
            condition=f"EXISTS (SELECT 1 FROM {latest} AS x WHERE {{test}})",  # noqa: S608 (our own text)
        ),
        invalid_comparator=INVALID_COMPARATOR.format(entity="metrics"),
        number_expected=NUMBER_EXPECTED.format(entity="metrics"),
    )
    return SearchFields(
        table="logged_models",
        entities={"": _ATTRIBUTES, "attributes": _ATTRIBUTES, "metrics": metrics, "params": _PARAMS, "tags": _TAGS},
        default_order=_DEFAULT_ORDER,
        unknown_entity="Invalid entity type: '{entity}'. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
        null_not_supported="Invalid comparison: {key} {comparator}. Expected a comparison with 3 tokens.",
        order_not_supported="",
        invalid_clauses="Invalid filter string: {filter!r}. Expected a list of comparisons separated by 'AND' "
        "(e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').",
    )


_SORT_KEYS = {
    "name": SortKey("logged_models.name", ValueType.TEXT),
    "model_id": SortKey("logged_models.model_id", ValueType.TEXT),
    "model_type": SortKey("logged_models.model_type", ValueType.TEXT, nullable=True),
    "status": SortKey("logged_models.status", ValueType.BIGINT),
    "status_message": SortKey("logged_models.status_message", ValueType.TEXT, nullable=True),
    "source_run_id": SortKey("logged_models.source_run_id", ValueType.TEXT, nullable=True),
    "experiment_id": SortKey("logged_models.experiment_id", ValueType.BIGINT),
    "artifact_location": SortKey("logged_models.artifact_location", ValueType.TEXT),
    "lifecycle_stage": SortKey("logged_models.lifecycle_stage", ValueType.TEXT, nullable=True),
    "creation_timestamp": SortKey(CREATED.column, ValueType.BIGINT),
    "creation_timestamp_ms": SortKey(CREATED.column, ValueType.BIGINT),
    "creation_time": SortKey(CREATED.column, ValueType.BIGINT),
    "last_updated_timestamp": SortKey(UPDATED.column, ValueType.BIGINT),
    "last_updated_timestamp_ms": SortKey(UPDATED.column, ValueType.BIGINT),
}


class OrderBy(msgspec.Struct):
    """`field_name`: an attribute, or `metrics.` and a name. The datasets limit a metric to those measured on it."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


def sort_keys(order_by: Sequence[OrderBy], on_datasets: str, parameters: Parameters) -> list[SortKey]:
    """Return what the request orders by; metrics are limited by `on_datasets`, a datasets_condition.

    Raise MLflow's error for a name that cannot be ordered by.
    """
    if len(order_by) > ORDER_KEYS_LIMIT:
        raise invalid(f"Invalid order_by: it has {len(order_by)} fields, more than {ORDER_KEYS_LIMIT}.")
    return [replace(_sort_key(order, on_datasets, parameters), descending=not order.ascending) for order in order_by]


def _sort_key(order: OrderBy, on_datasets: str, parameters: Parameters) -> SortKey:
    entity, dot, key = order.field_name.partition(".")
    if not dot and entity in _SORT_KEYS:
        return _SORT_KEYS[entity]
    shown = order.field_name[:1000]
    if not dot:
        raise invalid(f"Invalid order by field name: {shown}")
    if entity != "metrics":
        raise invalid(f"Invalid order by field name: {shown}. Only metrics are supported.")
    on_dataset = _dataset_test(order.dataset_name, order.dataset_digest, parameters)
    latest = latest_value(f"x.metric_name = {parameters.add(key)}", on_datasets, on_dataset)
    return SortKey(latest, ValueType.DOUBLE, nullable=True)
