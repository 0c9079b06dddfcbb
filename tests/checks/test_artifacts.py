"""What is found out of artifact locations: the trial that the start makes too, the store's clock, folders."""

import re
from pathlib import Path

import pytest
from tests.servers.s3_quirks import BUCKET, QuirkyS3, error, quirky_s3

from railtrack.checks import Finding
from railtrack.checks.artifacts import check_artifacts
from railtrack.checks.start import root_warnings
from railtrack.config.settings import load
from railtrack.errors import StartError


async def examined(environ: dict[str, str], folder: Path) -> list[Finding]:
    return await check_artifacts(load({"data_folder": str(folder)}, environ))


async def test_a_working_bucket_is_ok_and_left_unchanged(tmp_path: Path) -> None:
    async with quirky_s3() as quirky:
        environ = {**quirky.environment, "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{BUCKET}/root"}
        store, clock = await examined(environ, tmp_path)
        assert (store.status, clock.status) == ("ok", "ok")
        assert store.finding == (
            f"s3://{BUCKET}/root at http://127.0.0.1:{quirky.port}: put, get, list, multipart upload, delete"
        )
        assert clock.finding == "The store sends no Date header."
        assert (quirky.objects, quirky.uploads) == ({}, {})


@pytest.mark.parametrize(
    ("skew", "status", "message"),
    [
        (0, "ok", r"(\d+) s from this machine's"),
        (300, "warning", r"This machine's clock is (\d+) s behind the store's\. From 15 minutes on"),
        (-7200, "problem", r"This machine's clock is (\d+) s ahead of the store's: the store rejects signatures\."),
    ],
)
async def test_a_wrong_clock_is_reported(tmp_path: Path, skew: int, status: str, message: str) -> None:
    async with quirky_s3() as quirky:
        quirky.clock_ahead_s = skew
        _, clock = await examined(at(quirky), tmp_path)
    assert clock.status == status
    found = re.search(message, clock.finding)
    assert found, clock.finding
    # The header has whole seconds, and reading it takes a moment, or longer.
    assert -30 < int(found[1]) - abs(skew) < 30


def at(quirky: QuirkyS3) -> dict[str, str]:
    return {**quirky.environment, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}"}


async def test_a_request_that_the_store_rejects_is_a_problem_with_the_message_of_the_start(tmp_path: Path) -> None:
    async with quirky_s3() as quirky:
        quirky.replies = {"DELETE": error(403, "AccessDenied", "Access Denied.")}
        store, clock = await examined(at(quirky), tmp_path)
    assert (store.status, clock.status) == ("problem", "ok")
    assert store.finding.startswith(
        f"The artifact store rejects the probe's delete: the bucket '{BUCKET}' at http://127.0.0.1:"
    )


async def test_an_unreachable_store_is_a_problem_but_does_not_prevent_the_start(tmp_path: Path) -> None:
    async with quirky_s3() as quirky:
        quirky.hang_ups = 1000
        store, clock = await examined(at(quirky), tmp_path)
    assert store.status == "problem"
    assert "The artifact store does not answer" in store.finding
    assert "AWS_S3_ENDPOINT_URL" in store.finding
    assert (clock.status, clock.finding) == ("skipped", "The store does not respond.")


async def test_missing_credentials_are_reported_with_the_message_of_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^Unable to locate credentials: an s3:// location needs them\."):
        await examined({"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://vision-platform-prod/x"}, tmp_path)


async def test_a_certificate_that_is_not_checked_is_a_warning(tmp_path: Path) -> None:
    (finding,) = await examined({"MLFLOW_S3_IGNORE_TLS": "true"}, tmp_path)
    assert finding.status == "warning"
    assert "Set AWS_CA_BUNDLE" in finding.finding


@pytest.mark.parametrize(
    ("root", "host", "message"),
    [
        ("./mlruns", "0.0.0.0", "is the folder ./mlruns: each client writes artifacts to its own disk"),
        ("file:///mlruns", "0.0.0.0", "is the folder file:///mlruns: each client writes artifacts to its own disk"),
        ("./mlruns", "127.0.0.1", ""),  # clients are on this machine
        ("mlflow-artifacts:/a", "0.0.0.0", ""),
        ("mlflow-artifacts://me:secret@other:5000/a", "0.0.0.0", "sends clients to other:5000, and this server shows"),
        ("https://other/api/2.0/mlflow-artifacts/artifacts", "127.0.0.1", "sends clients to other, and this server"),
        ("gs://bucket/a", "127.0.0.1", "has the scheme gs: clients write artifacts there themselves"),
        ("abfss://container@account.dfs.core.windows.net/a", "127.0.0.1", "has the scheme abfss: clients write"),
    ],
)
def test_an_artifact_root_that_the_server_may_not_reach_is_a_warning(root: str, host: str, message: str) -> None:
    lines = root_warnings(load({}, {"MLFLOW_DEFAULT_ARTIFACT_ROOT": root, "MLFLOW_HOST": host}))
    assert [message in line and "secret" not in line for line in lines] == ([True] if message else [])


@pytest.mark.parametrize(
    ("destination", "advice"),
    [
        ("gs://bucket/a", "AWS_S3_ENDPOINT_URL=https://storage.googleapis.com"),
        ("wasbs://container@account.blob.core.windows.net/a", "such as a mounted volume"),
        ("hdfs://node/a", "Use a folder, or s3://bucket/prefix"),
    ],
)
async def test_a_destination_without_a_store_is_one_line_with_what_to_use_instead(
    tmp_path: Path, destination: str, advice: str
) -> None:
    with pytest.raises(StartError, match="MLFLOW_ARTIFACTS_DESTINATION: Artifact store '") as caught:
        await examined({"MLFLOW_ARTIFACTS_DESTINATION": destination}, tmp_path)
    assert advice in caught.value.advice
