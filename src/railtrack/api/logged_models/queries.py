"""Reads of logged models: one, or a page of them in a few statements. Filters are in search_fields.py."""

from collections.abc import Sequence

from railtrack.api.logged_models.schemas import (
    LoggedModel,
    LoggedModelData,
    LoggedModelInfo,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelResponse,
    LoggedModelTag,
    status_name,
)
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.errors import ApiError, not_found

INFO_COLUMNS = """
    logged_models.model_id, CAST(logged_models.experiment_id AS TEXT), logged_models.name,
    logged_models.creation_timestamp_ms, logged_models.last_updated_timestamp_ms, logged_models.artifact_location,
    logged_models.status, logged_models.model_type, logged_models.source_run_id, logged_models.status_message
"""
"""The fields of LoggedModelInfo up to `status_message`, in their order, with the status as a number."""
STATUS_COLUMN = 6

METRICS_LIMIT = 1000
"""Metric points of one model in a response. MLflow returns all, which may be the whole history of a training."""


async def load_model(tx: Tx, model_id: str, *, deleted: bool = False) -> LoggedModel:
    """Return the complete model. Raise RESOURCE_DOES_NOT_EXIST, also for a deleted one unless `deleted`."""
    row = await tx.fetch_row(
        f"SELECT {INFO_COLUMNS} FROM logged_models WHERE model_id = $1 AND (lifecycle_stage <> 'deleted' OR $2)",  # noqa: S608
        model_id,
        deleted,
    )
    if row is None:
        raise no_such_model(model_id)
    [model] = await load_models(tx, [row])
    return model


async def artifact_location(tx: Tx, model_id: str) -> str:
    """Return the location of the model's files. Raise RESOURCE_DOES_NOT_EXIST, also for a deleted model."""
    uri: str | None = await tx.fetch_value(
        "SELECT artifact_location FROM logged_models WHERE model_id = $1 AND lifecycle_stage <> 'deleted'", model_id
    )
    if uri is None:
        raise no_such_model(model_id)
    return uri


def no_such_model(model_id: str) -> ApiError:
    return not_found(f"Logged model with ID '{model_id[:250]}' not found.")


async def load_models(tx: Tx, rows: Sequence[Row]) -> list[LoggedModel]:
    """Return the complete models of rows of INFO_COLUMNS, in their order. The caller bounds the page."""
    models = {row[0]: LoggedModel(_info(row), LoggedModelData()) for row in rows}
    ids = list(models)
    for model_id, *tag in await tx.fetch(
        "SELECT model_id, tag_key, tag_value FROM logged_model_tags WHERE model_id = ANY($1) ORDER BY tag_key", ids
    ):
        models[model_id].info.tags.append(LoggedModelTag(*tag))
    for model_id, *param in await tx.fetch(
        "SELECT model_id, param_key, param_value FROM logged_model_params WHERE model_id = ANY($1) ORDER BY param_key",
        ids,
    ):
        models[model_id].data.params.append(LoggedModelParam(*param))
    for metric in await _metrics(tx, ids):
        models[metric.model_id].data.metrics.append(metric)
    return list(models.values())


async def without_denied_runs(ctx: Context, models: list[LoggedModel]) -> list[LoggedModel]:
    """Return the models, without the runs that made or measured them where the caller is denied runs."""
    if await ctx.is_denied("run"):
        for model in models:
            model.info.source_run_id = None
            for metric in model.data.metrics:
                metric.run_id = ""
    return models


async def model_response(ctx: Context, model: LoggedModel) -> LoggedModelResponse:
    await without_denied_runs(ctx, [model])
    return LoggedModelResponse(model)


def _info(row: Row) -> LoggedModelInfo:
    info = LoggedModelInfo(*row)
    info.status = status_name(row[STATUS_COLUMN])
    return info


async def _metrics(tx: Tx, ids: Sequence[str]) -> list[LoggedModelMetric]:
    """Return the metric points of the models. Of a model with too many, the most recent of each metric come first."""
    rows = await tx.fetch(
        """
        SELECT model_id, metric_name, metric_value, metric_timestamp_ms, metric_step, run_id, dataset_name,
            dataset_digest
        FROM (
            SELECT aged.*, ROW_NUMBER() OVER (PARTITION BY model_id ORDER BY age, metric_name, run_id) AS rank
            FROM (
                SELECT logged_model_metrics.*, ROW_NUMBER() OVER (
                    PARTITION BY model_id, metric_name, dataset_name, dataset_digest, run_id
                    ORDER BY metric_timestamp_ms DESC, metric_step DESC
                ) AS age
                FROM logged_model_metrics WHERE model_id = ANY($1)
            ) AS aged
        ) AS ranked
        WHERE rank <= $2
        ORDER BY metric_name, metric_timestamp_ms, metric_step, run_id
        """,
        ids,
        METRICS_LIMIT,
    )
    return [LoggedModelMetric(*row) for row in rows]
