"""logged-models: create, get, finalize, delete, params, tags, search, and the listing of artifacts."""

from typing import Any

from tests.compat.play import AJAX, Script, get, post, raw
from tests.compat.scenarios.given import NOT_A_LIST, NOT_A_STRING, NOWHERE, experiment, run, with_each, without_each
from tests.compat.scenarios.given_models import NO_MODEL, delete, logged_model, pairs, patch

PATH = "logged-models"
SEARCH = "logged-models/search"
NAMES = ("models", "info", "name")
"""Record only the names of the models found, in order. One exchange records whole models."""


def create(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "create")
    run_id = yield from run(experiment_id, "create")
    whole = {
        "experiment_id": experiment_id,
        "name": "detector",
        "model_type": "sklearn",
        "source_run_id": run_id,
        "params": pairs(lr="0.1", **{"a b": ""}),
        "tags": pairs(team="vision", **{"한글": "값"}),
    }
    made = yield post("a whole model", PATH, whole)
    yield get("the whole model", f"{PATH}/{made.at('model', 'info', 'model_id')}")
    yield post("the same name again", PATH, {"experiment_id": experiment_id, "name": "detector"})
    yield post("an experiment only", PATH, {"experiment_id": experiment_id})
    for label, body in without_each(whole, "experiment_id", "name", "model_type", "source_run_id", "params", "tags"):
        yield post(label, PATH, body)
    for field in ("experiment_id", "name", "model_type", "source_run_id"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, PATH, body)
    for field in ("params", "tags"):
        for label, body in with_each({"experiment_id": experiment_id, "name": "x"}, field, NOT_A_LIST):
            yield post(label, PATH, body)
    for name in ("a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "a b", " ", "한글", "a\\b", "-", "x" * 500):
        yield post(f"the name {name[:9]!r}", PATH, {"experiment_id": experiment_id, "name": name})
    yield post("a name over 500", PATH, {"experiment_id": experiment_id, "name": "x" * 501})
    yield post("a type over 500", PATH, {**whole, "model_type": "x" * 501})
    yield post("a source run that is not there", PATH, {**whole, "source_run_id": NOWHERE})
    yield post("a source run over 32", PATH, {**whole, "source_run_id": "x" * 33})
    for field in ("params", "tags"):
        yield post(f"{field}: a key left out", PATH, {**whole, field: [{"value": "x"}]})
        yield post(f"{field}: a value left out", PATH, {**whole, field: [{"key": "x"}]})
        yield post(f"{field}: a key of 255", PATH, {**whole, field: pairs(**{"k" * 255: "x"})})
        yield post(f"{field}: a key of 256", PATH, {**whole, field: pairs(**{"k" * 256: "x"})})
        yield post(f"{field}: a long value", PATH, {**whole, field: pairs(k="v" * 60_000)})
        yield post(f"{field}: a value over 100000", PATH, {**whole, field: pairs(k="v" * 100_001)})
        yield post(f"{field}: a key twice", PATH, {**whole, field: [*pairs(k="1"), *pairs(k="2")]})
    yield post("an experiment that is not there", PATH, {"experiment_id": "999999999"})
    yield post("an experiment that is no number", PATH, {"experiment_id": "abc"})
    yield post("a bad name before a bad experiment", PATH, {"experiment_id": "abc", "name": "a/b"})
    yield post("delete the experiment", "experiments/delete", {"experiment_id": experiment_id})
    yield post("in a deleted experiment", PATH, {"experiment_id": experiment_id})
    yield get("the model of a deleted experiment", f"{PATH}/{made.at('model', 'info', 'model_id')}")


def life(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "life")
    model_id, _ = yield from logged_model(experiment_id, "one", params=pairs(lr="0.1"), tags=pairs(team="vision"))
    other_id, _ = yield from logged_model(experiment_id, "other")
    here, there = f"{PATH}/{model_id}", f"{PATH}/{other_id}"
    for status in ("LOGGED_MODEL_READY", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_UPLOAD_FAILED", 2, "3"):
        yield patch(f"the status {status!r}", here, {"model_id": model_id, "status": status})
    for status in ("READY", "", None, 0, 7, "7", True, 1.5, ["x"], "LOGGED_MODEL_STATUS_UNSPECIFIED"):
        yield patch(f"the status {status!r}", there, {"model_id": other_id, "status": status})
    yield patch("a status without a model id", there, {"status": 2})
    yield patch("no status", here, {"model_id": model_id})
    yield patch("the status of no model", f"{PATH}/{NO_MODEL}", {"model_id": NO_MODEL, "status": 2})
    yield get("the model after its statuses", here)

    yield post("params", f"{here}/params", {"model_id": model_id, "params": pairs(depth="3", width="")})
    yield post("no params", f"{here}/params", {"model_id": model_id, "params": []})
    yield post("params left out", f"{here}/params", {"model_id": model_id})
    yield post("a param again", f"{here}/params", {"model_id": model_id, "params": pairs(depth="3")})
    yield post("a changed param", f"{here}/params", {"model_id": model_id, "params": pairs(new="x", lr="0.2")})
    yield post("a param twice", f"{here}/params", {"model_id": model_id, "params": [*pairs(k="1"), *pairs(k="1")]})
    many = pairs(**{f"p{number}": "x" for number in range(150)})
    yield post("150 params", f"{here}/params", {"model_id": model_id, "params": many})
    for label, body in with_each({"model_id": other_id}, "params", NOT_A_LIST):
        yield post(label, f"{there}/params", body)
    yield post("params without a model id", f"{there}/params", {"params": pairs(late="1")})
    yield post("the params of no model", f"{PATH}/{NO_MODEL}/params", {"model_id": NO_MODEL, "params": []})

    yield patch("tags", f"{here}/tags", {"tags": pairs(team="speech", **{"a b/c": "é", "$": ""})})
    yield patch("a tag twice", f"{here}/tags", {"tags": [*pairs(k="1"), *pairs(k="2")]})
    yield patch("a tag without a key", f"{here}/tags", {"tags": [{"value": "x"}]})
    yield patch("a tag without a value", f"{here}/tags", {"tags": [{"key": "bare"}]})
    yield patch("no tags", f"{here}/tags", {"tags": []})
    yield patch("tags left out", f"{here}/tags", {})
    for label, body in with_each({}, "tags", NOT_A_LIST):
        yield patch(label, f"{there}/tags", body)
    yield patch("a tag key over 255", f"{there}/tags", {"tags": pairs(**{"k" * 256: "x"})})
    yield patch("the tags of no model", f"{PATH}/{NO_MODEL}/tags", {"tags": pairs(k="v")})
    yield delete("take a tag off", f"{here}/tags/team")
    yield delete("take it off again", f"{here}/tags/team")
    yield delete("take a tag off no model", f"{PATH}/{NO_MODEL}/tags/team")
    yield get("the model with params and tags", here)

    yield get("no model", f"{PATH}/{NO_MODEL}")
    yield get("a model by a word", f"{PATH}/word")
    yield get("the model through the pages' path", f"{AJAX}{here}")
    yield get("a search by GET", SEARCH, {"experiment_ids": experiment_id})
    yield delete("delete", here)
    yield delete("delete again", here)
    yield delete("delete no model", f"{PATH}/{NO_MODEL}")
    yield get("the deleted model", here)
    yield patch("the status of the deleted model", here, {"model_id": model_id, "status": 3})
    yield patch("a tag for the deleted model", f"{here}/tags", {"tags": pairs(late="1")})
    yield post("a param for the deleted model", f"{here}/params", {"model_id": model_id, "params": pairs(later="1")})
    yield raw("create by PUT", PATH, b"{}", method="PUT")


def some_models(prefix: str, name: str) -> Script:
    """Create four models with all searchable fields. Return the ids of experiment, run and the model alpha."""
    experiment_id = yield from experiment(prefix, name)
    run_id = yield from run(experiment_id, name)
    metrics: list[tuple[str, list[tuple[Any, ...]], dict[str, Any]]] = [
        (
            "alpha",
            [("acc", 0.5, 1, 1), ("acc", 0.9, 2, 2, "train", "t1"), ("acc", 0.8, 3, 3, "test", "e1")],
            {
                "model_type": "sk",
                "source_run_id": run_id,
                "params": pairs(lr="0.1", Depth="3"),
                "tags": pairs(team="vision"),
            },
        ),
        (
            "Beta",
            [("acc", 0.7, 1, 1), ("acc", 0.95, 2, 2, "test", "e1"), ("acc", 0.6, 2, 3, "test", "e2")],
            {"params": pairs(lr="0.2"), "tags": pairs(team="Speech", **{"a b": "x"})},
        ),
        ("gamma", [("acc", 0.31, 7, 7), ("acc", 0.1, 9, 6), ("loss", "NaN", 1, 1)], {}),
        ("delta", [], {"model_type": "sk", "params": pairs(lr="0.1"), "tags": pairs(team="")}),
    ]
    ids = []
    for status, (label, points, fields) in zip((2, 1, 3, 2), metrics, strict=True):
        model_id, _ = yield from logged_model(experiment_id, label, **fields)
        ids.append(model_id)
        yield patch(f"given the status of {label}", f"{PATH}/{model_id}", {"model_id": model_id, "status": status})
        for number, (key, value, timestamp, step, *dataset) in enumerate(points):
            on = dict(zip(("dataset_name", "dataset_digest"), dataset, strict=False))
            point = {"key": key, "value": value, "timestamp": timestamp, "step": step, "model_id": model_id, **on}
            yield post(f"given a metric of {label}, {number}", "runs/log-metric", {"run_id": run_id, **point})
    return experiment_id, run_id, ids[0]


FILTERS = [
    "name = 'alpha'",
    "attributes.name = 'alpha'",
    "`name` = 'alpha'",
    "name = alpha",
    'name = "alpha"',
    "name = 3",
    "name = ''",
    "name != 'alpha'",
    "name LIKE '%a'",
    "name LIKE 'b%'",
    "name ILIKE 'b%'",
    "name IN ('alpha', 'Beta')",
    "name NOT IN ('alpha')",
    "model_id LIKE 'm-%'",
    "model_type = 'sk'",
    "model_type = ''",
    "model_type != 'sk'",
    "source_run_id != ''",
    "status = 2",
    "status = '1'",
    "status != 1",
    "status = 'READY'",
    "status != 'READY'",
    "status IN ('READY', 'PENDING')",
    "status IN ('READY', 'LOGGED_MODEL_PENDING')",
    "status LIKE 'R%'",
    "status > 'A'",
    "lifecycle_stage = 'deleted'",
    "experiment_id = '0'",
    "artifact_location LIKE 'mlflow-artifacts:%'",
    "artifact_uri LIKE '%'",
    "creation_timestamp > 0",
    "creation_timestamp_ms > 1.5",
    "creation_time < 5",
    "last_updated_timestamp >= 1",
    "creation_timestamp > 99999999999999999999999",
    "params.lr = '0.1'",
    "params.lr = 0.1",
    "params.lr != '0.1'",
    "params.lr LIKE '0%'",
    "params.lr IN ('0.1', '0.2')",
    "params.depth = '3'",
    "params.`Depth` = '3'",
    "tags.team = 'vision'",
    "tags.team ILIKE 's%'",
    "tags.team = ''",
    "tags.`a b` = 'x'",
    "tags.nope != 'x'",
    "metrics.acc > 0.8",
    "metrics.acc = 0.31",
    "metrics.`acc` <= 0.5",
    "metrics.acc > 0.85 AND metrics.acc < 0.65",
    "metrics.loss = 0",
    "metrics.acc > 1e400",
    "metrics.acc > NaN",
    "metrics.nope > 0",
    "name LIKE '%a' AND params.lr = '0.1' AND metrics.acc > 0.8",
    "AND name = 'alpha' AND",
    "name = 'alpha' OR name = 'Beta'",
    "(name = 'alpha')",
    "name",
    "name =",
    "nonsense nonsense",
    "name = 'unclosed",
    "  ",
    ";",
    "name = 'a'; DROP TABLE logged_models",
    "attribute.name = 'alpha'",
    "model.name = 'alpha'",
    "param.lr = '0.1'",
    "tag.team = 'vision'",
    "metric.acc > 1",
    "datasets.name = 'train'",
    "name > 'c'",
    "name == 'alpha'",
    "name RLIKE 'a'",
    "params.lr > 0.1",
    "tags.team > 'a'",
    "metrics.acc == 1",
    "name IS NULL",
    "params.lr IS NOT NULL",
    "metrics.acc > '0.8'",
    "creation_timestamp > '1'",
    "colour = 'red'",
    "Name = 'alpha'",
    "'alpha' = name",
    "name IN ()",
    "name IN (1)",
]
TEST = {"dataset_name": "test", "dataset_digest": "e1"}
TRAIN = {"dataset_name": "train", "dataset_digest": "t1"}


def filters(prefix: str) -> Script:
    experiment_id, run_id, model_id = yield from some_models(prefix, "filters")
    asked = {"experiment_ids": [experiment_id]}
    yield post("everything of each", SEARCH, asked)
    yield get("everything of one", f"{PATH}/{model_id}")
    for text in FILTERS:
        yield post(f"filter {text!r}", SEARCH, {**asked, "filter": text}, only=NAMES)
    yield post("filter by model id", SEARCH, {**asked, "filter": f"attributes.model_id IN ('{model_id}')"}, only=NAMES)
    yield post("filter by source run", SEARCH, {**asked, "filter": f"source_run_id = '{run_id}'"}, only=NAMES)
    for label, body in with_each(asked, "filter", NOT_A_STRING):
        yield post(label, SEARCH, body)
    for label, datasets in {
        "test": [TEST],
        "test and train": [TEST, TRAIN],
        "another": [{"dataset_name": "nope", "dataset_digest": "x"}],
        "test of any digest": [{"dataset_name": "test"}],
        "none": [],
    }.items():
        for text in ("metrics.acc > 0.85", "metrics.acc < 0.9", "metrics.acc > 0.85 AND metrics.acc < 0.92", ""):
            body = {**asked, "datasets": datasets, "filter": text}
            yield post(f"on {label}: filter {text!r}", SEARCH, body, only=NAMES)
    for label, dataset in {
        "no name": {},
        "an empty name": {"dataset_name": ""},
        "a digest": {"dataset_digest": "e1"},
    }.items():
        yield post(f"on a dataset with {label}", SEARCH, {**asked, "datasets": [dataset]})
    yield post("on datasets that are a text", SEARCH, {**asked, "datasets": "test"})
    yield post("on a bad dataset before a bad filter", SEARCH, {**asked, "datasets": [{}], "filter": "bad"})


def by(field_name: str, ascending: bool | None = None, **dataset: str) -> dict[str, Any]:
    direction = {} if ascending is None else {"ascending": ascending}
    return {"field_name": field_name, **direction, **dataset}


ORDERS = [
    [by("name")],
    [by("name", False)],
    [by("creation_timestamp")],
    [by("creation_timestamp", False)],
    [by("creation_timestamp_ms")],
    [by("creation_time")],
    [by("last_updated_timestamp_ms", False)],
    [by("model_type"), by("name", False)],
    [by("status"), by("name")],
    [by("source_run_id"), by("name")],
    [by("lifecycle_stage"), by("name")],
    [by("name"), by("name", False)],
    [by("metrics.acc")],
    [by("metrics.acc", False)],
    [by("metrics.acc", True, **TEST)],
    [by("metrics.acc", False, **TEST)],
    [by("metrics.acc", True, dataset_name="test")],
    [by("metrics.acc", True, dataset_digest="e1")],
    [by("metrics.acc", False, **TRAIN), by("name")],
    [by("metrics.acc", True, dataset_name="nope", dataset_digest="x")],
    [by("metrics.loss"), by("name")],
    [by("metrics.nope")],
    [by("metrics.")],
    [by("name", True, **TEST)],
    [by("")],
    [{}],
    [by("colour")],
    [by("Name")],
    [by("`name`")],
    [by("artifact_uri")],
    [by("name DESC")],
    [by("name; DROP TABLE logged_models")],
    [by("params.lr")],
    [by("tags.team")],
    [by("attributes.name")],
    [by("metric.acc")],
    ["name"],
    [3],
    "name",
    None,
    [],
]


def orders_and_pages(prefix: str) -> Script:
    experiment_id, _, model_id = yield from some_models(prefix, "orders")
    asked: dict[str, Any] = {"experiment_ids": [experiment_id]}
    for order_by in ORDERS:
        yield post(f"order by {order_by}", SEARCH, {**asked, "order_by": order_by}, only=NAMES)
    camel = [{"fieldName": "metrics.acc", "datasetName": "test", "datasetDigest": "e1", "ascending": False}]
    yield post("order by names in camel case", SEARCH, {**asked, "order_by": camel}, only=NAMES)
    datasets = [{"datasetName": "test", "datasetDigest": "e1"}]
    body = {**asked, "datasets": datasets, "filter": "metrics.acc > 0"}
    yield post("datasets by names in camel case", SEARCH, body, only=NAMES)
    for ascending in ("true", "false", 1):
        body = {**asked, "order_by": [{"field_name": "name", "ascending": ascending}]}
        yield post(f"ascending {ascending!r}", SEARCH, body, only=NAMES)
    for size in (0, 1, 2, 1001, "2", 2.0, None):
        yield post(f"max_results {size!r}", SEARCH, {**asked, "max_results": size}, only=NAMES)
    for size in (-1, "x", "", 1.5, True, [1], 2**31):
        yield post(f"max_results {size!r}", SEARCH, {**asked, "max_results": size}, only=NAMES)
    for order_by in ([], [by("name")], [by("metrics.acc", False)]):
        token = None
        for number in range(4):
            body = {**asked, "order_by": order_by, "max_results": 2, "page_token": token}
            page = yield post(f"page {number + 1} by {order_by}", SEARCH, body, only=NAMES)
            token = page.json.get("next_page_token")
            if not token:
                break
    first = yield post("page 1", SEARCH, {**asked, "max_results": 1}, only=NAMES)
    token = first.at("next_page_token")
    yield post(
        "its token with another order", SEARCH, {**asked, "order_by": [by("name")], "page_token": token}, only=NAMES
    )
    yield post(
        "its token with another filter", SEARCH, {**asked, "filter": "name != 'x'", "page_token": token}, only=NAMES
    )
    yield post("its token with other ids", SEARCH, {"experiment_ids": ["0"], "page_token": token}, only=NAMES)
    yield post("a token that is nonsense", SEARCH, {**asked, "page_token": "nonsense"}, only=NAMES)
    for label, ids in {
        "none": [],
        "left out": None,
        "a text": "1",
        "a word": ["abc"],
        "an empty text": [""],
        "of nowhere": ["999999999"],
        "a number": [3],
        "twice": [experiment_id, experiment_id],
    }.items():
        yield post(f"experiment ids: {label}", SEARCH, {"experiment_ids": ids}, only=NAMES)
    bad = {"experiment_ids": ["abc"], "order_by": [by("colour")]}
    yield post("bad ids before a bad order", SEARCH, bad)
    yield post("a bad filter before bad ids", SEARCH, {**bad, "filter": "bad"})
    yield delete("delete alpha", f"{PATH}/{model_id}")
    yield post("without a deleted model", SEARCH, asked, only=NAMES)
    yield post("delete the experiment", "experiments/delete", {"experiment_id": experiment_id})
    yield post("of a deleted experiment", SEARCH, asked, only=NAMES)


def artifacts(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "artifacts")
    model_id, uri = yield from logged_model(experiment_id, "files")
    folders, files = f"{PATH}/{model_id}/artifacts/directories", f"{AJAX}{PATH}/{model_id}/artifacts/files"
    yield get("list none", folders)
    store = f"/api/2.0/mlflow-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:/')}"
    for name, content in (
        ("MLmodel", b"flavors: {}\n"),
        ("empty.txt", b""),
        ("sub/deep/b.csv", b"a,b"),
        ("p.html", b"<p>"),
    ):
        yield raw(f"given {name}", f"{store}/{name}", content, None, method="PUT")
    for path in (
        None,
        "",
        "sub",
        "sub/",
        "sub/deep",
        "MLmodel",
        "nothing",
        "..",
        "../x",
        "%2e%2e/x",
        "/etc",
        "sub/../..",
    ):
        yield get(f"list {path!r}", folders, None if path is None else {"artifact_directory_path": path})
    yield get("list with a page token", folders, {"page_token": "x"})
    yield get("list through the pages' path", f"{AJAX}{folders}", {"artifact_directory_path": "sub"})
    yield get("list of no model", f"{PATH}/{NO_MODEL}/artifacts/directories")
    kept = ("content-type", "content-disposition", "content-length")
    for path in ("MLmodel", "empty.txt", "sub/deep/b.csv", "sub/deep//b.csv", "p.html"):
        yield get(f"get {path!r}", files, {"artifact_file_path": path}, keep=kept)
    for path in ("sub", "nothing", "", "../x", "%2e%2e/x", "/etc/passwd"):
        yield get(f"get {path!r}", files, {"artifact_file_path": path})
    for presigned in ("true", "True", "false"):
        yield get(f"get presigned={presigned}", files, {"artifact_file_path": "MLmodel", "presigned": presigned})
    yield get("get no path", files)
    yield get("get of no model", f"{AJAX}{PATH}/{NO_MODEL}/artifacts/files", {"artifact_file_path": "MLmodel"})
    yield get("get at the clients' path", files.replace("/ajax-api", "/api"), {"artifact_file_path": "MLmodel"})
    yield delete("delete the model", f"{PATH}/{model_id}")
    yield get("list of a deleted model", folders)
    yield get("get of a deleted model", files, {"artifact_file_path": "MLmodel"})


SCENARIOS = {
    "logged_models_create": create,
    "logged_models_life": life,
    "logged_models_filters": filters,
    "logged_models_orders_and_pages": orders_and_pages,
    "logged_models_artifacts": artifacts,
}
