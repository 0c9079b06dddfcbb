"""Evaluation datasets: limits, deletion of all that belongs to one, and who may read and change them."""

import json
from typing import Any

import pytest
from tests.api.conftest import Caller, Callers
from tests.client import Client

from railtrack.auth.roles import set_grant
from railtrack.db import Db

DATASETS = "/api/3.0/mlflow/datasets"


async def created(client: Client, **fields: Any) -> str:
    """Create a dataset and return its path."""
    dataset = (await client.ok("POST", f"{DATASETS}/create", {"name": "golden", **fields}))["dataset"]
    return f"{DATASETS}/{dataset['dataset_id']}"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "n" * 256},
        {"tags": json.dumps({"k" * 256: "v"})},
        {"tags": json.dumps({"k": "v" * 5001})},
        {"tags": json.dumps({"mlflow.user": "u" * 256})},
        {"tags": json.dumps({str(n): "v" for n in range(1001)})},
        {"experiment_ids": ["9" * 37]},
        {"experiment_ids": [str(n) for n in range(1001)]},
    ],
)
async def test_what_no_column_can_hold_is_rejected(client: Client, db: Db, fields: dict[str, Any]) -> None:
    response = await client.post(f"{DATASETS}/create", {"name": "golden", **fields})
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), response.text
    assert await db.fetch_value("SELECT COUNT(*) FROM evaluation_datasets") == 0


async def test_a_deletion_leaves_nothing_of_the_dataset_and_all_of_others(client: Client, db: Db) -> None:
    for _ in range(2):
        path = await created(client, experiment_ids=["0"], tags='{"a": "b"}')
        await client.ok("POST", f"{path}/records", {"records": '[{"inputs": {"a": 1}}]'})
    await client.ok("DELETE", path)
    for table in (
        "evaluation_datasets",
        "evaluation_dataset_tags",
        "evaluation_dataset_records",
        "entity_associations",
    ):
        assert await db.fetch_value(f"SELECT COUNT(*) FROM {table}") == 1, table


async def test_a_tag_key_may_have_slashes(client: Client) -> None:
    path = await created(client, tags='{"a/b": "c"}')
    await client.ok("DELETE", f"{path}/tags/a/b")
    assert (await client.ok("GET", path))["dataset"]["tags"] == "{}"


async def grant(db: Db, caller: Caller, pattern: str, level: str) -> None:
    async with db.write() as tx:
        await set_grant(tx, caller.user.user_id, "experiment", pattern, level)


async def dataset_of_root(callers: Callers, *experiments: str) -> tuple[str, list[str]]:
    """Return the path of a dataset of new experiments, and their ids."""
    ids = [
        (await callers.root.ok("POST", "experiments/create", {"name": name}))["experiment_id"] for name in experiments
    ]
    dataset = await callers.root.ok("POST", f"{DATASETS}/create", {"name": "golden", "experiment_ids": ids})
    return f"{DATASETS}/{dataset['dataset']['dataset_id']}", ids


async def names(caller: Caller, **body: Any) -> list[str]:
    found = await caller.ok("POST", f"{DATASETS}/search", body)
    return [dataset["name"] for dataset in found.get("datasets", [])]


async def test_one_readable_experiment_suffices_to_read_a_dataset(callers: Callers) -> None:
    path, (one, two) = await dataset_of_root(callers, "one", "two")
    await grant(callers.root.db, callers.ada, one, "DENY")
    await callers.ada.ok("GET", path)
    await callers.ada.ok("GET", f"{path}/records")
    assert (await callers.ada.ok("GET", f"{path}/experiment-ids")) == {"experiment_ids": [two]}
    assert await names(callers.ada) == ["golden"]
    assert await names(callers.ada, experiment_ids=[one]) == []


async def test_a_dataset_of_denied_experiments_is_denied(callers: Callers) -> None:
    path, (one, two) = await dataset_of_root(callers, "one", "two")
    for experiment_id in (one, two):
        await grant(callers.root.db, callers.ada, experiment_id, "DENY")
    await callers.ada.denied("GET", path)
    await callers.ada.denied("GET", f"{path}/records")
    await callers.ada.denied("GET", f"{path}/experiment-ids")
    assert await names(callers.ada) == []
    assert await names(callers.ada, experiment_ids=[one, two]) == []


async def test_a_change_needs_every_experiment_of_the_dataset(callers: Callers) -> None:
    path, (one, two) = await dataset_of_root(callers, "one", "two")
    records = {"records": '[{"inputs": {"a": 1}}]'}
    await grant(callers.root.db, callers.ada, one, "EDIT")
    await callers.ada.denied("POST", f"{path}/records", records)
    await callers.ada.denied("PATCH", f"{path}/tags", {"tags": '{"a": "b"}'})
    await grant(callers.root.db, callers.ada, two, "EDIT")
    await callers.ada.ok("POST", f"{path}/records", records)
    await callers.ada.ok("PATCH", f"{path}/tags", {"tags": '{"a": "b"}'})
    await callers.ada.denied("DELETE", path)
    for experiment_id in (one, two):
        await grant(callers.root.db, callers.ada, experiment_id, "MANAGE")
    await callers.ada.ok("DELETE", path)


async def test_nobody_adds_a_dataset_to_an_experiment_of_others(callers: Callers) -> None:
    path, (one, two) = await dataset_of_root(callers, "one", "two")
    await callers.root.ok("POST", f"{path}/remove-experiments", {"experiment_ids": [two]})
    await grant(callers.root.db, callers.ada, one, "MANAGE")
    await callers.ada.denied("POST", f"{path}/add-experiments", {"experiment_ids": [two]})
    await callers.ada.denied("POST", f"{DATASETS}/create", {"name": "mine", "experiment_ids": [one, two]})
    await callers.ada.ok("POST", f"{DATASETS}/create", {"name": "mine", "experiment_ids": [one]})


async def test_the_default_permission_decides_about_a_dataset_of_no_experiment(callers: Callers) -> None:
    created = await callers.ada.ok("POST", f"{DATASETS}/create", {"name": "free"})
    path = f"{DATASETS}/{created['dataset']['dataset_id']}"
    await callers.bob.ok("GET", path)
    await callers.bob.denied("PATCH", f"{path}/tags", {"tags": '{"a": "b"}'})
    await (await callers.ada.scoped("read")).denied("POST", f"{DATASETS}/create", {"name": "free"})


async def test_a_token_for_an_experiment_reads_and_changes_its_datasets_only(callers: Callers) -> None:
    path, (one,) = await dataset_of_root(callers, "one")
    other, _ = await dataset_of_root(callers, "other")
    scoped = await callers.root.scoped(f"experiment:{one}")
    await scoped.ok("GET", path)
    await scoped.ok("PATCH", f"{path}/tags", {"tags": '{"a": "b"}'})
    await scoped.denied("GET", other)
    await scoped.denied("PATCH", f"{other}/tags", {"tags": '{"a": "b"}'})
    assert len(await names(scoped)) == 1
