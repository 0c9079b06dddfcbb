"""One database, opened in turn by MLflow and by Railtrack: each reads what the other wrote, as it was meant."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.client import Client, running_app
from tests.db.catalogue import catalogue
from tests.db.record_catalogue import recorded
from tests.db.with_mlflow import FOLDERS, REFERENCE, mlflow_store

from railtrack.config.settings import load
from railtrack.db.open import open_database, prepare
from railtrack.db.url import parse_database_url

pytestmark = pytest.mark.mlflow


@contextlib.asynccontextmanager
async def railtrack(url: str, data: Path) -> AsyncIterator[Client]:
    """Railtrack, started on this database."""
    settings = load({"database.uri": url, "data_folder": str(data)}, {})
    address = parse_database_url(url)
    db = open_database(address, connections=1)
    await prepare(db, address, default_location=settings.artifacts.experiment_location(0))
    await db.close()
    async with running_app(settings) as client:
        yield client


async def write(client: Client) -> None:
    """What mlflow_store.py writes, and in the same order, but by requests and under other names."""
    experiment = await _experiment(client, "by Railtrack: größe", [{"key": "team", "value": "비전"}])
    run_id = await _started(client, experiment, "first")
    batch = {
        "metrics": [_metric("loss", 0.1 + step / 7, step) for step in range(20)],
        "params": [{"key": "lr", "value": "0.001"}, {"key": "layers", "value": "[64, 32]"}],
        "tags": [{"key": "stage", "value": "☃"}],
    }
    await client.ok("POST", "runs/log-batch", {"run_id": run_id, **batch})
    for step, value in enumerate(("NaN", "Infinity", "-Infinity")):
        await client.ok("POST", "runs/log-metric", {"run_id": run_id, **_metric("odd", value, step)})
    await client.ok("POST", "runs/log-metric", {"run_id": run_id, **_metric("nan at last", "NaN", 0)})
    dataset = {"name": "images", "digest": "d1g35t", "source_type": "local", "source": "{}", "schema": "{}"}
    tags = [{"key": "mlflow.data.context", "value": "train"}]
    await client.ok("POST", "runs/log-inputs", {"run_id": run_id, "datasets": [{"dataset": dataset, "tags": tags}]})
    ended = {"status": "FINISHED", "end_time": 1_700_000_099_000, "run_name": "first, renamed"}
    await client.ok("POST", "runs/update", {"run_id": run_id, **ended})
    await client.ok("POST", "runs/delete", {"run_id": await _started(client, experiment, "deleted")})
    await client.ok("POST", "experiments/delete", {"experiment_id": await _experiment(client, "gone", [])})


async def _experiment(client: Client, name: str, tags: list[dict[str, str]]) -> str:
    experiment_id: str = (await client.ok("POST", "experiments/create", {"name": name, "tags": tags}))["experiment_id"]
    return experiment_id


async def _started(client: Client, experiment_id: str, name: str) -> str:
    body = {"experiment_id": experiment_id, "user_id": "somebody", "start_time": 1_700_000_000_000, "run_name": name}
    run_id: str = (await client.ok("POST", "runs/create", body))["run"]["info"]["run_id"]
    return run_id


def _metric(key: str, value: float | str, step: int) -> dict[str, Any]:
    return {"key": key, "value": value, "timestamp": 1_700_000_000_000 + step, "step": step}


async def everything(client: Client) -> list[dict[str, Any]]:
    """All that is there, in the form that mlflow_store.py prints."""
    body = {"max_results": 100, "view_type": "ALL"}
    experiments = (await client.ok("POST", "experiments/search", body))["experiments"]
    return sorted([await _experiment_summary(client, experiment) for experiment in experiments], key=_name)


async def _experiment_summary(client: Client, experiment: dict[str, Any]) -> dict[str, Any]:
    body = {"experiment_ids": [experiment["experiment_id"]], "run_view_type": "ALL"}
    runs = (await client.ok("POST", "runs/search", body)).get("runs", [])
    return {
        "name": experiment["name"],
        "artifact_location": experiment["artifact_location"],
        "lifecycle_stage": experiment["lifecycle_stage"],
        "tags": _pairs(experiment.get("tags", [])),
        "runs": sorted([await _run_summary(client, run) for run in runs], key=_name),
    }


async def _run_summary(client: Client, run: dict[str, Any]) -> dict[str, Any]:
    info, data = run["info"], run["data"]
    metrics = data.get("metrics", [])
    return {
        "name": info["run_name"],
        "artifact_uri": info["artifact_uri"],
        "lifecycle_stage": info["lifecycle_stage"],
        "status": info["status"],
        "times": [info["start_time"], info.get("end_time")],
        "user": info["user_id"],
        "params": _pairs(data.get("params", [])),
        "tags": _pairs(data.get("tags", [])),
        "latest": {metric["key"]: _point(metric) for metric in metrics},
        "history": {metric["key"]: await _history(client, info["run_id"], metric["key"]) for metric in metrics},
        "datasets": [
            [{"schema": None, "profile": None, **each["dataset"]}, _pairs(each.get("tags", []))]
            for each in run["inputs"].get("dataset_inputs", [])
        ],
    }


async def _history(client: Client, run_id: str, key: str) -> list[list[Any]]:
    found = await client.ok("GET", "metrics/get-history", query={"run_id": run_id, "metric_key": key})
    return sorted(_point(metric) for metric in found["metrics"])


def _point(metric: dict[str, Any]) -> list[Any]:
    return [metric["step"], metric["timestamp"], repr(float(metric["value"]))]


def _pairs(listed: list[dict[str, str]]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in listed}


def _name(entry: dict[str, Any]) -> str:
    name: str = entry["name"]
    return name


def read_by_mlflow(url: str, version: str = REFERENCE) -> Any:
    return json.loads(mlflow_store("read", url, version))


async def _check_catalogue(url: str, version: str = REFERENCE) -> None:
    """Neither has changed a table of the other."""
    assert await asyncio.to_thread(catalogue, url) == recorded(url.partition(":")[0], version)["catalogue"]


async def test_mlflow_writes_into_our_database_and_we_read_it(url: str, tmp_path: Path) -> None:
    async with railtrack(url, tmp_path):
        pass
    mlflow_store("write", url)
    async with railtrack(url, tmp_path) as client:
        read = await everything(client)
    assert read == read_by_mlflow(url)
    [first] = [run for run in read[1]["runs"] if run["name"] == "first, renamed"]
    assert first["latest"]["loss"] == [19, 1_700_000_000_019, repr(0.1 + 19 / 7)]
    assert first["latest"]["nan at last"] == [0, 1_700_000_000_000, "nan"]
    assert first["history"]["odd"][1] == [1, 1_700_000_000_000, "1.7976931348623157e+308"]
    assert first["datasets"][0][0]["name"] == "images"
    await _check_catalogue(url)


@pytest.mark.parametrize("version", FOLDERS)
async def test_we_write_into_the_database_of_mlflow_and_mlflow_reads_it(url: str, version: str, tmp_path: Path) -> None:
    mlflow_store("create", url, version)
    mlflow_store("write", url, version)
    before = read_by_mlflow(url, version)
    async with railtrack(url, tmp_path) as client:
        assert await everything(client) == before
        await write(client)
        read = await everything(client)
    assert [entry["name"] for entry in read if entry not in before] == ["by Railtrack: größe", "gone"]
    assert read_by_mlflow(url, version) == read
    await _check_catalogue(url, version)
