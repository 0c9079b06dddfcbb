"""The creation of a run: what a request may hold; creations.py commits it. A run's later life is lifecycle.py's."""

from uuid import uuid4

import msgspec

from railtrack.api.runs.create_group import NewRun, create_runs
from railtrack.api.runs.log_group import RUN_NAME
from railtrack.api.runs.schemas import Run, RunData, RunInfo, RunInputs, RunStatus, RunTag
from railtrack.auth import RUN_CREATE
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.mlflow.ids import experiment_number
from railtrack.mlflow.random_names import word_name
from railtrack.mlflow.validation import KEY_LIMIT, TAG_VALUE_LIMIT, check_run_name
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint

USER_LIMIT = 256
TAGS_LIMIT = 1000
"""Tags of one creation; clients send a dozen."""


class CreateRun(Request):
    experiment_id: RequiredStr
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 = 0
    tags: list[RunTag] = []


class CreateRunResponse(msgspec.Struct):
    run: Run


@endpoint("POST", "runs/create", access=RUN_CREATE)
async def create_run(ctx: Context, req: CreateRun) -> Reply:
    """A new run of an active experiment, RUNNING. Without a name it gets one; its tag `mlflow.runName` is the same."""
    number = experiment_number(req.experiment_id)
    run = NewRun(uuid4().hex, number, req.experiment_id, req.user_id, req.start_time, _tags(req))
    await ctx.grouped(create_runs).submit(run)
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
    """The tags of the new run, its name among them. Unlike set-tag, a creation takes keys of any characters."""
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
    tagged = tags.get(RUN_NAME, "")
    if req.run_name and tagged and req.run_name != tagged:
        raise invalid(
            f"Both 'run_name' argument and '{RUN_NAME}' tag are specified, but with different values "
            f"(run_name='{req.run_name}', {RUN_NAME}='{tagged}')."
        )
    tags[RUN_NAME] = req.run_name or tagged or word_name()
    check_run_name(tags[RUN_NAME])
    return tags
