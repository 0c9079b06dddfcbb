"""MLFLOW_STATIC_PREFIX: all paths below it, as MLflow 3.17.2 does it, and what platforms ask without it as well."""

import dataclasses
from collections.abc import AsyncIterator

import pytest
from tests.client import Client, running_app

from railtrack.config.settings import MetricsSettings, ServerSettings, Settings, load
from railtrack.db import Db
from railtrack.errors import StartError

PREFIX = "/ml/track"


@pytest.fixture
async def below(db: Db, settings: Settings) -> AsyncIterator[Client]:
    async with running_app(dataclasses.replace(settings, server=ServerSettings(static_prefix=PREFIX))) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/version",
        "/api/2.0/mlflow/experiments/get?experiment_id=0",
        "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0",
        "/ajax-api/3.0/mlflow/server-info",
        "/api/2.0/mlflow-artifacts/artifacts",
        "/static-files/manifest.json",
    ],
)
async def test_a_path_is_served_below_the_prefix_only(below: Client, path: str) -> None:
    assert (await below.get(PREFIX + path)).status == 200
    outside = await below.get(path)
    assert (outside.status, outside.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert f"All paths of this server begin with {PREFIX}/." in outside.json["message"]


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_what_platforms_ask_is_there_with_the_prefix_and_without(below: Client, path: str) -> None:
    assert (await below.get(path)).status == 200
    assert (await below.get(PREFIX + path)).body == (await below.get(path)).body


async def test_the_metrics_are_there_with_the_prefix_and_without(db: Db, settings: Settings) -> None:
    async with running_app(
        dataclasses.replace(
            settings, server=ServerSettings(static_prefix=PREFIX), metrics=MetricsSettings(enabled=True)
        )
    ) as client:
        assert (await client.get("/metrics")).status == 200
        assert (await client.get(f"{PREFIX}/metrics")).status == 200


async def test_the_prefix_without_its_slash_leads_to_the_page(below: Client) -> None:
    answer = await below.get(f"{PREFIX}?a=b")
    assert (answer.status, answer.headers["location"]) == (308, f"{PREFIX}/?a=b")
    assert "static-files/" in (await below.get(f"{PREFIX}/")).text


@pytest.mark.parametrize("path", ["/ml/trackhealth", "/ML/track/health", "/ml/track/ml/track/health", "/ml//health"])
async def test_what_only_looks_like_the_prefix_is_not(below: Client, path: str) -> None:
    assert (await below.get(path)).status == 404


async def test_slashes_after_the_prefix_lead_to_the_path_without_them(below: Client) -> None:
    answer = await below.get(f"/{PREFIX}//version")
    assert (answer.status, answer.headers["location"]) == (308, f"{PREFIX}/version")


async def test_artifacts_and_their_paths_are_the_same_below_the_prefix(below: Client) -> None:
    path = "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/ml/track/a%20b.txt"
    assert (await below.send("PUT", PREFIX + path, body=b"text")).status == 200
    assert (await below.get(PREFIX + path)).body == b"text"


async def test_a_loopback_server_answers_health_to_any_host_with_the_prefix_too(below: Client) -> None:
    for path in ("/health", f"{PREFIX}/health"):
        assert (await below.get(path, headers={"Host": "platform.example"})).status == 200
    assert (await below.get(f"{PREFIX}/x/health", headers={"Host": "platform.example"})).status == 403


@pytest.mark.parametrize("prefix", ["ml", "/ml/", "/", "//ml", "/m{l}", "/m l", "/ml?x", "/mü"])
def test_an_invalid_prefix_is_rejected(prefix: str) -> None:
    with pytest.raises(StartError, match=r"^Invalid path prefix in MLFLOW_STATIC_PREFIX: .* Start it with a slash"):
        load({}, {"MLFLOW_STATIC_PREFIX": prefix})


def test_the_flag_is_spelled_as_mlflows() -> None:
    assert load({"server.static_prefix": "/ml"}, {}).server.static_prefix == "/ml"
