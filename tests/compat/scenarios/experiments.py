"""Experiments: create, get, get-by-name, update, delete, restore, their tags."""

from typing import Any

from tests.compat.play import Script, get, post, raw
from tests.compat.scenarios.given import NOT_A_LIST, NOT_A_STRING, experiment, with_each, without_each


def create(prefix: str) -> Script:
    made = yield post("with a name", "experiments/create", {"name": prefix + "plain"})
    yield get("what it made", "experiments/get", {"experiment_id": made.at("experiment_id")})
    yield post("the same name again", "experiments/create", {"name": prefix + "plain"})
    two = [{"key": "team", "value": "vision"}, {"key": "empty", "value": ""}]
    made = yield post("with tags", "experiments/create", {"name": prefix + "tagged", "tags": two})
    yield get("the tags", "experiments/get", {"experiment_id": made.at("experiment_id")})

    for label, body in without_each({"name": prefix + "x"}, "name"):
        yield post(label, "experiments/create", body)
    for label, body in with_each({"name": prefix + "x"}, "name", NOT_A_STRING):
        yield post(label, "experiments/create", body)
    yield post("an empty body object", "experiments/create", {})
    yield post("unknown fields are ignored", "experiments/create", {"name": prefix + "unknown", "colour": {"a": [1]}})

    names = {
        "with spaces around": f"  {prefix}spaces  ",
        "of blanks": " \t",
        "of 256 characters": prefix.ljust(256, "n"),
        "of 501 characters": prefix.ljust(501, "m"),
        "with emoji": prefix + "🚀👩‍💻",
        "in Korean": prefix + "비전/검출기",
        "from right to left": prefix + "תיוג \u202eabc",
        "with combining letters": prefix + "e\u0301",
        "with the composed letter": prefix + "\u00e9",
        "with another case": prefix + "PLAIN",
        "with a line break": prefix + "a\nb\tc",
        "with path parts": prefix + "../../etc//passwd",
        "with markup": prefix + "<script>alert(1)</script>",
        "with quotes": prefix + 'it\'s "quoted" `so` %s {0} \\',
    }
    for label, name in names.items():
        made = yield post(f"a name {label}", "experiments/create", {"name": name})
        if label not in ("of 501 characters", "of blanks"):
            yield get(f"a name {label}: read back", "experiments/get-by-name", {"experiment_name": name})
    pair = f'{{"name": "{prefix}\\ud83d\\ude80 pair"}}'.encode()
    yield raw("a name with an escaped surrogate pair", "experiments/create", pair)
    lone = f'{{"name": "{prefix}\\ud83d lone"}}'.encode()
    yield raw("a name with a lone surrogate", "experiments/create", lone)

    for label, body in with_each({"name": prefix + "bad-tags"}, "tags", NOT_A_LIST):
        yield post(label, "experiments/create", body)
    yield post("tags are null", "experiments/create", {"name": prefix + "null-tags", "tags": None})
    yield post("tags are an empty list", "experiments/create", {"name": prefix + "no-tags", "tags": []})
    tag_lists: dict[str, list[dict[str, Any]]] = {
        "a tag without key": [{"value": "v"}],
        "a tag without value": [{"key": "k"}],
        "a tag with a null value": [{"key": "k", "value": None}],
        "a tag with an empty key": [{"key": "", "value": "v"}],
        "a tag key that is a number": [{"key": 3, "value": "v"}],
        "a tag value that is a number": [{"key": "k", "value": 3}],
        "a tag with unknown members": [{"key": "k", "value": "v", "more": 1}],
        "the same tag twice": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}],
        "a tag key of 250 characters": [{"key": "k" * 250, "value": "v"}],
        "a tag key of 251 characters": [{"key": "k" * 251, "value": "v"}],
        "a tag value of 5000 characters": [{"key": "k", "value": "v" * 5000}],
        "a tag value of 5001 characters": [{"key": "k", "value": "w" * 5001}],
        "a tag value of 20000 characters": [{"key": "k", "value": "v" * 20000}],
        "a tag value of 20001 characters": [{"key": "k", "value": "w" * 20001}],
        "a tag key with signs": [{"key": "a!b", "value": "v"}],
        "a tag key that climbs": [{"key": "../k", "value": "v"}],
    }
    for number, (label, tags) in enumerate(tag_lists.items()):
        name = f"{prefix}tag-{number}"
        yield post(label, "experiments/create", {"name": name, "tags": tags})
        yield get(f"{label}: the experiment", "experiments/get-by-name", {"experiment_name": name})


def locations(prefix: str) -> Script:
    locations_by_label = {
        "on S3": "s3://bucket/prefix",
        "on S3 with a slash at the end": "s3://bucket/prefix/",
        "in the proxied store": "mlflow-artifacts:/elsewhere",
        "in the proxied store with two slashes": "mlflow-artifacts://host/elsewhere",
        "that is empty": "",
        "with a fragment": "s3://bucket/x#y",
        "with a query": "s3://bucket/x?y=z",
        "over http with a query that climbs": "http://host/x?../../y",
        "with parameters": "s3://bucket/x;y",
        "over http": "https://host/path",
        "of an unknown scheme": "weird://host/path",
        "in a database": "dbfs:/x",
        "with an emoji": "s3://bucket/🚀",
    }
    for number, (label, location) in enumerate(locations_by_label.items()):
        name = f"{prefix}{number}"
        yield post(f"a location {label}", "experiments/create", {"name": name, "artifact_location": location})
        found = yield get(f"a location {label}: the experiment", "experiments/get-by-name", {"experiment_name": name})
        body = {"experiment_id": found.at("experiment", "experiment_id"), "start_time": 1, "run_name": "in it"}
        yield post(f"a location {label}: a run", "runs/create", body)
    traversals = {
        "plainly": "s3://bucket/../x",
        "encoded": "s3://bucket/%2e%2e/x",
        "encoded twice": "s3://bucket/%252e%252e/x",
        "in the proxied store": "mlflow-artifacts:/../x",
        "with backslashes": "s3://bucket\\..\\x",
    }
    for label, location in traversals.items():
        body = {"name": f"{prefix}{label}", "artifact_location": location}
        yield post(f"a location that climbs, {label}", "experiments/create", body)
    for label, body in with_each({"name": prefix + "x"}, "artifact_location", NOT_A_STRING):
        yield post(label, "experiments/create", body)


def read(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "read")
    path = "experiments/get"
    yield get("by id", path, {"experiment_id": experiment_id})
    yield get("no id", path)
    yield get("an empty id", path, {"experiment_id": ""})
    yield get("an id that is not there", path, {"experiment_id": "999999999"})
    yield get("an id that is no number", path, {"experiment_id": "abc"})
    yield get("an id with a fraction", path, {"experiment_id": "1.5"})
    yield get("a negative id", path, {"experiment_id": "-1"})
    yield get("an id over 32 bits", path, {"experiment_id": "4294967297"})
    yield get("an id over 64 bits", path, {"experiment_id": "9" * 30})
    yield get("an id with spaces", path, {"experiment_id": f" {experiment_id} "})
    yield get("an id with a plus sign", path, {"experiment_id": f"+{experiment_id}"})
    yield get("an id with a line break", path, {"experiment_id": f"{experiment_id}\n"})
    yield get("an id given twice", path, {"experiment_id": [experiment_id, "999999999"]})
    yield get("an id given twice, the other order", path, {"experiment_id": ["999999999", experiment_id]})
    yield get("an unknown parameter beside it", path, {"experiment_id": experiment_id, "x": "y"})
    yield get("through the pages' path", "/ajax-api/2.0/mlflow/experiments/get", {"experiment_id": experiment_id})
    path = "experiments/get-by-name"
    yield get("by name", path, {"experiment_name": prefix + "read"})
    yield get("no name", path)
    yield get("an empty name", path, {"experiment_name": ""})
    yield get("a name that is not there", path, {"experiment_name": prefix + "not there"})
    yield get("a name in another case", path, {"experiment_name": prefix + "READ"})
    yield get("a name with a percent sign", path, {"experiment_name": prefix + "re%"})
    yield get("a wrong parameter", path, {"name": prefix + "read"})


def update(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "first")
    yield from experiment(prefix, "second")
    path = "experiments/update"
    yield post("a new name", path, {"experiment_id": experiment_id, "new_name": prefix + "renamed"})
    yield get("the new name", "experiments/get", {"experiment_id": experiment_id})
    yield post("its own name", path, {"experiment_id": experiment_id, "new_name": prefix + "renamed"})
    yield post("a name that is taken", path, {"experiment_id": experiment_id, "new_name": prefix + "second"})
    yield get("after the name that is taken", "experiments/get", {"experiment_id": experiment_id})
    whole = {"experiment_id": experiment_id, "new_name": prefix + "third"}
    for label, body in without_each(whole, "experiment_id", "new_name"):
        yield post(label, path, body)
    for field in ("experiment_id", "new_name"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    yield post("a name of 501 characters", path, {"experiment_id": experiment_id, "new_name": "n" * 501})
    yield post("an id that is not there", path, {"experiment_id": "999999999", "new_name": prefix + "x"})
    yield post("an id that is no number", path, {"experiment_id": "abc", "new_name": prefix + "x"})
    yield get("after all", "experiments/get", {"experiment_id": experiment_id})


def delete_and_restore(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "gone")
    created = yield post("given a run", "runs/create", {"experiment_id": experiment_id, "run_name": "in it"})
    run_id = created.at("run", "info", "run_id")
    whole = {"experiment_id": experiment_id}
    yield post("restore an active one", "experiments/restore", whole)
    yield post("delete", "experiments/delete", whole)
    yield get("the deleted one", "experiments/get", whole)
    yield get("the deleted one by name", "experiments/get-by-name", {"experiment_name": prefix + "gone"})
    yield get("its run", "runs/get", {"run_id": run_id})
    yield post("delete it again", "experiments/delete", whole)
    yield post("rename the deleted one", "experiments/update", {**whole, "new_name": prefix + "ghost"})
    yield post("tag the deleted one", "experiments/set-experiment-tag", {**whole, "key": "k", "value": "v"})
    yield post("untag the deleted one", "experiments/delete-experiment-tag", {**whole, "key": "k"})
    yield post("a new one by the deleted name", "experiments/create", {"name": prefix + "gone"})
    yield post("a run in the deleted one", "runs/create", whole)
    yield post("a metric in its run", "runs/log-metric", {"run_id": run_id, "key": "m", "value": 1, "timestamp": 1})
    yield post("restore", "experiments/restore", whole)
    yield get("the restored one", "experiments/get", whole)
    yield get("its run, restored with it", "runs/get", {"run_id": run_id})
    for verb in ("delete", "restore"):
        path = f"experiments/{verb}"
        yield post(f"{verb} one that is not there", path, {"experiment_id": "999999999"})
        yield post(f"{verb} one whose id is no number", path, {"experiment_id": "abc"})
        for label, body in without_each(whole, "experiment_id"):
            yield post(f"{verb}: {label}", path, body)
        for label, body in with_each(whole, "experiment_id", NOT_A_STRING):
            yield post(f"{verb}: {label}", path, body)


def tags(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "tags")
    path = "experiments/set-experiment-tag"
    whole = {"experiment_id": experiment_id, "key": "colour", "value": "red"}
    yield post("set", path, whole)
    yield post("set another value", path, {**whole, "value": "blue"})
    yield post("set an empty value", path, {**whole, "key": "empty", "value": ""})
    yield post("the note", path, {**whole, "key": "mlflow.note.content", "value": "# Note\n\n한글 🚀"})
    yield get("the tags", "experiments/get", {"experiment_id": experiment_id})
    for label, body in without_each(whole, "experiment_id", "key", "value"):
        yield post(label, path, body)
    for field in ("experiment_id", "key", "value"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    keys = {
        "of 250 characters": "k" * 250,
        "of 251 characters": "k" * 251,
        "with signs": "a!b",
        "with an emoji": "🚀",
        "that climbs": "../a",
        "that is a dot": ".",
        "that begins with a slash": "/a",
        "with two slashes": "a//b",
        "with a space": "a b",
    }
    for label, key in keys.items():
        yield post(f"a key {label}", path, {**whole, "key": key})
    for length in (5000, 5001, 20000, 20001):
        yield post(f"a value of {length} characters", path, {**whole, "key": "long", "value": "v" * length})
    yield post("an experiment that is not there", path, {**whole, "experiment_id": "999999999"})
    yield post("an experiment whose id is no number", path, {**whole, "experiment_id": "abc"})
    path = "experiments/delete-experiment-tag"
    gone = {"experiment_id": experiment_id, "key": "colour"}
    yield post("delete", path, gone)
    yield post("delete again", path, gone)
    for label, body in without_each(gone, "experiment_id", "key"):
        yield post(f"delete: {label}", path, body)
    for label, body in with_each(gone, "key", NOT_A_STRING):
        yield post(f"delete: {label}", path, body)
    yield post("delete from one that is not there", path, {**gone, "experiment_id": "999999999"})
    yield get("the tags at the end", "experiments/get", {"experiment_id": experiment_id})


SCENARIOS = {
    "experiments_create": create,
    "experiments_locations": locations,
    "experiments_read": read,
    "experiments_update": update,
    "experiments_delete_and_restore": delete_and_restore,
    "experiments_tags": tags,
}
