"""Health and readiness."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.client import Client, running_app

from railtrack.api.server import health
from railtrack.config.artifact_settings import ArtifactSettings
from railtrack.config.settings import DatabaseSettings, Settings


async def test_health_returns_the_body_that_platforms_expect(client: Client) -> None:
    answer = await client.get("/health", headers={"host": "anything.example"})
    assert (answer.status, answer.body) == (200, b'{"status": "ok"}')
    assert answer.headers["content-type"] == "application/json"


async def test_ready_reports_database_and_artifact_store(client: Client) -> None:
    answer = await client.get("/ready")
    assert (answer.status, answer.json) == (200, {"database": "ok", "artifact_store": "ok"})


async def test_a_server_without_its_database_is_healthy_but_not_ready(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for uri in (f"sqlite:///{tmp_path}/no/such/folder/m.db", "postgresql://nobody@127.0.0.1:9/none"):
        caplog.clear()
        async with running_app(replace(settings, database=DatabaseSettings(uri))) as client:
            assert (await client.get("/health")).status == 200
            answer = await client.get("/ready")
            assert (answer.status, answer.json) == (503, {"database": "unavailable", "artifact_store": "ok"})
            assert [line for line in caplog.messages if line.startswith("Not ready: the database: ")]


async def test_a_server_without_its_artifact_store_is_not_ready(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    stores = {str(tmp_path / "file"): "is a file", "s3://bucket/prefix": "Unable to locate credentials"}
    for destination, reason in stores.items():
        async with running_app(replace(settings, artifacts=ArtifactSettings(destination=destination))) as client:
            answer = await client.get("/ready")
            assert (answer.status, answer.json) == (503, {"database": "ok", "artifact_store": "unavailable"})
            assert any("Not ready: the artifact store: " in line and reason in line for line in caplog.messages)


async def test_the_reason_is_logged_once_while_probes_fail(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_CACHE_S", 0.0)
    (tmp_path / "file").touch()
    async with running_app(replace(settings, artifacts=ArtifactSettings(destination=str(tmp_path / "file")))) as client:
        assert [(await client.get("/ready")).status for _ in range(5)] == [503] * 5
    assert len([line for line in caplog.messages if line.startswith("Not ready: ")]) == 1


async def test_readiness_is_cached_for_a_few_seconds(settings: Settings, tmp_path: Path) -> None:
    destination = tmp_path / "artifacts"
    async with running_app(replace(settings, artifacts=ArtifactSettings(destination=str(destination)))) as client:
        answers = await asyncio.gather(*(client.get("/ready") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        destination.rmdir()
        destination.touch()
        assert (await client.get("/ready")).status == 200
