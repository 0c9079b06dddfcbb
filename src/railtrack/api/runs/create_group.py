"""Runs as they are created: those of many requests, checked against their experiments and written set by set.

create.py has the endpoint; db/group_commit.py collects and commits.
"""

from collections.abc import Sequence

import msgspec

from railtrack.api.runs.log_group import RUN_NAME
from railtrack.db import Db, Row, Tx
from railtrack.errors import ApiError, invalid, not_found


class NewRun(msgspec.Struct):
    """A run to be created. Its `artifact_uri` follows from its experiment, and is there once it is committed."""

    run_id: str
    experiment: int
    experiment_id: str
    user_id: str
    start_time: int
    tags: dict[str, str]
    artifact_uri: str = ""

    @property
    def cost(self) -> int:
        """Rows, a long text counting for several."""
        return 1 + len(self.tags) + sum(len(value) for value in self.tags.values()) // 500


async def create_runs(db: Db, runs: Sequence[NewRun]) -> list[ApiError | None]:
    """Commit the runs, all but those whose experiment takes none. Returns each one's refusal or None."""
    async with db.write() as tx:
        experiments = await _experiments(tx, runs)
        refusals = [_refusal(run, experiments.get(run.experiment)) for run in runs]
        kept = [run for run, refusal in zip(runs, refusals, strict=True) if refusal is None]
        for run in kept:
            run.artifact_uri = _artifact_uri(experiments[run.experiment][1] or "", run.run_id)
        await _write_runs(tx, kept)
    return refusals


async def _experiments(tx: Tx, runs: Sequence[NewRun]) -> dict[int, Row]:
    rows = await tx.fetch(
        "SELECT experiment_id, artifact_location, lifecycle_stage FROM experiments WHERE experiment_id = ANY($1)",
        sorted({run.experiment for run in runs}),
    )
    return {row[0]: row for row in rows}


def _refusal(run: NewRun, experiment: Row | None) -> ApiError | None:
    if experiment is None:
        return not_found(f"No Experiment with id={run.experiment_id} exists")
    _, _, stage = experiment
    if stage != "active":
        return invalid(f"The experiment {run.experiment} must be in the 'active' state. Current state is {stage}.")
    return None


RUN_COLUMNS = {
    "run_uuid": "text",
    "name": "text",
    "user_id": "text",
    "start_time": "bigint",
    "artifact_uri": "text",
    "experiment_id": "integer",
}


async def _write_runs(tx: Tx, runs: Sequence[NewRun]) -> None:
    if not runs:
        return
    await tx.execute_rows(
        """
        INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
            source_version, lifecycle_stage, artifact_uri, experiment_id)
        SELECT run_uuid, name, 'UNKNOWN', '', '', user_id, 'RUNNING', start_time, '', 'active', artifact_uri,
            experiment_id
        FROM {rows}
        """,
        RUN_COLUMNS,
        [
            (run.run_id, run.tags[RUN_NAME], run.user_id, run.start_time, run.artifact_uri, run.experiment)
            for run in runs
        ],
    )
    await tx.execute_rows(
        "INSERT INTO tags (run_uuid, key, value) SELECT run_uuid, key, value FROM {rows}",
        {"run_uuid": "text", "key": "text", "value": "text"},
        [(run.run_id, key, value) for run in runs for key, value in run.tags.items()],
    )


def _artifact_uri(location: str, run_id: str) -> str:
    """Below the experiment's location, whose query (`s3://bucket/path?region=x`) stays at the end."""
    path, mark, query = location.partition("?")
    return f"{path.rstrip('/')}/{run_id}/artifacts{mark}{query}"
