"""Which sources a model version may have, and where its files are then. Words and rules are MLflow 3.17.2's, but that
what climbs in a query or behind a backslash is refused, too.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.api.registry.models import (
    SOURCE,
    add_version,
    assert_invalid,
    assert_missing,
    create,
    move,
)
from tests.client import Client


class Own(NamedTuple):
    """A run and a logged model of one experiment, and where they keep their artifacts."""

    run_id: str
    run_uri: str
    model_id: str
    model_uri: str


async def own(client: Client, name: str, location: str = "") -> Own:
    body = {"name": name, "artifact_location": location}
    experiment_id = (await client.ok("POST", "experiments/create", body))["experiment_id"]
    run = (await client.ok("POST", "runs/create", {"experiment_id": experiment_id}))["run"]["info"]
    body = {"experiment_id": experiment_id, "source_run_id": run["run_id"]}
    model = (await client.ok("POST", "logged-models", body))["model"]["info"]
    return Own(run["run_id"], run["artifact_uri"], model["model_id"], model["artifact_uri"])


@pytest.fixture
async def mine(client: Client) -> Own:
    """Also creates the registered model `model`, without a version."""
    await create(client, "model")
    return await own(client, "mine")


async def refused(client: Client, source: str, told: str, **more: Any) -> None:
    answer = await client.post("model-versions/create", {"name": "model", "source": source, **more})
    assert_invalid(answer, told)


async def download_uri(client: Client, version: str) -> str:
    query = {"name": "model", "version": version}
    uri: str = (await client.ok("GET", "model-versions/get-download-uri", query=query))["artifact_uri"]
    return uri


@pytest.mark.parametrize(
    "source",
    [
        "s3://b/x",
        "S3://b/x",
        "s3:/b/x",
        "s3:///x",
        "gs://b/x",
        "dbfs:/x",
        "s3://b/x//y",
        "s3://b/..x/y..",
        "s3://b/a b",
    ],
)
async def test_a_place_that_clients_reach_by_themselves_may_be_anyones(client: Client, mine: Own, source: str) -> None:
    made = await add_version(client, "model", source)
    assert made["source"] == source == await download_uri(client, made["version"])
    await add_version(client, "model", source, run_id="a-run-that-is-nowhere")


@pytest.mark.parametrize(
    "source",
    [
        "http://x/y",
        "https://x/y",
        "HTTP://x/y",
        "http:x",
        "ftp://h/x",
        "sftp://h/x",
        "hdfs://h/x",
        "viewfs://x",
        "abfss://x",
        "b2://b/x",
        "r2://b/x",
        "mlflow-artifacts://host/1/x",
    ],
)
async def test_a_source_that_names_a_host_to_connect_to_is_refused(client: Client, mine: Own, source: str) -> None:
    scheme = source.partition(":")[0].lower()
    await refused(client, source, f"'source' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host")


@pytest.mark.parametrize(
    "source",
    [
        "s3://b",
        "s3://b/",
        "s3://",
        "s3:x",
        "x:",
        "C:\\x",
        "data:,x",
        "mlflow-artifacts:/",
        "mlflow-artifacts:x",
        "runs:/",
        "s3://b/../x",
        "s3://b/%2e%2e/x",
        "s3://b/%252e%252e/x",
        "s3://b/%2525252525252e/x",
        "s3://b/x/./y",
        "s3://b/x?y=..",
        "s3://b/x#/../y",
        "s3://b/\\..\\x",
        "s3://b/..;/x",
        "s3://b/%00",
        "dbfs:/../x",
        "runs:/x/../y",
        "mlflow-artifacts:/x/%2e%2e/y",
        "models:/../x",
    ],
)
async def test_a_source_that_is_no_whole_path_is_refused(client: Client, mine: Own, source: str) -> None:
    told = "an absolute path must be provided without relative path references present."
    await refused(client, source, told)
    await refused(client, source, told, run_id=mine.run_id)


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "//proc/self/root/etc/passwd",
        "///etc",
        "etc",
        "./x",
        "..",
        "x/../../y",
        " ",
        "file:///etc/passwd",
        "file:/etc",
        "file:x",
        "file:",
        "file://localhost/etc",
        "file://host/etc",
        "FILE:///etc/passwd",
        "%2e%2e/x",
    ],
)
async def test_a_file_of_the_server_is_refused(client: Client, mine: Own, source: str) -> None:
    told = f"Invalid model version source: '{source}'. To use a local path as a model version source, the run_id"
    await refused(client, source, told)
    await refused(client, source, told, run_id=mine.run_id)
    await refused(client, source, "Invalid model version source", model_id=mine.model_id)


async def test_a_run_may_offer_its_own_artifacts_only(client: Client, mine: Own) -> None:
    other = await own(client, "other")
    told = "The run_id request parameter must identify the resource that contains the source."
    uri = mine.run_uri
    for source in (uri, f"{uri}/", f"{uri}/model", f"{uri}//m", f"{uri}/a%20b", uri.replace(":/", ":///")):
        made = await add_version(client, "model", source, run_id=mine.run_id)
        assert (made["source"], made["run_id"]) == (source, mine.run_id)
        assert await download_uri(client, made["version"]) == source
        await refused(client, source, told)
        await refused(client, source, told, run_id=other.run_id)
        await refused(client, source, told, run_id="nowhere")
    for source in (f"{uri}x", f"{uri};x/y", f"{uri}%20/x", uri.rpartition("/")[0], mine.model_uri, other.run_uri):
        await refused(client, source, told, run_id=mine.run_id)


async def test_a_run_by_its_id_must_be_the_one_that_the_request_names(client: Client, mine: Own) -> None:
    source = f"runs:/{mine.run_id}/model"
    made = await add_version(client, "model", source, run_id=mine.run_id)
    assert (made["source"], await download_uri(client, "1")) == (source, source)
    told = "The run_id request parameter must identify the resource that contains the source."
    await refused(client, source, told)
    await refused(client, source, told, run_id="other")
    await refused(client, source, told.replace("run_id", "model_id"), run_id=mine.run_id, model_id=mine.model_id)


async def test_a_logged_model_may_offer_its_own_artifacts_only(client: Client, mine: Own) -> None:
    other = await own(client, "other")
    told = "The model_id request parameter must identify the resource that contains the source."
    for source in (mine.model_uri, f"{mine.model_uri}/sub"):
        made = await add_version(client, "model", source, model_id=mine.model_id)
        assert (made["source"], made["run_id"]) == (source, mine.run_id)
        made = await add_version(client, "model", source, model_id=mine.model_id, run_id=other.run_id)
        assert made["run_id"] == other.run_id
        await refused(client, source, told, model_id=other.model_id)
        await refused(client, source, told, model_id="nowhere")
    await refused(client, mine.run_uri, told, model_id=mine.model_id, run_id=mine.run_id)
    await refused(client, f"{mine.model_uri}x", told, model_id=mine.model_id)


async def test_a_logged_model_by_its_id_must_be_the_one_that_the_request_names(client: Client, mine: Own) -> None:
    source = f"models:/{mine.model_id}"
    made = await add_version(client, "model", source, model_id=mine.model_id)
    assert (made["source"], made["run_id"]) == (source, mine.run_id)
    assert await download_uri(client, "1") == mine.model_uri
    told = "The model_id request parameter must identify the resource that contains the source."
    for model_id in ("", "other"):
        await refused(client, source, told, model_id=model_id)
    for wrong in (
        "models:/",
        "models:/nope",
        f"{source}/",
        "models:/a@",
        "models:/@a",
        "models:/a/1/b",
        "models:/a%2F1",
    ):
        await refused(client, wrong, told, model_id=mine.model_id)
    await client.ok("DELETE", f"logged-models/{mine.model_id}", {})
    for gone in (source, SOURCE):
        body = {"name": "model", "source": gone, "model_id": mine.model_id}
        assert_missing(await client.post("model-versions/create", body), f"ID '{mine.model_id}' not found.")


async def test_a_version_may_be_made_of_another_one(client: Client, mine: Own) -> None:
    await add_version(client, "model", f"models:/{mine.model_id}", model_id=mine.model_id)
    await add_version(client, "model", SOURCE, run_id="r2")
    await move(client, "model", 1, "Production")
    body = {"name": "model", "alias": "champion", "version": "2"}
    await client.ok("POST", "registered-models/alias", body)
    for source, number, storage, run_id in (
        ("models:/model/1", 1, mine.model_uri, mine.run_id),
        ("models:///model/01", 1, mine.model_uri, mine.run_id),
        ("models:/model/production", 1, mine.model_uri, mine.run_id),
        ("models:/model@champion", 2, SOURCE, "r2"),
    ):
        made = await add_version(client, "model", source)
        assert (made["source"], made["run_id"]) == (f"models:/model/{number}", run_id)
        assert await download_uri(client, made["version"]) == storage
    made = await add_version(client, "model", "models:/model/latest")
    assert (made["source"], await download_uri(client, made["version"])) == ("models:/model/6", SOURCE)
    await add_version(client, "model", "models:/model/2", run_id="r2")


async def test_a_version_made_of_another_one_keeps_to_its_run(client: Client, mine: Own) -> None:
    await add_version(client, "model", SOURCE, run_id="r1")
    told = "The run_id and model_id request parameters must match the referenced model version."
    await refused(client, "models:/model/1", told, run_id="r2")
    await refused(client, "models:/model/1", told, model_id=mine.model_id)
    await refused(client, "models:/model/Bad", "Invalid Model Version stage: Bad.")
    await refused(client, "models:/model/Staging", "No versions of model with name 'model' and stage 'Staging' found")
    await refused(client, "models:/model@none", "Registered model alias none not found.")
    await refused(client, "models://h/model/1", "Registered model sources must use the active model registry.")
    for source, gone in (
        ("models:/model/9", "Model Version (name=model, version=9) not found"),
        ("models:/none/1", "Registered Model with name=none not found"),
        ("models:/none/Staging", "Registered Model with name=none not found"),
        ("models:/none@a", "Registered Model with name=none not found"),
    ):
        assert_missing(await client.post("model-versions/create", {"name": "model", "source": source}), gone)


async def test_a_local_source_lies_in_the_folder_of_the_run_or_model_it_comes_from(
    client: Client, mine: Own, tmp_path: Path
) -> None:
    local = await own(client, "local", str(tmp_path))
    told = "the local path has to be contained within the artifact directory of the run specified by the run_id."
    uri = local.run_uri
    for source in (uri, f"{uri}/m", f"file://{uri}/m", f"file:{uri}", f"file://localhost{uri}/a%20b"):
        await add_version(client, "model", source, run_id=local.run_id)
        await refused(client, source, told)
        await refused(client, source, told, run_id=mine.run_id)
    wrong = (f"{uri}x", f"{uri}#x", f"{uri}/../x", f"{uri}/%2e%2e/x", f"file://{uri}/x%2f..%2f..", local.model_uri, "/")
    for source in wrong:
        await refused(client, source, told, run_id=local.run_id)
    await add_version(client, "model", local.model_uri, model_id=local.model_id)
    await refused(client, uri, told, run_id=local.run_id, model_id=local.model_id)
    await refused(client, mine.run_uri, "The run_id request parameter must identify", run_id=local.run_id)


async def test_the_source_is_judged_before_the_name(client: Client, mine: Own) -> None:
    for body, told in (
        ({"name": "a/b", "source": "http://x/y"}, "'source' cannot use the 'http' scheme"),
        ({"name": "nowhere", "source": "/etc"}, "To use a local path"),
        ({"name": "a/b", "source": SOURCE, "tags": [{"key": "a$"}]}, "Invalid model name 'a/b'."),
        ({"name": "nowhere", "source": SOURCE, "tags": [{"key": "a$"}]}, 'Invalid value "a$" for parameter'),
    ):
        assert_invalid(await client.post("model-versions/create", body), told)
