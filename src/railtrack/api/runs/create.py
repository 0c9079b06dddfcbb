"""runs/create. Runs that are created at the same time are written together (db/group_commit.py)."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

import msgspec

from railtrack.api.runs.schemas import RUN_NAME, Run, RunData, RunInfo, RunInputs, RunStatus, RunTag
from railtrack.auth import RUN_CREATE
from railtrack.context import Context
from railtrack.db import Db, Tx
from railtrack.errors import ApiError, invalid, not_found
from railtrack.mlflow.ids import experiment_number
from railtrack.mlflow.random_names import random_name
from railtrack.mlflow.validation import KEY_LIMIT, TAG_VALUE_LIMIT, check_run_name
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.routing import endpoint

USER_LIMIT = 256
TAGS_LIMIT = 1000
"""Tags of a new run; clients send a dozen."""


class CreateRun(Request):
    experiment_id: RequiredStr
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 = 0
    tags: list[RunTag] = []


class CreateRunResponse(msgspec.Struct):
    run: Run


@endpoint("POST", "runs/create", access=RUN_CREATE)
async def create_run(ctx: Context, req: CreateRun) -> CreateRunResponse:
    """Create a RUNNING run in an active experiment. Without a name it gets a random one, also as `mlflow.runName`."""
    number = experiment_number(req.experiment_id)
    run = NewRun(uuid4().hex, number, req.experiment_id, req.user_id, req.start_time, _tags(req))
    await ctx.grouped(write_runs).submit(run)
    info = RunInfo(
        run.run_id,
        run.run_id,
        str(number),
        run.user_id,
        run.tags[RUN_NAME],
        RunStatus.RUNNING.value,
        run.start_time,
        None,
        run.artifact_uri,
        "active",
    )
    data = RunData(tags=[RunTag(key, value) for key, value in run.tags.items()])
    return CreateRunResponse(Run(info, data, RunInputs()))


def _tags(req: CreateRun) -> dict[str, str]:
    """Validate the tags of the new run and add its name. Unlike set-tag, this allows keys of any characters."""
    if len(req.tags) > TAGS_LIMIT:
        raise invalid(f"A run can be created with at most {TAGS_LIMIT} tags. Got {len(req.tags)}.")
    if len(req.user_id) > USER_LIMIT:
        raise invalid(f"'user_id' exceeds the maximum length of {USER_LIMIT} characters")
    tags: dict[str, str] = {}
    for tag in req.tags:
        if len(tag.key) > KEY_LIMIT:
            raise invalid(f"'key' exceeds the maximum length of {KEY_LIMIT} characters")
        if tag.key in tags:
            raise invalid(f"Duplicate tag key '{tag.key}': a run has one value for each tag.")
        tags[tag.key] = tag.value[:TAG_VALUE_LIMIT]
    name_tag = tags.get(RUN_NAME, "")
    if req.run_name and name_tag and req.run_name != name_tag:
        raise invalid(
            f"Both 'run_name' argument and '{RUN_NAME}' tag are specified, but with different values "
            f"(run_name='{req.run_name}', {RUN_NAME}='{name_tag}')."
        )
    tags[RUN_NAME] = req.run_name or name_tag or random_name()
    check_run_name(tags[RUN_NAME])
    return tags


class NewRun(msgspec.Struct):
    """A run to create. Its `artifact_uri` is set when it is written: it depends on the experiment."""

    run_id: str
    experiment: int
    experiment_id: str
    """As in the request, for error messages."""
    user_id: str
    start_time: int
    tags: dict[str, str]
    artifact_uri: str = ""

    @property
    def cost(self) -> int:
        """The approximate number of rows; a long text counts for several."""
        return 1 + len(self.tags) + sum(len(value) for value in self.tags.values()) // 500


class _Experiment(NamedTuple):
    number: int
    artifact_location: str | None
    lifecycle_stage: str


async def write_runs(db: Db, runs: Sequence[NewRun]) -> list[ApiError | None]:
    """Commit the runs whose experiment exists and is active. Return the error of each run, or None."""
    async with db.write() as tx:
        rows = await tx.fetch(
            "SELECT experiment_id, artifact_location, lifecycle_stage FROM experiments WHERE experiment_id = ANY($1)",
            sorted({run.experiment for run in runs}),
        )
        experiments = {experiment.number: experiment for experiment in map(_Experiment._make, rows)}
        errors: list[ApiError | None] = []
        valid = []
        for run in runs:
            experiment = experiments.get(run.experiment)
            if experiment is None:
                errors.append(not_found(f"No Experiment with id={run.experiment_id} exists"))
            elif experiment.lifecycle_stage != "active":
                errors.append(
                    invalid(
                        f"The experiment {run.experiment} must be in the 'active' state. "
                        f"Current state is {experiment.lifecycle_stage}."
                    )
                )
            else:
                # The location's query stays at the end: s3://bucket/path?region=x.
                path, question_mark, query = (experiment.artifact_location or "").partition("?")
                run.artifact_uri = f"{path.rstrip('/')}/{run.run_id}/artifacts{question_mark}{query}"
                errors.append(None)
                valid.append(run)
        if valid:
            await _insert(tx, valid)
            tx.set_commit_check("SELECT 1 FROM runs WHERE run_uuid = $1", valid[0].run_id)
    return errors


async def _insert(tx: Tx, runs: Sequence[NewRun]) -> None:
    await tx.execute_rows(
        """
        INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
            source_version, lifecycle_stage, artifact_uri, experiment_id)
        SELECT run_uuid, name, 'UNKNOWN', '', '', user_id, 'RUNNING', start_time, '', 'active', artifact_uri,
            experiment_id
        FROM {rows}
        """,
        {
            "run_uuid": "text",
            "name": "text",
            "user_id": "text",
            "start_time": "bigint",
            "artifact_uri": "text",
            "experiment_id": "integer",
        },
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
