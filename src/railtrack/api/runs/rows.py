"""Runs from the database: a page of them in a few statements, whatever its length. No endpoint, no filter."""

from collections.abc import Sequence

from railtrack.api.runs.inputs_rows import inputs_of, outputs_of
from railtrack.api.runs.shapes import Metric, Param, Run, RunData, RunInfo, RunInputs, RunOutputs, RunTag
from railtrack.db import Row, Tx
from railtrack.errors import ApiError, invalid, not_found

INFO_COLUMNS = """
    runs.run_uuid, runs.run_uuid, CAST(runs.experiment_id AS TEXT), COALESCE(runs.user_id, ''),
    COALESCE(
        NULLIF(runs.name, ''),
        (SELECT t.value FROM tags t WHERE t.run_uuid = runs.run_uuid AND t.key = 'mlflow.runName')
    ),
    runs.status, runs.start_time, NULLIF(runs.end_time, 0), runs.artifact_uri, runs.lifecycle_stage
"""
"""The columns of a RunInfo, in its order. Runs of old versions of MLflow have their name in the tag only.

An end time of 0 is none, as in MLflow.
"""


async def load_info(tx: Tx, run_id: str) -> RunInfo:
    """Raises RESOURCE_DOES_NOT_EXIST."""
    row = await tx.fetchrow(f"SELECT {INFO_COLUMNS} FROM runs WHERE run_uuid = $1", run_id)  # noqa: S608 (ours)
    if row is None:
        raise no_such_run(run_id)
    return RunInfo(*row)


def no_such_run(run_id: str) -> ApiError:
    return not_found(f"Run with id={run_id} not found")


def check_active(info: RunInfo) -> None:
    """Deleted runs refuse all changes but their restoration."""
    if info.lifecycle_stage != "active":
        raise invalid(f"The run {info.run_id} must be in the 'active' state. Current state is {info.lifecycle_stage}.")


async def load_runs(tx: Tx, infos: Sequence[RunInfo]) -> list[Run]:
    """The runs of one page, complete, in the order of `infos`. The caller bounds the page.

    Metrics, params and tags come in no order, as MLflow sends them: sorting them would take a third of the time.
    """
    ids = [info.run_id for info in infos]
    data = {run_id: RunData([], [], []) for run_id in ids}
    for run_id, key, value, timestamp, step, is_nan in await tx.fetch(
        "SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid = ANY($1)", ids
    ):
        data[run_id].metrics.append(Metric(key, "NaN" if is_nan else value, timestamp, step))
    for run_id, key, value in await tx.fetch("SELECT run_uuid, key, value FROM params WHERE run_uuid = ANY($1)", ids):
        data[run_id].params.append(Param(key, value))
    for run_id, key, value in await tx.fetch(
        "SELECT run_uuid, key, COALESCE(value, '') FROM tags WHERE run_uuid = ANY($1)", ids
    ):
        data[run_id].tags.append(RunTag(key, value))
    inputs = await inputs_of(tx, ids)
    outputs = await outputs_of(tx, ids)
    return [
        Run(
            info,
            data[info.run_id],
            inputs.get(info.run_id) or RunInputs(),
            outputs.get(info.run_id) or RunOutputs(),
        )
        for info in infos
    ]


def metric_of(row: Row) -> Metric:
    """A Metric from (key, value, timestamp, step, is_nan)."""
    key, value, timestamp, step, is_nan = row
    return Metric(key, "NaN" if is_nan else value, timestamp, step)
