"""Logging to a run: log-metric, log-parameter, log-batch, set-tag. What a request may hold; write.py commits it."""

from typing import ClassVar

import msgspec

from railtrack.api.runs.log_group import Entry, MetricRow, write_entries
from railtrack.api.runs.schemas import Param, RunTag
from railtrack.auth import RUN_EDIT
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.mlflow.validation import (
    PARAM_VALUE_LIMIT,
    TAG_VALUE_LIMIT,
    check_metric_key,
    check_param_key,
    check_run_name,
    check_tag_key,
)
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint

BATCH_LIMIT = 1000
METRICS_LIMIT = 1000
PARAMS_LIMIT = 100
TAGS_LIMIT = 100

LARGEST_DOUBLE = 1.7976931348623157e308
"""What MLflow stores for infinity, whose columns its databases could not all hold."""


class LogMetric(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    key: RequiredStr
    value: float
    timestamp: Int64
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


@endpoint("POST", "runs/log-metric", access=RUN_EDIT)
async def log_metric(ctx: Context, req: LogMetric) -> Reply:
    """One point of a metric. The same point again is fine and stored once."""
    await ctx.grouped(write_entries).submit(Entry(req.run_id, metrics=[_metric_row(req, "")]))
    return EMPTY


class LogParam(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "runs/log-parameter", access=RUN_EDIT)
async def log_param(ctx: Context, req: LogParam) -> Reply:
    """A param, written once: the same value again is fine, another is refused naming both."""
    check_param_key(req.key, "key")
    await ctx.grouped(write_entries).submit(
        Entry(req.run_id, params=[(req.key, req.value[:PARAM_VALUE_LIMIT])], single=True)
    )
    return EMPTY


class SetTag(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "runs/set-tag", access=RUN_EDIT)
async def set_tag(ctx: Context, req: SetTag) -> Reply:
    """A tag of a run; `mlflow.runName` renames it."""
    await ctx.grouped(write_entries).submit(Entry(req.run_id, tags=[_tag_row(req, "key")]))
    return EMPTY


class Metric(msgspec.Struct):
    """`timestamp` in milliseconds since 1970."""

    key: RequiredStr
    value: float
    timestamp: Int64
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogBatch(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    metrics: list[Metric] = []
    params: list[Param] = []
    tags: list[RunTag] = []


@endpoint("POST", "runs/log-batch", access=RUN_EDIT)
async def log_batch(ctx: Context, req: LogBatch) -> Reply:
    """Metrics, params and tags of one run, all of them or nothing. Limits: 1,000, 100, 100, and 1,000 together."""
    _check_batch_size(req)
    entry = Entry(
        req.run_id,
        metrics=[_metric_row(metric, f"metrics[{at}].") for at, metric in enumerate(req.metrics)],
        params=[_param_row(param, f"params[{at}].key") for at, param in enumerate(req.params)],
        tags=[_tag_row(tag, f"tags[{at}].key") for at, tag in enumerate(req.tags)],
    )
    _check_no_param_twice(req.params)
    await ctx.grouped(write_entries).submit(entry)
    return EMPTY


def _check_batch_size(req: LogBatch) -> None:
    metrics, params, tags = len(req.metrics), len(req.params), len(req.tags)
    for noun, count, limit in (
        ("metrics", metrics, METRICS_LIMIT),
        ("params", params, PARAMS_LIMIT),
        ("tags", tags, TAGS_LIMIT),
        ("metrics, params, and tags", metrics + params + tags, BATCH_LIMIT),
    ):
        if count > limit:
            raise invalid(
                f"A batch logging request can contain at most {limit} {noun}. Got {count} {noun}. "
                f"Please split up {noun} across multiple requests and try again."
            )


def _check_no_param_twice(params: list[Param]) -> None:
    keys = [param.key for param in params]
    if len(set(keys)) < len(keys):
        again = [key for at, key in enumerate(keys) if key in keys[:at]]
        raise invalid(
            f"Duplicate parameter keys have been submitted: {again}. "
            "Please ensure the request contains only one param value per param key."
        )


def _metric_row(metric: LogMetric | Metric, place: str) -> MetricRow:
    check_metric_key(metric.key, f"{place}name")
    if metric.timestamp < 0:
        raise invalid(
            f"Invalid value {metric.timestamp} for parameter '{place}timestamp' supplied: metric '{metric.key}' "
            f"(value={metric.value}). Timestamp must be a nonnegative long (64-bit integer) "
        )
    if bool(metric.dataset_name) != bool(metric.dataset_digest):
        raise invalid("Both dataset_name and dataset_digest must be provided if one is provided")
    value = metric.value
    is_nan = value != value
    if is_nan:
        value = 0.0
    elif value in (float("inf"), float("-inf")):
        value = LARGEST_DOUBLE if value > 0 else -LARGEST_DOUBLE
    return MetricRow(
        metric.key,
        value,
        metric.timestamp,
        metric.step,
        is_nan,
        metric.model_id,
        metric.dataset_name,
        metric.dataset_digest,
    )


def _param_row(param: Param, place: str) -> tuple[str, str]:
    check_param_key(param.key, place)
    return param.key, param.value[:PARAM_VALUE_LIMIT]


def _tag_row(tag: SetTag | RunTag, place: str) -> tuple[str, str]:
    check_tag_key(tag.key, place)
    if tag.key == "mlflow.runName":
        check_run_name(tag.value)
    return tag.key, tag.value[:TAG_VALUE_LIMIT]
