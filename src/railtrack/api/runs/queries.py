"""Runs from the database: one, or a page of them in a few statements whatever its length. No endpoint, no filter."""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from railtrack.api.runs import postgres
from railtrack.api.runs.postgres import LoadedRun
from railtrack.api.runs.schemas import (
    DATASET_INPUT,
    INFO_COLUMNS,
    INPUT_LINKS,
    MODEL_INPUT,
    Dataset,
    DatasetInput,
    InputLink,
    InputTag,
    Metric,
    ModelInput,
    ModelOutput,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunTag,
)
from railtrack.db import Db, Row, Tx
from railtrack.errors import ApiError, invalid, not_found
from railtrack.wire.list_response import RowsTooLarge


async def load_info(tx: Tx, run_id: str) -> RunInfo:
    """Return a run's info. Raise RESOURCE_DOES_NOT_EXIST."""
    row = await _info_row(tx, run_id)
    if row is None:
        raise no_such_run(run_id)
    return RunInfo(*row)


async def _info_row(tx: Tx, run_id: str) -> Row | None:
    return await tx.fetch_row(f"SELECT {INFO_COLUMNS} FROM runs WHERE run_uuid = $1", run_id)  # noqa: S608 (our own text)


def no_such_run(run_id: str) -> ApiError:
    return not_found(f"Run with id={run_id} not found")


def check_active(info: RunInfo) -> None:
    """Raise INVALID_PARAMETER_VALUE for a deleted run, which can only be restored."""
    if info.lifecycle_stage != "active":
        raise invalid(f"The run {info.run_id} must be in the 'active' state. Current state is {info.lifecycle_stage}.")


async def load_run(db: Db, run_id: str) -> Run:
    """Return a run with all that was logged to it. Raise RESOURCE_DOES_NOT_EXIST."""
    load = postgres.load_run if db.engine == "postgresql" else load_run_by_parts
    loaded = await load(db, run_id)
    if loaded is None:
        raise no_such_run(run_id)
    if loaded.has_datasets:
        await _add_datasets(db, {run_id: loaded.run})
    return loaded.run


async def load_run_by_parts(db: Db, run_id: str) -> LoadedRun | None:
    """The portable twin of postgres.load_run."""
    row = await _info_row(db, run_id)
    if row is None:
        return None
    run = new_run(row)
    with_datasets = _add_models({run_id: run}, await load_parts_by_row(db, {run_id: run}, None))
    return LoadedRun(run, bool(with_datasets))


async def load_runs(tx: Tx, rows: Sequence[Row], max_bytes: int) -> list[Run]:
    """Return the runs of rows of INFO_COLUMNS, complete, in their order. The caller limits the page.

    Raise RowsTooLarge if their metrics, params and tags have more than `max_bytes`.

    Metrics, params and tags are not sorted, as in MLflow: sorting would take a third of the time.
    """
    runs = {run.info.run_id: run for run in map(new_run, rows)}
    load_parts = postgres.load_parts if tx.engine == "postgresql" else load_parts_by_row
    with_datasets = _add_models(runs, await load_parts(tx, runs, max_bytes))
    if with_datasets:
        await _add_datasets(tx, with_datasets)
    return list(runs.values())


def remove_models(runs: list[Run]) -> list[Run]:
    """Return the runs, without the ids of their logged models: the caller is denied those."""
    for run in runs:
        run.inputs.model_inputs = []
        if run.outputs is not None:
            run.outputs.model_outputs = []
    return runs


def new_run(row: Row) -> Run:
    return Run(RunInfo(*row), RunData([], [], []), RunInputs([], []), RunOutputs([]))


METRIC, PARAM, TAG, LINK = range(4)
PARTS = f"""
    SELECT {METRIC}, run_uuid, key, NULL, CASE WHEN is_nan THEN NULL ELSE value END, COALESCE(timestamp, 0), step
    FROM latest_metrics WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT {PARAM}, run_uuid, key, value, NULL, NULL, NULL FROM params WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT {TAG}, run_uuid, key, COALESCE(value, ''), NULL, NULL, NULL FROM tags WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT {LINK}, run_id, other_id, NULL, NULL, kind, step FROM ({INPUT_LINKS}) AS links
"""  # noqa: S608 (our own text)
"""(part, run_id, key or id, text, number or NULL for NaN, timestamp or kind of link, step) of the runs $1."""


PARTS_SIZE = """
    SELECT (SELECT COUNT(*) * 100 FROM latest_metrics WHERE run_uuid = ANY($1))
        + (SELECT COALESCE(SUM(100 + COALESCE(LENGTH(value), 0)), 0) FROM params WHERE run_uuid = ANY($1))
        + (SELECT COALESCE(SUM(100 + COALESCE(LENGTH(value), 0)), 0) FROM tags WHERE run_uuid = ANY($1))
"""
"""About the bytes of PARTS, without those of the links."""


async def load_parts_by_row(tx: Tx, runs: Mapping[str, Run], max_bytes: int | None) -> list[InputLink]:
    """The portable twin of postgres.load_parts. SQLite's JSON does not preserve the last bit of numbers."""
    if max_bytes is not None and (size := int(await tx.fetch_value(PARTS_SIZE, list(runs)))) > max_bytes:
        raise RowsTooLarge(size)
    links: list[InputLink] = []
    for part, run_id, key, text, number, timestamp, step in await tx.fetch(PARTS, list(runs)):
        data = runs[run_id].data
        if part == METRIC:
            data.metrics.append(Metric(key, "NaN" if number is None else number, timestamp, step))
        elif part == PARAM:
            data.params.append(Param(key, text))
        elif part == TAG:
            data.tags.append(RunTag(key, text))
        else:
            links.append(InputLink(timestamp, run_id, key, step))
    return links


def _add_models(runs: Mapping[str, Run], links: Sequence[InputLink]) -> dict[str, Run]:
    """Add model inputs and outputs to the runs, by id. Return the runs with dataset inputs, which are still missing."""
    with_datasets: dict[str, Run] = {}
    for link in sorted(links, key=attrgetter("other_id")):
        run = runs[link.run_id]
        if link.kind == DATASET_INPUT:
            with_datasets[link.run_id] = run
        elif link.kind == MODEL_INPUT:
            run.inputs.model_inputs.append(ModelInput(link.other_id))
        else:
            assert run.outputs is not None, "new_run has created it"
            run.outputs.model_outputs.append(ModelOutput(link.other_id, link.step or 0))
    return with_datasets


async def _add_datasets(tx: Tx, runs: Mapping[str, Run]) -> None:
    """Add dataset inputs to the runs, in the order in which they were logged, with the tags of the input."""
    run_ids = sorted(runs)
    tags: dict[str, list[InputTag]] = {}
    for input_uuid, name, value in await tx.fetch(
        """
        SELECT t.input_uuid, t.name, t.value FROM input_tags t JOIN inputs i ON i.input_uuid = t.input_uuid
        WHERE i.destination_id = ANY($1) AND i.destination_type = 'RUN' AND i.source_type = 'DATASET'
        ORDER BY t.name
        """,
        run_ids,
    ):
        tags.setdefault(input_uuid, []).append(InputTag(name, value))
    # No column has the order, but rows of `inputs` are only ever added.
    oldest_first = tx.per_dialect(postgresql="i.ctid", sqlite="i.rowid")
    for run_id, input_uuid, *dataset in await tx.fetch(
        f"""
        SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source,
            NULLIF(d.dataset_schema, ''), NULLIF(d.dataset_profile, '')
        FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
        WHERE i.destination_id = ANY($1) AND i.destination_type = 'RUN' AND i.source_type = 'DATASET'
        ORDER BY {oldest_first}
        """,  # noqa: S608 (our own text)
        run_ids,
    ):
        runs[run_id].inputs.dataset_inputs.append(DatasetInput(Dataset(*dataset), tags.get(input_uuid, [])))
