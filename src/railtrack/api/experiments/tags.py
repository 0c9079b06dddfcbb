"""experiments/set-experiment-tag and delete-experiment-tag. Neither counts as an update of the experiment."""

from railtrack.api.experiments.queries import lock_active
from railtrack.api.experiments.schemas import check_tag
from railtrack.auth import EXPERIMENT_EDIT
from railtrack.context import Context
from railtrack.db.retry import idempotent
from railtrack.errors import not_found
from railtrack.mlflow.ids import experiment_number
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class SetExperimentTag(Request):
    experiment_id: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "experiments/set-experiment-tag", access=EXPERIMENT_EDIT)
@idempotent
async def set_experiment_tag(ctx: Context, req: SetExperimentTag) -> EmptyResponse:
    """Set a tag of an active experiment."""
    check_tag(req.key, req.value)
    number = experiment_number(req.experiment_id)
    async with ctx.db.write() as tx:
        await lock_active(tx, number)
        await tx.execute(
            """
            INSERT INTO experiment_tags (experiment_id, key, value) VALUES ($1, $2, $3)
            ON CONFLICT (key, experiment_id) DO UPDATE SET value = excluded.value
            """,
            number,
            req.key,
            req.value,
        )
    return EMPTY_RESPONSE


class DeleteExperimentTag(Request):
    experiment_id: RequiredStr
    key: RequiredStr


@endpoint("POST", "experiments/delete-experiment-tag", access=EXPERIMENT_EDIT)
async def delete_experiment_tag(ctx: Context, req: DeleteExperimentTag) -> EmptyResponse:
    """Remove a tag from an active experiment."""
    number = experiment_number(req.experiment_id)
    async with ctx.db.write() as tx:
        await lock_active(tx, number)
        if not await tx.execute("DELETE FROM experiment_tags WHERE experiment_id = $1 AND key = $2", number, req.key):
            raise not_found(f"No tag with name: {req.key} in experiment with id {number}")
        tx.set_commit_check(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM experiment_tags WHERE experiment_id = $1 AND key = $2)",
            number,
            req.key,
        )
    return EMPTY_RESPONSE
