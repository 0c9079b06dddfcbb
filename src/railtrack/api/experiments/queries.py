"""Experiments from the database. No endpoint, no filter."""

from collections.abc import Sequence

from railtrack.api.experiments.schemas import EXPERIMENT_COLUMNS, Experiment, ExperimentTag
from railtrack.db import Db, Row, Tx
from railtrack.errors import ApiError, invalid, not_found

EXPERIMENT_WITH_TAGS = f"""
    SELECT {EXPERIMENT_COLUMNS}, tags.key, COALESCE(tags.value, '')
    FROM experiments LEFT JOIN experiment_tags AS tags ON tags.experiment_id = experiments.experiment_id
    WHERE experiments.experiment_id = $1
"""  # noqa: S608 (our own text)
"""The experiment with one of its tags in each row; one row with a NULL key if it has none."""


async def load_experiment(db: Db, number: int) -> Experiment:
    """Return an experiment with its tags, even if it is deleted. Raise RESOURCE_DOES_NOT_EXIST."""
    rows = await db.fetch_by_key(EXPERIMENT_WITH_TAGS, number)
    if not rows:
        raise no_such_experiment(number)
    *columns, _, _ = rows[0]
    experiment = Experiment(*columns)
    experiment.tags = [ExperimentTag(key, value) for *_, key, value in rows if key is not None]
    return experiment


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


def no_such_experiment(number: int) -> ApiError:
    return not_found(f"No Experiment with id={number} exists")


async def lock_stage(tx: Tx, number: int) -> str:
    """Return an experiment's lifecycle stage and lock its row until the transaction ends."""
    stage: str | None = await tx.fetch_value(
        "SELECT lifecycle_stage FROM experiments WHERE experiment_id = $1 FOR NO KEY UPDATE", number
    )
    if stage is None:
        raise no_such_experiment(number)
    return stage


async def lock_active(tx: Tx, number: int) -> None:
    """Lock the row of an active experiment until the transaction ends. Raise for a deleted one."""
    stage = await lock_stage(tx, number)
    if stage != "active":
        raise invalid(f"The experiment {number} must be in the 'active' state. Current state is {stage}.")
