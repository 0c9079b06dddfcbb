"""--no-serve-artifacts, --artifacts-only, --artifacts-presigned-only: what is still served, and what the rest gets."""

import dataclasses
import re
from pathlib import Path

import pytest
from tests.client import running_app

from railtrack.checks.start import check_artifact_locations
from railtrack.config.settings import Settings, load
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError

PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def with_artifacts(settings: Settings, **changed: bool) -> Settings:
    return dataclasses.replace(settings, artifacts=dataclasses.replace(settings.artifacts, **changed))


async def test_without_the_artifact_proxy_the_rest_is_served(sqlite_settings: Settings) -> None:
    async with running_app(with_artifacts(sqlite_settings, is_served=False)) as client:
        for method, path in (
            ("GET", PROXY),
            ("GET", f"{PROXY}/a.txt"),
            ("PUT", f"{PROXY}/a.txt"),
            ("DELETE", f"{PROXY}/a.txt"),
            ("POST", "/ajax-api/2.0/mlflow-artifacts/mpu/create/a.txt"),
        ):
            response = await client.send(method, path, body=b"{}")
            assert (response.status, response.json["error_code"]) == (501, "NOT_IMPLEMENTED")
            assert "disabled due to the mlflow server running with `--no-serve-artifacts`" in response.json["message"]
        await client.ok("POST", "runs/create", {"experiment_id": "0"})
        info = await client.get("/ajax-api/3.0/mlflow/server-info")
        assert not info.json["multipart_uploads_enabled"]


async def test_with_artifacts_only_nothing_but_artifacts_is_served(sqlite_settings: Settings) -> None:
    async with running_app(with_artifacts(sqlite_settings, is_alone=True)) as client:
        assert (await client.send("PUT", f"{PROXY}/only.txt", body=b"text")).status == 200
        assert (await client.get(f"{PROXY}/only.txt")).body == b"text"
        for path in ("/health", "/version", "/", "/ajax-api/3.0/mlflow/server-info"):
            assert (await client.get(path)).status == 200
        for method, path in (
            ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0"),
            ("POST", "/api/2.0/mlflow/runs/create"),
            ("POST", "/ajax-api/2.0/mlflow/registered-models/create"),
            ("GET", "/get-artifact?path=x&run_id=1"),
            ("POST", "/graphql"),
        ):
            response = await client.send(method, path, body=b"no json" if method == "POST" else b"")
            assert (response.status, response.json["error_code"]) == (501, "NOT_IMPLEMENTED")
            assert "disabled due to the mlflow server running in `--artifacts-only` mode" in response.json["message"]


def test_without_the_artifact_proxy_a_root_that_clients_reach_is_required(sqlite_settings: Settings) -> None:
    url = parse_database_url(sqlite_settings.database.uri)
    with pytest.raises(
        StartError, match=r"^--no-serve-artifacts .*mlflow-artifacts:/.* Set MLFLOW_DEFAULT_ARTIFACT_ROOT"
    ):
        check_artifact_locations(with_artifacts(sqlite_settings, is_served=False), url)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "requires an artifacts destination that supports presigned uploads and presigned downloads (got '"),
        (
            {"artifacts.is_served": "false", "artifacts.default_root": "s3://bucket/x"},
            "requires artifact serving to be enabled; --no-serve-artifacts is not supported.",
        ),
        (
            {"artifacts.destination": "s3://bucket/x", "s3.presigned": "off"},
            "RAILTRACK_S3_PRESIGNED is off, so no client could transfer a file.",
        ),
    ],
)
def test_presigned_only_needs_a_store_that_clients_reach(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    loaded = load({"data_folder": str(tmp_path), "artifacts.is_presigned_only": "true", **settings}, {})
    with pytest.raises(StartError, match=r"^--artifacts-presigned-only .*" + re.escape(reason)):
        check_artifact_locations(loaded, parse_database_url(loaded.database.uri))


@pytest.mark.parametrize(("value", "expected"), [("True", True), ("on", True), ("0", False), ("No", False), ("", True)])
def test_the_variable_takes_the_spellings_of_mlflow(value: str, expected: bool) -> None:
    assert load({}, {"MLFLOW_SERVE_ARTIFACTS": value}).artifacts.is_served is expected
    with pytest.raises(StartError, match=r"^Invalid value in MLFLOW_ARTIFACTS_ONLY"):
        load({}, {"MLFLOW_ARTIFACTS_ONLY": "maybe"})
