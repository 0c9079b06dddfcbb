"""An experiment as clients see it, and its rows. What may be done with experiments is in experiments.py."""

from collections.abc import Sequence

import msgspec

from railtrack.db import Db, Row, Tx
from railtrack.errors import ApiError, not_found

EXPERIMENT_COLUMNS = """
    CAST(experiments.experiment_id AS TEXT), experiments.name, experiments.workspace, experiments.artifact_location,
    experiments.lifecycle_stage, experiments.last_update_time, experiments.creation_time
"""
"""The columns of an Experiment, in its order, without its tags."""


class ExperimentTag(msgspec.Struct, gc=False):
    """Also as it comes in requests, where the value may be left out."""

    key: str = ""
    value: str = ""


class Experiment(msgspec.Struct, omit_defaults=True):
    """Times in milliseconds since 1970. `workspace` is MLflow's, whose features beyond the default one we lack."""

    experiment_id: str
    name: str
    workspace: str
    artifact_location: str | None = None
    lifecycle_stage: str | None = None
    last_update_time: int | None = None
    creation_time: int | None = None
    tags: list[ExperimentTag] = []


async def load_experiment(db: Db, number: int) -> Experiment:
    """The experiment, deleted ones too. Raises RESOURCE_DOES_NOT_EXIST."""
    rows = await db.fetch_by_key(COMPLETE, number)
    if not rows:
        raise no_such_experiment(str(number))
    experiment = Experiment(*rows[0][:-2])
    experiment.tags = [ExperimentTag(key, value) for *_, key, value in rows if key is not None]
    return experiment


COMPLETE = f"""
    SELECT {EXPERIMENT_COLUMNS}, tags.key, COALESCE(tags.value, '')
    FROM experiments LEFT JOIN experiment_tags AS tags ON tags.experiment_id = experiments.experiment_id
    WHERE experiments.experiment_id = $1
"""  # noqa: S608 (columns of ours)
"""An experiment with one of its tags in each row; one row without a key where it has none."""


async def load_experiments(tx: Tx, rows: Sequence[Row]) -> list[Experiment]:
    """Return the experiments of rows of EXPERIMENT_COLUMNS, with their tags, in their order."""
    experiments = [Experiment(*row) for row in rows]
    by_id = {experiment.experiment_id: experiment for experiment in experiments}
    for number, key, value in await tx.fetch(
        "SELECT experiment_id, key, COALESCE(value, '') FROM experiment_tags WHERE experiment_id = ANY($1)",
        [int(experiment_id) for experiment_id in by_id],
    ):
        by_id[str(number)].tags.append(ExperimentTag(key, value))
    return experiments


def no_such_experiment(experiment_id: str) -> ApiError:
    return not_found(f"No Experiment with id={experiment_id} exists")
