"""Runs: create, get, update, delete, restore."""

from tests.compat.play import Script, get, post, raw
from tests.compat.scenarios.given import (
    NOT_A_LIST,
    NOT_A_STRING,
    NOT_AN_INTEGER,
    NOWHERE,
    STARTED,
    experiment,
    run,
    shows,
    with_each,
    without_each,
)


def create(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "runs")
    path = "runs/create"
    bare = {"experiment_id": experiment_id, "start_time": STARTED}
    made = yield post("with nothing but the experiment", path, {"experiment_id": experiment_id})
    yield get("what it made", "runs/get", {"run_id": made.at("run", "info", "run_id")})
    made = yield post(
        "with everything",
        path,
        {
            **bare,
            "user_id": "ana",
            "run_name": "rich",
            "tags": [{"key": "mlflow.user", "value": "bea"}, {"key": "mlflow.source.name", "value": "train.py"}],
        },
    )
    yield get("the rich one", "runs/get", {"run_id": made.at("run", "info", "run_id")})
    made = yield post("with a parent's tag", path, {**bare, "tags": [{"key": "mlflow.parentRunId", "value": NOWHERE}]})
    for label, body in without_each(bare, "experiment_id"):
        yield post(label, path, body)
    for label, body in with_each(bare, "experiment_id", NOT_A_STRING):
        yield post(label, path, body)
    yield post("an experiment that is not there", path, {**bare, "experiment_id": "999999999"})
    yield post("an experiment whose id is no number", path, {**bare, "experiment_id": "abc"})
    yield post("an experiment id with a blank", path, {**bare, "experiment_id": f" {experiment_id}"})
    yield post("an experiment id over 64 bits", path, {**bare, "experiment_id": "9" * 30})
    for field in ("user_id", "run_name"):
        for label, body in with_each(bare, field, NOT_A_STRING):
            yield post(label, path, body)
    for label, body in with_each(bare, "start_time", NOT_AN_INTEGER):
        yield post(label, path, body)
    for label, body in with_each(bare, "tags", NOT_A_LIST):
        yield post(label, path, body)
    times = {
        "as text": "1700000000001",
        "of zero": 0,
        "before 1970": -5,
        "as a whole fraction": 1700000000000.0,
        "in exponents": 1.7e12,
        "that is the greatest": 2**63 - 1,
        "that is the least": -(2**63),
        "null": None,
        "as text with spaces": " 5 ",
        "as text with a sign": "+5",
        "as text with an underscore": "1_0",
    }
    for label, value in times.items():
        yield post(f"a start time {label}", path, {"experiment_id": experiment_id, "start_time": value})
    yield raw(
        "a start time in exponents, in the text",
        path,
        b'{"experiment_id": "%s", "start_time": 17e11}' % experiment_id.encode(),
    )


def names(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "names")
    path = "runs/create"
    bare = {"experiment_id": experiment_id, "start_time": STARTED}
    tag = [{"key": "mlflow.runName", "value": "by tag"}]
    yield post("a name by its tag", path, {**bare, "tags": tag})
    yield post("the same name by both", path, {**bare, "tags": tag, "run_name": "by tag"})
    yield post("two different names", path, {**bare, "tags": tag, "run_name": "by field"})
    yield post("an empty name and a tag", path, {**bare, "tags": tag, "run_name": ""})
    empty = [{"key": "mlflow.runName", "value": ""}]
    yield post("a name and an empty tag", path, {**bare, "tags": empty, "run_name": "by field"})
    yield post("an empty tag", path, {**bare, "tags": empty})
    yield post("an empty name", path, {**bare, "run_name": ""})
    yield post("a null name", path, {**bare, "run_name": None})
    texts = {
        "with emoji": "🚀👩‍💻",
        "in Korean": "첫 실행",
        "from right to left": "ריצה \u202eabc",
        "of spaces": "  ",
        "with a line break": "a\nb",
        "of 250 characters": "n" * 250,
        "with path parts": "../../a//b",
    }
    for label, text in texts.items():
        yield post(f"a name {label}", path, {**bare, "run_name": text})
    lists = {
        "a tag without key": [{"value": "v"}],
        "a tag without value": [{"key": "k"}],
        "a tag with an empty value": [{"key": "k", "value": ""}],
        "a tag with an empty key": [{"key": "", "value": "v"}],
        "a tag key that is a number": [{"key": 3, "value": "v"}],
        "a tag value that is a number": [{"key": "k", "value": 3}],
        "the same tag twice": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}],
        "the same tag twice with one value": [{"key": "k", "value": "1"}, {"key": "k", "value": "1"}],
        "the name's tag twice": [*tag, {"key": "mlflow.runName", "value": "other"}],
        "a tag key of 250 characters": [{"key": "k" * 250, "value": "v"}],
        "a tag value of 8000 characters": [{"key": "k", "value": "v" * 8000}],
        "a tag key with signs": [{"key": "a!b", "value": "v"}],
        "a tag key that climbs": [{"key": "../k", "value": "v"}],
    }
    for label, tags in lists.items():
        yield post(label, path, {**bare, "run_name": "tagged", "tags": tags})
    many = [{"key": f"tag-{n:03}", "value": str(n)} for n in range(101)]
    yield post("101 tags", path, {**bare, "run_name": "many tags", "tags": many})


def read(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "read")
    run_id = yield from run(experiment_id, "read me")
    path = "runs/get"
    yield get("by run_id", path, {"run_id": run_id})
    yield get("by the old name", path, {"run_uuid": run_id})
    yield get("by both names", path, {"run_id": run_id, "run_uuid": run_id})
    yield get("by both names, of which the old is wrong", path, {"run_id": run_id, "run_uuid": NOWHERE})
    yield get("by both names, of which the new is wrong", path, {"run_id": NOWHERE, "run_uuid": run_id})
    yield get("no id", path)
    yield get("an empty id", path, {"run_id": ""})
    yield get("an empty id and an old one", path, {"run_id": "", "run_uuid": run_id})
    yield get("an id that is not there", path, {"run_id": NOWHERE})
    yield get("an id that is no id", path, {"run_id": "../../etc/passwd"})
    yield get("an id of 10,000 characters", path, {"run_id": "a" * 10000})
    yield get("an id given twice", path, {"run_id": [run_id, NOWHERE]})


def update(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "update")
    run_id = yield from run(experiment_id, "before")
    path = "runs/update"
    whole = {"run_id": run_id}
    yield post("nothing but the id", path, whole)
    yield post("by the old name", path, {"run_uuid": run_id, "status": "FINISHED", "end_time": STARTED + 5})
    yield post("by both names", path, {"run_id": run_id, "run_uuid": run_id, "status": "FAILED"})
    for number in range(7):
        yield post(f"the status number {number}", path, {**whole, "status": number})
    for status in ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", "3"):
        yield post(f"the status {status!r}", path, {**whole, "status": status})
    for label, body in with_each(whole, "end_time", {"text": "1700000000007", "null": None}):
        yield post(label, path, body)
    yield post("status is null", path, {**whole, "status": None})
    yield post("end_time is zero", path, {**whole, "end_time": 0})
    yield post("end_time is negative", path, {**whole, "end_time": -1})
    yield post("a status without an end time", path, {**whole, "status": "RUNNING"})
    yield from shows(run_id, "after the status updates")
    yield post("a name", path, {**whole, "run_name": "after"})
    yield from shows(run_id, "after the new name")
    yield post("an empty name", path, {**whole, "run_name": ""})
    yield post("a name with emoji", path, {**whole, "run_name": "🚀"})
    for label, body in with_each(whole, "run_name", NOT_A_STRING):
        yield post(label, path, body)
    for label, body in without_each(whole, "run_id"):
        yield post(label, path, body)
    for label, body in with_each(whole, "run_id", NOT_A_STRING):
        yield post(label, path, body)
    yield post("an id that is not there", path, {"run_id": NOWHERE, "status": "FINISHED"})
    yield from shows(run_id, "after all updates")

    rejected = yield from run(experiment_id, "refused")
    whole = {"run_id": rejected}
    for status in ("finished", "DONE", "", "UNFINISHED", " FINISHED", "6"):
        yield post(f"the status {status!r}", path, {**whole, "status": status})
    odd = {"a fraction": 1.5, "a boolean": True, "a list": ["FINISHED"], "an object": {"a": 1}}
    for label, body in with_each(whole, "status", odd):
        yield post(label, path, body)
    for label, body in with_each(whole, "end_time", NOT_AN_INTEGER):
        yield post(label, path, body)
    yield from shows(rejected, "after the refused updates")


def delete_and_restore(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "deleted")
    run_id = yield from run(experiment_id, "gone")
    yield from run(experiment_id, "stays")
    whole = {"run_id": run_id}
    yield post("restore an active one", "runs/restore", whole)
    yield post("delete", "runs/delete", whole)
    yield from shows(run_id, "deleted")
    yield post("delete it again", "runs/delete", whole)
    metric = {**whole, "key": "m", "value": 1, "timestamp": 1}
    yield post("a metric", "runs/log-metric", metric)
    yield post("a param", "runs/log-parameter", {**whole, "key": "p", "value": "1"})
    yield post("a tag", "runs/set-tag", {**whole, "key": "t", "value": "1"})
    yield post("the removal of a tag", "runs/delete-tag", {**whole, "key": "mlflow.runName"})
    yield post("a batch", "runs/log-batch", {**whole, "params": [{"key": "p", "value": "1"}]})
    yield post("an empty batch", "runs/log-batch", whole)
    yield post("a model", "runs/log-model", {**whole, "model_json": '{"artifact_path": "m"}'})
    dataset = {"name": "d", "digest": "1", "source_type": "s", "source": "s"}
    yield post("inputs", "runs/log-inputs", {**whole, "datasets": [{"dataset": dataset}]})
    yield post("an update", "runs/update", {**whole, "run_name": "ghost"})
    yield get("its history", "metrics/get-history", {**whole, "metric_key": "m"})
    yield get("its artifacts", "artifacts/list", whole)
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"):
        body = {"experiment_ids": [experiment_id], "run_view_type": view, "order_by": ["attributes.run_name"]}
        yield post(f"search {view}", "runs/search", body)
    yield post("restore", "runs/restore", whole)
    yield from shows(run_id, "restored")
    for verb in ("delete", "restore"):
        path = f"runs/{verb}"
        yield post(f"{verb} one that is not there", path, {"run_id": NOWHERE})
        yield post(f"{verb} by the old name only", path, {"run_uuid": run_id})
        for label, body in without_each(whole, "run_id"):
            yield post(f"{verb}: {label}", path, body)
        for label, body in with_each(whole, "run_id", NOT_A_STRING):
            yield post(f"{verb}: {label}", path, body)


SCENARIOS = {
    "runs_create": create,
    "runs_names_and_tags": names,
    "runs_read": read,
    "runs_update": update,
    "runs_delete_and_restore": delete_and_restore,
}
