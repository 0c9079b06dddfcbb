"""Creating a model version: its number, its fields, and which sources it may have.

Rules and messages are MLflow's, except that `..` is also rejected in a query or behind a backslash.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.api.registry.models import (
    PROMPT,
    SOURCE,
    add_version,
    assert_invalid,
    assert_missing,
    create,
    get,
    get_version,
    missing_parameter,
    pairs,
    transition,
)
from tests.client import Client


class Owned(NamedTuple):
    """A run and a logged model of one experiment, with their artifact locations."""

    run_id: str
    run_uri: str
    model_id: str
    model_uri: str


async def create_owned(client: Client, name: str, location: str = "") -> Owned:
    body = {"name": name, "artifact_location": location}
    experiment_id = (await client.ok("POST", "experiments/create", body))["experiment_id"]
    run = (await client.ok("POST", "runs/create", {"experiment_id": experiment_id}))["run"]["info"]
    body = {"experiment_id": experiment_id, "source_run_id": run["run_id"]}
    model = (await client.ok("POST", "logged-models", body))["model"]["info"]
    return Owned(run["run_id"], run["artifact_uri"], model["model_id"], model["artifact_uri"])


@pytest.fixture
async def model(client: Client) -> str:
    await create(client, "model")
    return "model"


@pytest.fixture
async def owned(client: Client, model: str) -> Owned:
    return await create_owned(client, "owned")


async def assert_rejected(client: Client, source: str, message: str, **more: Any) -> None:
    answer = await client.post("model-versions/create", {"name": "model", "source": source, **more})
    assert_invalid(answer, message)


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
async def test_a_location_that_clients_access_directly_needs_no_owner(
    client: Client, owned: Owned, source: str
) -> None:
    created = await add_version(client, "model", source)
    assert created["source"] == source == await download_uri(client, created["version"])
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
async def test_a_source_that_names_a_host_is_rejected(client: Client, owned: Owned, source: str) -> None:
    scheme = source.partition(":")[0].lower()
    await assert_rejected(
        client, source, f"'source' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host"
    )


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
async def test_a_source_without_an_absolute_normalized_path_is_rejected(
    client: Client, owned: Owned, source: str
) -> None:
    message = "an absolute path must be provided without relative path references present."
    await assert_rejected(client, source, message)
    await assert_rejected(client, source, message, run_id=owned.run_id)


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
async def test_a_file_of_the_server_is_rejected(client: Client, owned: Owned, source: str) -> None:
    message = f"Invalid model version source: '{source}'. To use a local path as a model version source, the run_id"
    await assert_rejected(client, source, message)
    await assert_rejected(client, source, message, run_id=owned.run_id)
    await assert_rejected(client, source, "Invalid model version source", model_id=owned.model_id)


async def test_the_source_must_be_an_artifact_of_the_run(client: Client, owned: Owned) -> None:
    other = await create_owned(client, "other")
    message = "The run_id request parameter must identify the resource that contains the source."
    uri = owned.run_uri
    for source in (uri, f"{uri}/", f"{uri}/model", f"{uri}//m", f"{uri}/a%20b", uri.replace(":/", ":///")):
        created = await add_version(client, "model", source, run_id=owned.run_id)
        assert (created["source"], created["run_id"]) == (source, owned.run_id)
        assert await download_uri(client, created["version"]) == source
        await assert_rejected(client, source, message)
        await assert_rejected(client, source, message, run_id=other.run_id)
        await assert_rejected(client, source, message, run_id="nowhere")
    for source in (f"{uri}x", f"{uri};x/y", f"{uri}%20/x", uri.rpartition("/")[0], owned.model_uri, other.run_uri):
        await assert_rejected(client, source, message, run_id=owned.run_id)


async def test_a_runs_uri_must_name_the_run_of_the_request(client: Client, owned: Owned) -> None:
    source = f"runs:/{owned.run_id}/model"
    created = await add_version(client, "model", source, run_id=owned.run_id)
    assert (created["source"], await download_uri(client, "1")) == (source, source)
    message = "The run_id request parameter must identify the resource that contains the source."
    await assert_rejected(client, source, message)
    await assert_rejected(client, source, message, run_id="other")
    await assert_rejected(
        client, source, message.replace("run_id", "model_id"), run_id=owned.run_id, model_id=owned.model_id
    )


async def test_the_source_must_be_an_artifact_of_the_logged_model(client: Client, owned: Owned) -> None:
    other = await create_owned(client, "other")
    message = "The model_id request parameter must identify the resource that contains the source."
    for source in (owned.model_uri, f"{owned.model_uri}/sub"):
        created = await add_version(client, "model", source, model_id=owned.model_id)
        assert (created["source"], created["run_id"]) == (source, owned.run_id)
        created = await add_version(client, "model", source, model_id=owned.model_id, run_id=other.run_id)
        assert created["run_id"] == other.run_id
        await assert_rejected(client, source, message, model_id=other.model_id)
        await assert_rejected(client, source, message, model_id="nowhere")
    await assert_rejected(client, owned.run_uri, message, model_id=owned.model_id, run_id=owned.run_id)
    await assert_rejected(client, f"{owned.model_uri}x", message, model_id=owned.model_id)


async def test_a_models_uri_must_name_the_logged_model_of_the_request(client: Client, owned: Owned) -> None:
    source = f"models:/{owned.model_id}"
    created = await add_version(client, "model", source, model_id=owned.model_id)
    assert (created["source"], created["run_id"]) == (source, owned.run_id)
    assert await download_uri(client, "1") == owned.model_uri
    message = "The model_id request parameter must identify the resource that contains the source."
    for model_id in ("", "other"):
        await assert_rejected(client, source, message, model_id=model_id)
    for wrong in (
        "models:/",
        "models:/nope",
        f"{source}/",
        "models:/a@",
        "models:/@a",
        "models:/a/1/b",
        "models:/a%2F1",
    ):
        await assert_rejected(client, wrong, message, model_id=owned.model_id)
    await client.ok("DELETE", f"logged-models/{owned.model_id}", {})
    for gone in (source, SOURCE):
        body = {"name": "model", "source": gone, "model_id": owned.model_id}
        assert_missing(await client.post("model-versions/create", body), f"ID '{owned.model_id}' not found.")


async def test_a_version_can_be_copied_from_another_version(client: Client, owned: Owned) -> None:
    await add_version(client, "model", f"models:/{owned.model_id}", model_id=owned.model_id)
    await add_version(client, "model", SOURCE, run_id="r2")
    await transition(client, "model", 1, "Production")
    body = {"name": "model", "alias": "champion", "version": "2"}
    await client.ok("POST", "registered-models/alias", body)
    for source, number, storage, run_id in (
        ("models:/model/1", 1, owned.model_uri, owned.run_id),
        ("models:///model/01", 1, owned.model_uri, owned.run_id),
        ("models:/model/production", 1, owned.model_uri, owned.run_id),
        ("models:/model@champion", 2, SOURCE, "r2"),
    ):
        created = await add_version(client, "model", source)
        assert (created["source"], created["run_id"]) == (f"models:/model/{number}", run_id)
        assert await download_uri(client, created["version"]) == storage
    created = await add_version(client, "model", "models:/model/latest")
    assert (created["source"], await download_uri(client, created["version"])) == ("models:/model/6", SOURCE)
    await add_version(client, "model", "models:/model/2", run_id="r2")


async def test_a_copied_version_must_match_run_and_model(client: Client, owned: Owned) -> None:
    await add_version(client, "model", SOURCE, run_id="r1")
    message = "The run_id and model_id request parameters must match the referenced model version."
    await assert_rejected(client, "models:/model/1", message, run_id="r2")
    await assert_rejected(client, "models:/model/1", message, model_id=owned.model_id)
    await assert_rejected(client, "models:/model/Bad", "Invalid Model Version stage: Bad.")
    await assert_rejected(
        client, "models:/model/Staging", "No versions of model with name 'model' and stage 'Staging' found"
    )
    await assert_rejected(client, "models:/model@none", "Registered model alias none not found.")
    await assert_rejected(client, "models://h/model/1", "Registered model sources must use the active model registry.")
    for source, gone in (
        ("models:/model/9", "Model Version (name=model, version=9) not found"),
        ("models:/none/1", "Registered Model with name=none not found"),
        ("models:/none/Staging", "Registered Model with name=none not found"),
        ("models:/none@a", "Registered Model with name=none not found"),
    ):
        assert_missing(await client.post("model-versions/create", {"name": "model", "source": source}), gone)


async def test_a_local_source_must_be_in_the_folder_of_its_run_or_model(
    client: Client, owned: Owned, tmp_path: Path
) -> None:
    local = await create_owned(client, "local", str(tmp_path))
    message = "the local path has to be contained within the artifact directory of the run specified by the run_id."
    uri = local.run_uri
    for source in (uri, f"{uri}/m", f"file://{uri}/m", f"file:{uri}", f"file://localhost{uri}/a%20b"):
        await add_version(client, "model", source, run_id=local.run_id)
        await assert_rejected(client, source, message)
        await assert_rejected(client, source, message, run_id=owned.run_id)
    wrong = (f"{uri}x", f"{uri}#x", f"{uri}/../x", f"{uri}/%2e%2e/x", f"file://{uri}/x%2f..%2f..", local.model_uri, "/")
    for source in wrong:
        await assert_rejected(client, source, message, run_id=local.run_id)
    await add_version(client, "model", local.model_uri, model_id=local.model_id)
    await assert_rejected(client, uri, message, run_id=local.run_id, model_id=local.model_id)
    await assert_rejected(client, owned.run_uri, "The run_id request parameter must identify", run_id=local.run_id)


async def test_a_local_source_may_have_dots_that_stay_in_the_folder_of_its_run(
    client: Client, owned: Owned, tmp_path: Path
) -> None:
    """The source is stored as it was sent, and its files are read from the path without them."""
    local = await create_owned(client, "local", str(tmp_path))
    uri = local.run_uri
    for source, storage in (
        (f"{uri}/a/../m", f"{uri}/m"),
        (f"{uri}/../artifacts/m", f"{uri}/m"),
        (f"{uri}/a/..", uri),
        (f"file://{uri}/a/b/../../m", f"file://{uri}/m"),
    ):
        created = await add_version(client, "model", source, run_id=local.run_id)
        assert created["source"] == source
        assert await download_uri(client, created["version"]) == storage
    for source in (
        f"{uri}/a/../../x",
        f"{uri}/..",
        f"{uri}/a/../..",
        f"file:{uri}/../x",
        f"{uri}/a/../%2e%2e/x",
        f"{uri}/a/../b\\..\\x",
    ):
        await assert_rejected(client, source, "the local path has to be contained", run_id=local.run_id)


async def test_the_source_is_validated_before_the_name(client: Client, owned: Owned) -> None:
    for body, message in (
        ({"name": "a/b", "source": "http://x/y"}, "'source' cannot use the 'http' scheme"),
        ({"name": "nowhere", "source": "/etc"}, "To use a local path"),
        ({"name": "a/b", "source": SOURCE, "tags": [{"key": "a$"}]}, "Invalid model name 'a/b'."),
        ({"name": "nowhere", "source": SOURCE, "tags": [{"key": "a$"}]}, 'Invalid value "a$" for parameter'),
    ):
        assert_invalid(await client.post("model-versions/create", body), message)


async def test_create_returns_the_version_that_get_returns(client: Client, model: str) -> None:
    run_link = "https://host/run"
    created = await add_version(client, model, run_id="r1", run_link=run_link, description="d", tags=pairs(k="v", e=""))
    assert await get_version(client, model, 1) == created
    changed = created["last_updated_timestamp"]
    assert created.pop("creation_timestamp") == created.pop("last_updated_timestamp") > 1_700_000_000_000
    assert created == {
        "name": model,
        "version": "1",
        "current_stage": "None",
        "description": "d",
        "source": SOURCE,
        "run_id": "r1",
        "status": "READY",
        "run_link": run_link,
        "tags": [{"key": "e", "value": ""}, {"key": "k", "value": "v"}],
    }
    assert (await get(client, model))["last_updated_timestamp"] == changed


async def test_optional_fields_default_to_empty(client: Client, model: str) -> None:
    created = await add_version(client, model)
    assert (created["description"], created["run_id"], created["run_link"]) == ("", "", "")
    assert not {"tags", "aliases", "user_id", "status_message"} & set(created)


async def test_numbers_increase_and_are_not_reused(client: Client, model: str) -> None:
    assert [(await add_version(client, model))["version"] for _ in range(3)] == ["1", "2", "3"]
    await client.ok("DELETE", "model-versions/delete", {"name": model, "version": "3"})
    assert (await add_version(client, model))["version"] == "4"


async def test_concurrent_versions_get_different_numbers(client: Client, model: str) -> None:
    created = await asyncio.gather(*(add_version(client, model, tags=pairs(k="v")) for _ in range(12)))
    assert sorted(int(version["version"]) for version in created) == list(range(1, 13))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": ""}, missing_parameter("name")),
        ({"source": ""}, missing_parameter("source")),
        ({"source": 3}, "Invalid value 3 for parameter 'source' supplied:"),
        ({"run_id": "x" * 33}, "'run_id' exceeds the maximum length of 32 characters"),
        ({"source": "s3://b/" + "x" * 500}, "'source' exceeds the maximum length of 500 characters"),
        ({"run_link": "https://h/" + "x" * 500}, "'run_link' exceeds the maximum length of 500 characters"),
        ({"run_link": "javascript:alert(1)"}, "Invalid run_link 'javascript:alert(1)'."),
        ({"run_link": " JavaScript:alert(1)"}, "It must be an http or https URL."),
        ({"description": "x" * 5001}, "'description' exceeds the maximum length of 5000 characters"),
        ({"tags": pairs(**{"": "x"})}, "This name would resolve to '.'"),
        ({"tags": pairs(k="x" * 100_001)}, "'value' exceeds the maximum length of 100000 characters"),
    ],
)
async def test_an_invalid_version_changes_nothing(
    client: Client, model: str, body: dict[str, Any], message: str
) -> None:
    before = await get(client, model)
    assert_invalid(await client.post("model-versions/create", {"name": model, "source": SOURCE, **body}), message)
    assert await get(client, model) == before


async def test_a_tag_of_a_version_can_store_a_long_prompt(client: Client, model: str) -> None:
    created = await add_version(client, model, tags=[*pairs(k="first"), *pairs(k="é" * 100_000)])
    assert created["tags"] == pairs(k="é" * 100_000)


async def test_a_logged_model_lists_the_versions_it_is_registered_as(client: Client, model: str) -> None:
    experiment_id = (await client.ok("POST", "experiments/create", {"name": "e"}))["experiment_id"]
    body = {"experiment_id": experiment_id, "source_run_id": "r1", "tags": pairs(**{"mlflow.modelVersions": "junk"})}
    info = (await client.ok("POST", "logged-models", body))["model"]["info"]
    model_id = info["model_id"]
    for source in (f"models:/{model_id}", info["artifact_uri"], SOURCE):
        created = await add_version(client, model, source, model_id=model_id)
        assert (created["source"], created["run_id"]) == (source, "r1")
    tags = (await client.ok("GET", f"logged-models/{model_id}"))["model"]["info"]["tags"]
    assert json.loads(tags[0]["value"]) == [{"name": model, "version": number} for number in (1, 2, 3)]


async def test_a_prompt_has_a_placeholder_as_source(client: Client, model: str) -> None:
    for source in ("dummy-source", "prompt-template"):
        assert (await add_version(client, model, source, tags=PROMPT))["source"] == source
    for source in (SOURCE, "/etc/passwd", "dummy-source/../x"):
        answer = await client.post("model-versions/create", {"name": model, "source": source, "tags": PROMPT})
        assert_invalid(answer, f"Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder.")
    answer = await client.post("model-versions/create", {"name": model, "source": "dummy-source"})
    assert_invalid(answer, "Invalid model version source: 'dummy-source'. To use a local path")
