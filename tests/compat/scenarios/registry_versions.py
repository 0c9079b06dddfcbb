"""Model versions: create, get, update, delete, tags, stages, and sources."""

from typing import Any

from tests.compat.play import Script, get, post, raw
from tests.compat.scenarios.given import (
    NOT_A_LIST,
    NOT_A_STRING,
    NOWHERE,
    STARTED,
    experiment,
    run,
    with_each,
    without_each,
)
from tests.compat.scenarios.given_models import (
    SOURCE,
    delete,
    logged_model,
    pairs,
    patch,
    registered_model,
    version,
)

MODELS = "registered-models"
VERSIONS = "model-versions"


def versions(prefix: str) -> Script:
    path = f"{VERSIONS}/create"
    name = yield from registered_model(prefix, "model")
    whole = {
        "name": name,
        "source": SOURCE,
        "run_id": NOWHERE,
        "tags": pairs(k="v", **{"한글": "값"}),
        "run_link": "https://host/run",
        "description": "the first",
    }
    yield post("a whole version", path, whole)
    yield get("the whole version", f"{VERSIONS}/get", {"name": name, "version": "1"})
    yield post("name and source", path, {"name": name, "source": SOURCE})
    yield get("the model with versions", f"{MODELS}/get", {"name": name})
    for label, body in without_each(whole, "name", "source", "run_id", "run_link", "description", "tags"):
        if label not in ("tags is empty",):
            yield post(label, path, body)
    for field in ("name", "source", "run_id", "run_link", "description"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    for label, body in with_each({"name": name, "source": SOURCE}, "tags", NOT_A_LIST):
        yield post(label, path, body)
    for label, more in {
        "an empty tag key": {"tags": pairs(**{"": "x"})},
        "a bad tag key": {"tags": pairs(**{"a$": "x"})},
        "a tag key over 250": {"tags": pairs(**{"k" * 251: "x"})},
        "a tag of 100000": {"tags": pairs(k="x" * 100_000)},
        "a tag over 100000": {"tags": pairs(k="x" * 100_001)},
        "a tag twice": {"tags": [*pairs(k="1"), *pairs(k="2")]},
        "an unknown model": {"name": "no"},
        "a bad name": {"name": "a/b"},
        "a bad name and a bad tag": {"name": "a/b", "tags": pairs(**{"a$": "x"})},
        "an unknown model and a bad tag": {"name": "no", "tags": pairs(**{"a$": "x"})},
    }.items():
        yield post(label, path, {"name": name, "source": SOURCE, **more})
    # MLflow accepts some of these, so they would increase its version numbers.
    strict = yield from registered_model(prefix, "strict")
    for label, more in {
        "a run id over 32": {"run_id": "x" * 33},
        "a link over 500": {"run_link": "https://host/" + "x" * 500},
        "a script for a link": {"run_link": "javascript:alert(1)"},
        "a description over 5000": {"description": "x" * 5001},
        "a source over 500": {"source": "s3://b/" + "x" * 500},
    }.items():
        yield post(label, path, {"name": strict, "source": SOURCE, **more})

    wrong = ("abc", "1.0", "99", "-1", "0", "99999999999999999999", " 1", "01", "")
    for number in wrong:
        yield get(f"get {number!r}", f"{VERSIONS}/get", {"name": name, "version": number})
        yield get(f"download uri of {number!r}", f"{VERSIONS}/get-download-uri", {"name": name, "version": number})
    for label, query in {"no name": {"version": "1"}, "a bad name": {"name": "a/b", "version": "x"}}.items():
        yield get(f"get by {label}", f"{VERSIONS}/get", query)
    yield get("get of an unknown model", f"{VERSIONS}/get", {"name": "no", "version": "1"})

    update = f"{VERSIONS}/update"
    one = {"name": name, "version": "1"}
    yield patch("another description", update, {**one, "description": "changed"})
    yield patch("an empty description", update, {**one, "description": ""})
    yield patch("no description to update with", update, one)
    for label, body in with_each(one, "description", NOT_A_STRING):
        yield patch(f"update: {label}", update, body)
    for label, body in without_each({**one, "description": "x"}, "name", "version"):
        yield patch(f"update: {label}", update, body)
    for number in ("abc", "99"):
        yield patch(f"update {number!r}", update, {"name": name, "version": number, "description": "x"})

    tag = f"{VERSIONS}/set-tag"
    yield post("set a tag", tag, {**one, "key": "k", "value": "w"})
    yield post("set a tag without a value", tag, {**one, "key": "bare"})
    for label, body in without_each({**one, "key": "k", "value": "v"}, "name", "version", "key", "value"):
        yield post(f"set a tag: {label}", tag, body)
    for field in ("version", "key", "value"):
        for label, body in with_each({**one, "key": "k", "value": "v"}, field, NOT_A_STRING):
            yield post(f"set a tag: {label}", tag, body)
    yield post("set a tag with a bad key", tag, {**one, "key": "a$", "value": "v"})
    for number in ("abc", "99"):
        yield post(f"set a tag of {number!r}", tag, {"name": name, "version": number, "key": "k", "value": "v"})
    untag = f"{VERSIONS}/delete-tag"
    yield delete("take a tag off", untag, {**one, "key": "bare"})
    yield delete("take it off again", untag, {**one, "key": "bare"})
    for label, body in without_each({**one, "key": "k"}, "name", "version", "key"):
        yield delete(f"take a tag off: {label}", untag, body)
    yield delete("take a tag off an unknown version", untag, {"name": name, "version": "99", "key": "k"})
    yield get("the version with its tags", f"{VERSIONS}/get", one)

    for label, body in without_each(one, "name", "version"):
        yield delete(f"delete: {label}", f"{VERSIONS}/delete", body)
    for number in ("abc", "99"):
        yield delete(f"delete {number!r}", f"{VERSIONS}/delete", {"name": name, "version": number})
    yield delete("delete", f"{VERSIONS}/delete", one)
    yield delete("delete again", f"{VERSIONS}/delete", one)
    yield get("the deleted version", f"{VERSIONS}/get", one)
    yield get("the download uri of the deleted version", f"{VERSIONS}/get-download-uri", one)
    yield patch("update the deleted version", update, {**one, "description": "x"})
    yield post("set a tag of the deleted version", tag, {**one, "key": "k", "value": "v"})
    yield delete("take a tag off the deleted version", untag, {**one, "key": "k"})


def stages(prefix: str) -> Script:
    path = f"{VERSIONS}/transition-stage"
    latest = f"{MODELS}/get-latest-versions"
    name = yield from registered_model(prefix, "staged")
    yield get("latest of none", latest, {"name": name})
    for label in ("one", "two", "three", "four"):
        yield from version(name, label, tags=pairs(k=label))
    one = {"name": name, "version": "1", "stage": "Staging", "archive_existing_versions": False}
    for label, body in without_each(one, "name", "version", "stage"):
        yield post(label, path, body)
    yield post("no archive_existing_versions", path, {k: v for k, v in one.items() if k != "archive_existing_versions"})
    for field in ("name", "version", "stage"):
        for label, body in with_each(one, field, NOT_A_STRING):
            yield post(label, path, body)
    for value in ("true", "", 1, [True]):
        yield post(f"archive_existing_versions is {value!r}", path, {**one, "archive_existing_versions": value})
    for stage in ("Bad", "Deleted_Internal", "staging", "STAGING", "none", "production", "ARCHIVED"):
        yield post(f"the stage {stage!r}", path, {**one, "stage": stage})
    for number in ("abc", "99"):
        yield post(f"a stage for {number!r}", path, {**one, "version": number})
    yield post("a stage for an unknown model", path, {**one, "name": "no"})
    moves = (
        ("1", "Staging", False),
        ("2", "Staging", False),
        ("3", "Staging", True),
        ("3", "Production", True),
        ("3", "Production", True),
        ("4", "None", True),
        ("4", "Archived", True),
        ("4", "Archived", False),
        ("1", "Production", False),
    )
    for at, (number, stage, archive) in enumerate(moves, 1):
        body = {"name": name, "version": number, "stage": stage, "archive_existing_versions": archive}
        yield post(f"move {at}: {number} to {stage}{', archiving' if archive else ''}", path, body)
        yield get(f"the model after move {at}", f"{MODELS}/get", {"name": name})
    for wanted in (None, "Production", ["Production", "Staging"], ["production"], ["None"], ["Bad"], [""]):
        yield get(
            f"latest of {wanted!r}", latest, {"name": name} if wanted is None else {"name": name, "stages": wanted}
        )
    for wanted in (None, [], ["Archived", "None"], ["Bad"], "x", [1]):
        yield post(f"latest of {wanted!r} by POST", latest, {"name": name, "stages": wanted})
    for label, query in {"no": {}, "an unknown": {"name": "no"}, "a bad": {"name": "a/b"}}.items():
        yield get(f"latest of {label} model", latest, query)
    yield delete("delete an archived version", f"{VERSIONS}/delete", {"name": name, "version": "4"})
    yield get("latest after that", latest, {"name": name})


SOURCES = [
    "s3://b/x",
    "S3://b/x",
    "s3:/b/x",
    "s3:///x",
    "gs://b/x",
    "dbfs:/x",
    "unknown:/x",
    "s3://b/x//y",
    "s3://b/..x/y..",
    "s3://b/a b",
    "s3://b/x#f",
    "s3://b/x?y=1",
    "s3://b",
    "s3://b/",
    "s3:x",
    "s3://b/../x",
    "s3://b/%2e%2e/x",
    "s3://b/%252e%252e/x",
    "s3://b/x/./y",
    "s3://b/%00",
    "C:\\x",
    "x:",
    "data:,x",
    "http://x/y",
    "https://x/../y",
    "http:x",
    "ftp://h/x",
    "hdfs://h/x",
    "abfss://x",
    "r2://b/x",
    "/etc/passwd",
    "//proc/self/root/etc/passwd",
    "etc",
    "../x",
    " ",
    "file:///etc/passwd",
    "file:/etc",
    "file://localhost/etc",
    "file://host/etc",
    "dummy-source",
    "mlflow-artifacts:/",
    "mlflow-artifacts:/..",
    "mlflow-artifacts:x",
    "mlflow-artifacts://host/x",
    "mlflow-artifacts:/x/%2e%2e/y",
    "runs:/",
    "runs:/nope/model",
    "runs:/x/../y",
    "models:/",
    "models:/nope",
    "models:/m-nope",
    "models:/a@",
    "models:/a/1/b",
    "models://h/a/1",
    "models:/no-such-model/1",
    "models:/no-such-model@alias",
    "models:/no-such-model/Staging",
]


CLIMBING_ELSEWHERE = ["s3://b/x?y=..", "s3://b/\\..\\x"]
"""MLflow accepts these, so its version numbers increase."""


def sources(prefix: str) -> Script:
    path = f"{VERSIONS}/create"
    name = yield from registered_model(prefix, "sourced")
    strict = yield from registered_model(prefix, "strict")
    experiment_id = yield from experiment(prefix, "sources")
    run_id = yield from run(experiment_id, "mine")
    other_id = yield from run(experiment_id, "another")
    model_id, model_uri = yield from logged_model(experiment_id, "mine", source_run_id=run_id)
    other_model, _ = yield from logged_model(experiment_id, "another")
    for source in SOURCES:
        yield post(f"the source {source!r}", path, {"name": name, "source": source})
    for source in CLIMBING_ELSEWHERE:
        yield post(f"the source {source!r}", path, {"name": strict, "source": source})
    uri = f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts"
    asked: dict[str, dict[str, Any]] = {
        "the run's, with the run": {"source": uri, "run_id": run_id},
        "within the run's, with the run": {"source": f"{uri}/model", "run_id": run_id},
        "the run's with a slash, with the run": {"source": f"{uri}/", "run_id": run_id},
        "the run's with a space, with the run": {"source": f"{uri}/a%20b", "run_id": run_id},
        "the run's with three slashes, with the run": {"source": uri.replace(":/", ":///"), "run_id": run_id},
        "the run's without a run": {"source": uri},
        "the run's with another run": {"source": uri, "run_id": other_id},
        "the run's with an unknown run": {"source": uri, "run_id": NOWHERE},
        "beside the run's": {"source": f"{uri}x", "run_id": run_id},
        "above the run's": {"source": f"{uri}/../x", "run_id": run_id},
        "above the run's, encoded": {"source": f"{uri}/%2e%2e/x", "run_id": run_id},
        "above the run's in the query": {"source": f"{uri}/x?y=../..", "run_id": run_id},
        "a local path with the run": {"source": "/etc/passwd", "run_id": run_id},
        "S3 with the run": {"source": SOURCE, "run_id": run_id},
        "a host with the run": {"source": "http://x/y", "run_id": run_id},
        "runs:/ with its run": {"source": f"runs:/{run_id}/model", "run_id": run_id},
        "runs:/ without a run": {"source": f"runs:/{run_id}/model"},
        "runs:/ with another run": {"source": f"runs:/{run_id}/model", "run_id": other_id},
        "runs:/ with a model": {"source": f"runs:/{run_id}/model", "run_id": run_id, "model_id": model_id},
        "models:/ with its model": {"source": f"models:/{model_id}", "model_id": model_id},
        "models:/ with its model and another run": {
            "source": f"models:/{model_id}",
            "model_id": model_id,
            "run_id": other_id,
        },
        "models:/ without a model": {"source": f"models:/{model_id}"},
        "models:/ with another model": {"source": f"models:/{model_id}", "model_id": other_model},
        "models:/ with the run": {"source": f"models:/{model_id}", "run_id": run_id},
        "models:/ with a slash": {"source": f"models:/{model_id}/", "model_id": model_id},
        "the model's, with the model": {"source": model_uri, "model_id": model_id},
        "the model's, with both": {"source": model_uri, "model_id": model_id, "run_id": run_id},
        "the model's, with the run": {"source": model_uri, "run_id": run_id},
        "the model's, with another model": {"source": model_uri, "model_id": other_model},
        "the run's, with the model": {"source": uri, "run_id": run_id, "model_id": model_id},
        "S3 with the model": {"source": SOURCE, "model_id": model_id},
        "S3 with an unknown model": {"source": SOURCE, "model_id": "m-nope"},
        "a bad name and a host": {"name": "a/b", "source": "http://x/y"},
        "an unknown model and a local path": {"name": "no", "source": "/etc"},
    }
    location = {"name": prefix + "local", "artifact_location": "/srv/compat-of-railtrack"}
    local_id = (yield post("given a local experiment", "experiments/create", location)).at("experiment_id")
    local = yield post("given a local run", "runs/create", {"experiment_id": local_id, "start_time": STARTED})
    local_run, local_uri = (local.at("run", "info", field) for field in ("run_id", "artifact_uri"))
    for inside in ("/model", "/a/../model", "/../artifacts/model", "/a/..", "/a/b/../../model", "/./model"):
        for scheme in ("", "file://"):
            asked[f"the local run's {scheme}{inside}"] = {"source": f"{scheme}{local_uri}{inside}", "run_id": local_run}
        asked[f"the local run's {inside} without the run"] = {"source": f"{local_uri}{inside}"}
    for outside in ("/..", "/../x", "/a/../../x", "/a/%2e%2e/%2e%2e/x"):
        asked[f"beside the local run's {outside}"] = {"source": f"{local_uri}{outside}", "run_id": local_run}
    for label, body in asked.items():
        yield post(label, path, {"name": name, **body})
    yield get("the model that was registered", f"logged-models/{model_id}")


def prompt_texts(prefix: str) -> Script:
    """Create versions of prompts with long texts."""
    as_prompt = pairs(**{"mlflow.prompt.is_prompt": "true"})
    name = prefix + "prompt"
    yield post("given the prompt", f"{MODELS}/create", {"name": name, "tags": as_prompt})
    for label, body in {
        "a text of 100000": {"tags": [*as_prompt, *pairs(**{"mlflow.prompt.text": "x" * 100_000})]},
        "a text of 100001": {"tags": [*as_prompt, *pairs(**{"mlflow.prompt.text": "x" * 100_001})]},
        "a tag of 100001": {"tags": [*as_prompt, *pairs(k="x" * 100_001)]},
        "a text of 100001 and a bad source": {
            "source": "x",
            "tags": [*as_prompt, *pairs(**{"mlflow.prompt.text": "x" * 100_001})],
        },
        "a text of 100001 without the mark": {
            "source": SOURCE,
            "tags": pairs(**{"mlflow.prompt.text": "x" * 100_001}),
        },
    }.items():
        yield post(label, f"{VERSIONS}/create", {"name": name, "source": "dummy-source", **body})
    tag = {"name": name, "version": "1", "key": "mlflow.prompt.text", "value": "x" * 100_001}
    yield post("set a text of 100001", f"{VERSIONS}/set-tag", tag)


def copies(prefix: str) -> Script:
    path = f"{VERSIONS}/create"
    name = yield from registered_model(prefix, "copied")
    experiment_id = yield from experiment(prefix, "copies")
    run_id = yield from run(experiment_id, "copies")
    model_id, _ = yield from logged_model(experiment_id, "copies", source_run_id=run_id)
    yield from version(name, "one", source=f"models:/{model_id}", model_id=model_id)
    yield from version(name, "two", run_id=run_id)
    body = {"name": name, "version": "1", "stage": "Production", "archive_existing_versions": False}
    yield post("given a stage", f"{VERSIONS}/transition-stage", body)
    yield post("given an alias", f"{MODELS}/alias", {"name": name, "alias": "champion", "version": "2"})
    for number, reference in enumerate(("/1", "/01", "/2", "/Production", "/production", "@champion", "/latest"), 3):
        yield post(f"of {reference}", path, {"name": name, "source": f"models:/{name}{reference}"})
        yield get(f"where {reference} is", f"{VERSIONS}/get-download-uri", {"name": name, "version": str(number)})
    for reference in ("/99", "/Staging", "/Bad", "@nobody", "/1/x", "%2F1"):
        yield post(f"of {reference}", path, {"name": name, "source": f"models:/{name}{reference}"})
    yield post("with its run", path, {"name": name, "source": f"models:/{name}/2", "run_id": run_id})
    yield post("with another run", path, {"name": name, "source": f"models:/{name}/2", "run_id": NOWHERE})
    yield post("with a model", path, {"name": name, "source": f"models:/{name}/1", "model_id": model_id})
    yield delete("delete a version", f"{VERSIONS}/delete", {"name": name, "version": "2"})
    yield post("of a deleted version", path, {"name": name, "source": f"models:/{name}/2"})


def artifacts(prefix: str) -> Script:
    path = "/model-versions/get-artifact"
    name = yield from registered_model(prefix, "files")
    experiment_id = yield from experiment(prefix, "files")
    run_id = yield from run(experiment_id, "files")
    uri = f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts"
    store = f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts"
    yield raw("given a file", f"{store}/model/MLmodel", b"flavors: {}\n", None, method="PUT")
    yield raw("given a file in a folder", f"{store}/model/data/x.csv", b"a,b", None, method="PUT")
    yield raw("given a file beside", f"{store}/secret.txt", b"secret", None, method="PUT")
    yield from version(name, "of the run", source=f"{uri}/model", run_id=run_id)
    yield from version(name, "of a copy", source=f"models:/{name}/1")
    asked = {"name": name, "version": "1", "path": "MLmodel"}
    for number in ("1", "2"):  # for a source runs:/... MLflow fails and reveals the location of its database
        yield get(f"a file of {number}", path, {**asked, "version": number}, keep=("content-type", "content-length"))
    for inside in ("data/x.csv", "data", "nothing", "../secret.txt", "%2e%2e/secret.txt", "/etc/passwd", ""):
        yield get(f"the path {inside!r}", path, {**asked, "path": inside})
    for label, query in {
        "no name": {"version": "1", "path": "MLmodel"},
        "no version": {"name": name, "path": "MLmodel"},
        "no path": {"name": name, "version": "1"},
        "an unknown version": {**asked, "version": "99"},
        "a version that is a word": {**asked, "version": "abc"},
        "an unknown model": {**asked, "name": "no"},
        "a bad name": {**asked, "name": "a/b"},
    }.items():
        yield get(label, path, query)
    for presigned in ("true", "True", "false"):
        yield get(f"presigned={presigned}", path, {**asked, "presigned": presigned})
    yield get("at the clients' path", "/api/2.0/mlflow/model-versions/get-artifact", asked)
    yield delete("delete the version", f"{VERSIONS}/delete", {"name": name, "version": "1"})
    yield get("a file of a deleted version", path, asked)


SCENARIOS = {
    "registry_prompt_texts": prompt_texts,
    "registry_versions": versions,
    "registry_stages": stages,
    "registry_sources": sources,
    "registry_copies": copies,
    "registry_artifacts": artifacts,
}
