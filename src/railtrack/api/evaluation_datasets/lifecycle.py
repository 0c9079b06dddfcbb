"""datasets/create, get and delete, and the links of a dataset to experiments. Tags and records are in tags.py and
records.py.
"""

from uuid import uuid4

import msgspec

from railtrack.api.evaluation_datasets.queries import (
    EXPERIMENTS_OF,
    digest_of,
    load_dataset,
    lock_dataset,
)
from railtrack.api.evaluation_datasets.schemas import EvaluationDataset, dumped_tags, parsed_tags, user_of
from railtrack.auth import DATASET_CREATE, DATASET_DELETE, DATASET_EDIT, DATASET_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.db.retry import idempotent
from railtrack.db.sql import bind
from railtrack.errors import invalid, not_found
from railtrack.mlflow.ids import DEFAULT_WORKSPACE, known_numbers
from railtrack.mlflow.validation import check_length
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

NAME_LIMIT = 255
EXPERIMENT_ID_LIMIT = 36
EXPERIMENTS_LIMIT = 1000
"""Experiments that one request may name."""
TAGS_LIMIT = 1000

_INSERT_LINKS = """
    INSERT INTO entity_associations
        (association_id, source_type, source_id, destination_type, destination_id, created_time)
    SELECT r.association_id, 'evaluation_dataset', r.dataset_id, 'experiment', r.experiment_id, r.created_time
    FROM {rows} WHERE true ON CONFLICT DO NOTHING
"""
_LINK_COLUMNS = {"association_id": "text", "dataset_id": "text", "experiment_id": "text", "created_time": "bigint"}


class DatasetResponse(msgspec.Struct):
    dataset: EvaluationDataset


class CreateDataset(Request):
    name: RequiredStr
    experiment_ids: list[str] = []
    tags: str = ""


@endpoint("POST", "datasets/create", access=DATASET_CREATE, api="3.0")
async def create_dataset(ctx: Context, req: CreateDataset) -> DatasetResponse:
    """Create an evaluation dataset without records. Names need not be unique."""
    check_length("name", req.name, NAME_LIMIT)
    experiment_ids = _checked_ids(req.experiment_ids)
    sent = parsed_tags(req.tags)
    if len(sent) > TAGS_LIMIT:
        raise invalid(f"A dataset can be created with at most {TAGS_LIMIT} tags. Got {len(sent)}.")
    tags = {key: value for key, value in sent.items() if value is not None}
    dataset_id, now, user = f"d-{uuid4().hex}", now_ms(), user_of(tags)
    digest = digest_of(req.name, now)
    async with ctx.db.write() as tx:
        await tx.execute(
            *bind(
                """
                INSERT INTO evaluation_datasets (dataset_id, name, digest, created_time, last_update_time, created_by,
                    last_updated_by, workspace)
                VALUES (:dataset_id, :name, :digest, :now, :now, :user, :user, :workspace)
                """,
                dataset_id=dataset_id,
                name=req.name,
                digest=digest,
                now=now,
                user=user,
                workspace=DEFAULT_WORKSPACE,
            )
        )
        await tx.execute_rows(
            "INSERT INTO evaluation_dataset_tags (dataset_id, key, value) "
            "SELECT r.dataset_id, r.key, r.value FROM {rows} WHERE true",
            {"dataset_id": "text", "key": "text", "value": "text"},
            [(dataset_id, key, value) for key, value in tags.items()],
        )
        await _link(tx, dataset_id, experiment_ids, now)
        tx.set_commit_check("SELECT 1 FROM evaluation_datasets WHERE dataset_id = $1", dataset_id)
    return DatasetResponse(
        EvaluationDataset(
            dataset_id,
            req.name,
            digest,
            now,
            now,
            created_by=user,
            last_updated_by=user,
            tags=dumped_tags(tags),
            experiment_ids=experiment_ids,
        )
    )


def _checked_ids(experiment_ids: list[str]) -> list[str]:
    """Return the ids without repetitions. As in MLflow, experiments need not exist yet."""
    if len(experiment_ids) > EXPERIMENTS_LIMIT:
        raise invalid(f"A request can name at most {EXPERIMENTS_LIMIT} experiments. Got {len(experiment_ids)}.")
    for experiment_id in experiment_ids:
        check_length("experiment_ids", experiment_id, EXPERIMENT_ID_LIMIT)
    return list(dict.fromkeys(experiment_ids))


async def _link(tx: Tx, dataset_id: str, experiment_ids: list[str], now: int) -> None:
    await tx.execute_rows(
        _INSERT_LINKS, _LINK_COLUMNS, [(f"a-{uuid4().hex}", dataset_id, one, now) for one in experiment_ids]
    )


class GetDataset(Request):
    dataset_id: RequiredStr


@endpoint("GET", "datasets/{dataset_id}", access=DATASET_READ, api="3.0")
async def get_dataset(ctx: Context, req: GetDataset) -> DatasetResponse:
    """Return a dataset with its tags, without its records and experiments."""
    async with ctx.db.read() as tx:
        dataset = await load_dataset(tx, req.dataset_id)
    if dataset is None:
        raise not_found(f"Evaluation dataset with id '{req.dataset_id[:250]}' not found")
    return DatasetResponse(dataset)


class DeleteDataset(Request):
    dataset_id: RequiredStr


@endpoint("DELETE", "datasets/{dataset_id}", access=DATASET_DELETE, api="3.0")
@idempotent
async def delete_dataset(ctx: Context, req: DeleteDataset) -> EmptyResponse:
    """Delete a dataset with its records, tags and links. To delete it again is no error."""
    async with ctx.db.write() as tx:
        deleted = await tx.execute(
            "DELETE FROM evaluation_datasets WHERE workspace = $1 AND dataset_id = $2",
            DEFAULT_WORKSPACE,
            req.dataset_id,
        )
        if deleted:
            for end in ("source", "destination"):
                await tx.execute(
                    f"DELETE FROM entity_associations WHERE {end}_type = 'evaluation_dataset' AND {end}_id = $1",  # noqa: S608 (constants)
                    req.dataset_id,
                )
            await ctx.audit(tx, "evaluation dataset", req.dataset_id)
    return EMPTY_RESPONSE


class ExperimentIds(Request):
    dataset_id: RequiredStr


class ExperimentIdsResponse(msgspec.Struct, omit_defaults=True):
    experiment_ids: list[str] = []


@endpoint("GET", "datasets/{dataset_id}/experiment-ids", access=DATASET_READ, api="3.0")
async def get_experiment_ids(ctx: Context, req: ExperimentIds) -> ExperimentIdsResponse:
    """Return the ids of a dataset's experiments: of those that the caller may read."""
    readable = await ctx.read_filter("experiment")
    rows = await ctx.db.fetch(EXPERIMENTS_OF, req.dataset_id)
    return ExperimentIdsResponse([row[0] for row in rows if readable.allows(row[0])])


class LinkDataset(Request):
    dataset_id: RequiredStr
    experiment_ids: list[str] = []


@endpoint("POST", "datasets/{dataset_id}/add-experiments", access=DATASET_EDIT, api="3.0")
@idempotent
async def add_experiments(ctx: Context, req: LinkDataset) -> DatasetResponse:
    """Add a dataset to experiments, all of which must exist. To add it again is no error."""
    experiment_ids = _checked_ids(req.experiment_ids)
    async with ctx.db.write() as tx:
        await lock_dataset(tx, req.dataset_id, "Dataset '{}' not found")
        known = {
            str(row[0])
            for row in await tx.fetch(
                "SELECT experiment_id FROM experiments WHERE experiment_id = ANY($1)", known_numbers(experiment_ids)
            )
        }
        for experiment_id in experiment_ids:
            if experiment_id not in known:
                raise not_found(f"No Experiment with id={experiment_id}")
        await _link(tx, req.dataset_id, experiment_ids, now_ms())
        return await _touched(tx, req.dataset_id)


@endpoint("POST", "datasets/{dataset_id}/remove-experiments", access=DATASET_EDIT, api="3.0")
@idempotent
async def remove_experiments(ctx: Context, req: LinkDataset) -> DatasetResponse:
    """Remove a dataset from experiments. To remove it again is no error."""
    experiment_ids = _checked_ids(req.experiment_ids)
    async with ctx.db.write() as tx:
        await lock_dataset(tx, req.dataset_id, "Dataset '{}' not found")
        await tx.execute(
            "DELETE FROM entity_associations WHERE source_type = 'evaluation_dataset' AND source_id = $1 "
            "AND destination_type = 'experiment' AND destination_id = ANY($2)",
            req.dataset_id,
            experiment_ids,
        )
        return await _touched(tx, req.dataset_id)


async def _touched(tx: Tx, dataset_id: str) -> DatasetResponse:
    """Return the dataset, as updated now."""
    await tx.execute("UPDATE evaluation_datasets SET last_update_time = $2 WHERE dataset_id = $1", dataset_id, now_ms())
    dataset = await load_dataset(tx, dataset_id)
    assert dataset is not None, "its row is locked"
    return DatasetResponse(dataset)
