"""What filters and orders of logged models may name, and the SQL that each name stands for.

The language is that of search/, but orders come as objects, and metrics may be looked for on some datasets only.
"""

from collections.abc import Sequence

import msgspec

from railtrack.api.logged_models.schemas import STATUS_NAMES
from railtrack.errors import invalid
from railtrack.search.fields import (
    LIST_COMPARATORS,
    TEXT_COMPARATORS,
    Entity,
    Field,
    Term,
    Values,
    Vocabulary,
)
from railtrack.search.sql import ORDER_KEYS_LIMIT, Order, Parameters

DATASETS_LIMIT = 100

CREATED = Field("logged_models.creation_timestamp_ms", Values.BIGINT)
UPDATED = Field("logged_models.last_updated_timestamp_ms", Values.BIGINT)
BAD_COMPARATOR = "Invalid comparison operator for {entity}.{{key}}: '{{comparator}}'. Expected one of {{ordered}}."
NUMBER_WANTED = "Expected a number for {entity}.{{key}}. Found {{value}}"

_ATTRIBUTES = Entity(
    name="attributes",
    fields={
        "name": Field("logged_models.name", lists=True),
        "model_id": Field("logged_models.model_id", lists=True),
        "model_type": Field("logged_models.model_type", lists=True),
        "source_run_id": Field("logged_models.source_run_id", lists=True),
        "experiment_id": Field("CAST(logged_models.experiment_id AS TEXT)", lists=True),
        "artifact_uri": Field("logged_models.artifact_location", lists=True),
        "artifact_location": Field("logged_models.artifact_location", lists=True),
        "status": Field(
            "CAST(logged_models.status AS TEXT)",
            lists=True,
            # MLflow knows the numbers only.
            spellings={
                spelling: str(number)
                for number, name in enumerate(STATUS_NAMES)
                for spelling in (name, name.removeprefix("LOGGED_MODEL_"))
            },
        ),
        "status_message": Field("logged_models.status_message", lists=True),
        "lifecycle_stage": Field("logged_models.lifecycle_stage", lists=True),
        "creation_timestamp": CREATED,
        "creation_timestamp_ms": CREATED,
        "creation_time": CREATED,
        "last_updated_timestamp": UPDATED,
        "last_updated_timestamp_ms": UPDATED,
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    bare_text=True,
    bad_comparator=BAD_COMPARATOR.format(entity="attributes"),
    number_wanted=NUMBER_WANTED.format(entity="attributes"),
)
_PARAMS = Entity(
    name="params",
    any_field=Field(
        "x.param_value",
        rows="EXISTS (SELECT 1 FROM logged_model_params x "
        "WHERE x.model_id = logged_models.model_id AND x.param_key = {key} AND {test})",
        lists=True,
    ),
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    bare_text=True,
    bad_comparator=BAD_COMPARATOR.format(entity="params"),
)
_TAGS = Entity(
    name="tags",
    any_field=Field(
        "x.tag_value",
        rows="EXISTS (SELECT 1 FROM logged_model_tags x "
        "WHERE x.model_id = logged_models.model_id AND x.tag_key = {key} AND {test})",
        lists=True,
    ),
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    bare_text=True,
    bad_comparator=BAD_COMPARATOR.format(entity="tags"),
)
_ORDER = (
    Term("logged_models.creation_timestamp_ms", Values.BIGINT, descending=True),
    Term("logged_models.model_id", Values.TEXT),
)
_METRICS_ON = "EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model_id = logged_models.model_id AND {condition})"


class OnDataset(msgspec.Struct):
    dataset_name: str = ""
    dataset_digest: str = ""


def on_datasets(datasets: Sequence[OnDataset], parameters: Parameters) -> str:
    """The condition that a metric x was measured on one of the datasets; "" for none given.

    A dataset without a digest means any of its name, as MLflow's documentation has it; MLflow itself finds nothing.
    """
    if len(datasets) > DATASETS_LIMIT:
        raise invalid(f"A search can name at most {DATASETS_LIMIT} datasets. Got {len(datasets)}.")
    if not all(dataset.dataset_name for dataset in datasets):
        raise invalid("`dataset_name` in the `datasets` clause must be specified.")
    tests = [_of_dataset(dataset.dataset_name, dataset.dataset_digest, parameters) for dataset in datasets]
    return f"({' OR '.join(tests)})" if tests else ""


def _of_dataset(name: str, digest: str, parameters: Parameters) -> str:
    tests = [f"x.dataset_name = {parameters.add(name)}"] if name else []
    tests += [f"x.dataset_digest = {parameters.add(digest)}"] if digest else []
    return " AND ".join(tests)


def with_metrics(condition: str) -> str:
    """The condition that a model has a metric x for which `condition` holds."""
    return _METRICS_ON.format(condition=condition)


def logged_models(measured_on: str) -> Vocabulary:
    """What a filter may say. `measured_on`: a condition of on_datasets for the metrics that it compares."""
    test = f"x.metric_name = {{key}} AND {{test}}{' AND ' if measured_on else ''}{measured_on}"
    metrics = Entity(
        name="metrics",
        any_field=Field("x.metric_value", Values.DOUBLE, rows=with_metrics(test)),
        bad_comparator=BAD_COMPARATOR.format(entity="metrics"),
        number_wanted=NUMBER_WANTED.format(entity="metrics"),
    )
    return Vocabulary(
        entities={"": _ATTRIBUTES, "attributes": _ATTRIBUTES, "metrics": metrics, "params": _PARAMS, "tags": _TAGS},
        order=_ORDER,
        unknown_entity="Invalid entity type: '{entity}'. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
        no_null_test="Invalid comparison: {key} {comparator}. Expected a comparison with 3 tokens.",
        no_sort="",
        stray_clauses="Invalid filter string: {filter!r}. Expected a list of comparisons separated by 'AND' "
        "(e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').",
    )


_SORTS = {
    "name": Term("logged_models.name", Values.TEXT),
    "model_id": Term("logged_models.model_id", Values.TEXT),
    "model_type": Term("logged_models.model_type", Values.TEXT, nullable=True),
    "status": Term("logged_models.status", Values.BIGINT),
    "status_message": Term("logged_models.status_message", Values.TEXT, nullable=True),
    "source_run_id": Term("logged_models.source_run_id", Values.TEXT, nullable=True),
    "experiment_id": Term("logged_models.experiment_id", Values.BIGINT),
    "artifact_location": Term("logged_models.artifact_location", Values.TEXT),
    "lifecycle_stage": Term("logged_models.lifecycle_stage", Values.TEXT, nullable=True),
    "creation_timestamp": Term(CREATED.column, Values.BIGINT),
    "creation_timestamp_ms": Term(CREATED.column, Values.BIGINT),
    "creation_time": Term(CREATED.column, Values.BIGINT),
    "last_updated_timestamp": Term(UPDATED.column, Values.BIGINT),
    "last_updated_timestamp_ms": Term(UPDATED.column, Values.BIGINT),
}


class OrderBy(msgspec.Struct):
    """`field_name`: an attribute, or `metrics.` and a name, which may be that of one dataset."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


def order_of_models(order_by: Sequence[OrderBy], parameters: Parameters) -> Order:
    """The order asked for, then the latest first. Models without a value come last, whichever way it goes."""
    if len(order_by) > ORDER_KEYS_LIMIT:
        raise invalid(f"Invalid order_by: it has {len(order_by)} fields, more than {ORDER_KEYS_LIMIT}.")
    terms: dict[str, Term] = {}
    for one in order_by:
        term = _term(one, parameters)
        directed = Term(term.column, term.values, not one.ascending, term.nullable)
        terms.setdefault(term.column, directed)
    for term in _ORDER:
        terms.setdefault(term.column, term)
    return Order((), tuple(terms.values()))


def _term(one: OrderBy, parameters: Parameters) -> Term:
    entity, dot, key = one.field_name.partition(".")
    if not dot and entity in _SORTS:
        return _SORTS[entity]
    shown = one.field_name[:1000]
    if not dot:
        raise invalid(f"Invalid order by field name: {shown}")
    if entity != "metrics":
        raise invalid(f"Invalid order by field name: {shown}. Only metrics are supported.")
    tests = [f"x.metric_name = {parameters.add(key)}"]
    if on := _of_dataset(one.dataset_name, one.dataset_digest, parameters):
        tests.append(on)
    latest = (
        "(SELECT x.metric_value FROM logged_model_metrics x "  # noqa: S608 (texts of ours)
        f"WHERE x.model_id = logged_models.model_id AND {' AND '.join(tests)} "
        "ORDER BY x.metric_timestamp_ms DESC, x.metric_step DESC, x.run_id LIMIT 1)"
    )
    return Term(latest, Values.DOUBLE, nullable=True)
