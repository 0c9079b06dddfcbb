"""Evaluation datasets: life, tags, records, links to experiments, search, and rejected requests."""

import json
from typing import Any

from tests.compat.play import Response, Script, get, raw
from tests.compat.scenarios.given import (
    NOT_A_LIST,
    NOT_A_STRING,
    NOT_AN_INTEGER,
    experiment,
    with_each,
    without_each,
)
from tests.compat.scenarios.given_traces import AJAX_V3, delete3, get3, patch3, post3

NOBODY = "d-0123456789abcdef0123456789abcdef"


def made(response: Response) -> str:
    found: str = response.at("dataset", "dataset_id")
    return found


def dataset(name: str, experiment_ids: list[str], **tags: str) -> Script:
    body = {"name": name, "experiment_ids": experiment_ids, "tags": json.dumps(tags)}
    return made((yield post3(f"given the dataset {name.rpartition('-')[2]}", "datasets/create", body)))


def life(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    two = yield from experiment(prefix, "two")
    name = f"{prefix}golden"
    path = f"datasets/{made((yield post3('create', 'datasets/create', {'name': name, 'experiment_ids': [one]})))}"
    yield get3("get", path)
    yield get("get through the pages' path", f"{AJAX_V3}{path}")
    yield get3("its experiments", f"{path}/experiment-ids")
    yield post3("the same name again", "datasets/create", {"name": name, "experiment_ids": [one]})
    user = {"name": name, "tags": json.dumps({"mlflow.user": "ada", "team": "vision"})}
    yield post3("with tags, of nobody's experiment", "datasets/create", user)
    yield post3("of two experiments", "datasets/create", {"name": name, "experiment_ids": [one, two]})
    yield post3("through the pages' path", f"{AJAX_V3}datasets/create", {"name": name, "experiment_ids": [two]})
    yield post3("link to another", f"{path}/add-experiments", {"experiment_ids": [two]})
    yield post3("link to it again", f"{path}/add-experiments", {"experiment_ids": [one, two]})
    yield get3("its experiments then", f"{path}/experiment-ids")
    yield post3("link to nothing", f"{path}/add-experiments", {"experiment_ids": []})
    yield post3("link to an unknown one", f"{path}/add-experiments", {"experiment_ids": ["99999999"]})
    yield post3("unlink", f"{path}/remove-experiments", {"experiment_ids": [one]})
    yield post3("unlink again", f"{path}/remove-experiments", {"experiment_ids": [one]})
    yield post3("unlink nothing", f"{path}/remove-experiments", {})
    yield get3("its experiments after all", f"{path}/experiment-ids")
    yield delete3("delete", path)
    yield get3("get the deleted", path)
    yield delete3("delete again", path)
    yield get3("the experiments of the deleted", f"{path}/experiment-ids")
    for verb in ("add", "remove"):
        yield post3(
            f"{verb} the experiments of nobody", f"datasets/{NOBODY}/{verb}-experiments", {"experiment_ids": [one]}
        )
        for label, body in with_each({}, "experiment_ids", NOT_A_LIST):
            yield post3(f"{verb}: {label}", f"datasets/{NOBODY}/{verb}-experiments", body)


def tags(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    path = f"datasets/{(yield from dataset(f'{prefix}tagged', [one], a='1', b='2'))}"
    for label, sent in {
        "another": {"c": "3"},
        "a new value": {"a": "new"},
        "an empty value": {"b": ""},
        "null": {"a": None},
        "a number": {"n": 1},
        "true": {"t": True},
        "nothing": {},
        "a list": {"v": [1]},
        "other letters": {"z é 한글/x": "é 한글"},
    }.items():
        yield patch3(f"set {label}", f"{path}/tags", {"tags": json.dumps(sent)})
    yield get3("the dataset then", path)
    yield delete3("delete a tag", f"{path}/tags/a")
    yield delete3("delete it again", f"{path}/tags/a")
    yield delete3("delete one that never was", f"{path}/tags/nope")
    yield get3("the dataset after all", path)
    for label, body in without_each({"tags": "{}"}, "tags"):
        yield patch3(label, f"{path}/tags", body)
    for label, body in with_each({}, "tags", NOT_A_STRING):
        yield patch3(label, f"{path}/tags", body)
    yield patch3("tags of no JSON", f"{path}/tags", {"tags": "{"})
    yield patch3("tags of a list", f"{path}/tags", {"tags": "[]"})
    yield patch3("the tags of nobody", f"datasets/{NOBODY}/tags", {"tags": "{}"})
    yield delete3("a tag of nobody", f"datasets/{NOBODY}/tags/a")
    for label, sent in (("no JSON", "{"), ("a list", "[]"), ("a text", '"x"'), ("null", "null"), ("nothing", "")):
        yield post3(f"create with tags of {label}", "datasets/create", {"name": f"{prefix}tags", "tags": sent})
    for label, body in without_each({"name": f"{prefix}new"}, "name"):
        yield post3(f"create: {label}", "datasets/create", body)
    for field in ("name", "tags"):
        for label, body in with_each({"name": f"{prefix}new"}, field, NOT_A_STRING):
            yield post3(f"create: {label}", "datasets/create", body)
    for label, body in with_each({"name": f"{prefix}new"}, "experiment_ids", NOT_A_LIST):
        yield post3(f"create: {label}", "datasets/create", body)
    yield post3("create with a name of 255", "datasets/create", {"name": (prefix + "n" * 255)[:255]})
    yield raw("create without a body", "/api/3.0/mlflow/datasets/create")
    yield raw("create by no JSON", "/api/3.0/mlflow/datasets/create", b"{")


def upsert(label: str, path: str, *records: Any) -> Any:
    return post3(label, f"{path}/records", {"records": json.dumps(records)})


SOURCES: dict[str, Any] = {
    "a trace": {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}},
    "a human": {"source_type": "HUMAN", "source_data": {"user_name": "ada"}},
    "code in lower case": {"source_type": "code", "source_data": {}},
    "a document with an id": {"source_type": "DOCUMENT", "source_data": {"doc_uri": "s3://a", "source_id": "doc-1"}},
    "no data": {"source_type": "CODE"},
    "unspecified": {"source_type": "UNSPECIFIED"},
    "an unknown type": {"source_type": "MAGIC"},
    "a member too many": {"source_type": "CODE", "nope": 1},
    "no type": {"source_data": {}},
    "a text": "TRACE",
    "an empty object": {},
}


def records(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    path = f"datasets/{(yield from dataset(f'{prefix}golden', [one]))}"
    yield get3("no records", f"{path}/records")
    first = {"inputs": {"question": "a", "n": 1}, "expectations": {"answer": "x"}, "tags": {"mlflow.user": "ada"}}
    yield upsert("one", path, first)
    yield get3("the dataset with one", path)
    yield get3("the record", f"{path}/records")
    yield upsert("the same inputs in another order", path, {"inputs": {"n": 1, "question": "a"}, "tags": {"k": "v"}})
    yield upsert("more expectations", path, {"inputs": first["inputs"], "expectations": {"answer": "y", "more": [1]}})
    yield upsert("outputs", path, {**first, "outputs": {"text": "o"}, "tags": {"mlflow.user": "bob"}})
    yield get3("the record after updates", f"{path}/records")
    yield upsert("outputs to null", path, {**first, "outputs": None})
    yield upsert("twice in one request", path, {"inputs": {"q": 2}}, {"inputs": {"q": 2}, "tags": {"twice": "yes"}})
    yield get3("the dataset with two", path)
    yield upsert("none", path)
    yield get3("the dataset after none", path)
    answer = yield get3("the records", f"{path}/records")
    ids = [record["dataset_record_id"] for record in json.loads(answer.at("records"))]
    yield get3("the first page", f"{path}/records", {"max_results": 1})
    yield delete3("delete one", f"{path}/records", {"dataset_record_ids": ids[:1]})
    yield delete3("delete it again", f"{path}/records", {"dataset_record_ids": ids})
    yield delete3("delete nothing", f"{path}/records", {"dataset_record_ids": []})
    yield get3("the dataset after deletions", path)
    yield get3("no records are left", f"{path}/records")
    for label, body in with_each({}, "dataset_record_ids", NOT_A_LIST):
        yield delete3(f"delete: {label}", f"{path}/records", body)
    for label, value in {"a number": 1, "a fraction": 1.0, "text": "t", "a list": [1, "a"], "null": None}.items():
        yield upsert(f"outputs of {label}", path, {"inputs": {"of": label}, "outputs": value})
    yield upsert(
        "an input of each type", path, {"inputs": {"i": 1, "f": 0.5, "b": True, "s": "é", "l": [], "o": {}, "z": None}}
    )
    yield get3("the dataset's schema", path)
    yield get3("all the records", f"{path}/records")


def rejected_records(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    path = f"datasets/{(yield from dataset(f'{prefix}golden', [one]))}"
    for label, source in SOURCES.items():
        yield upsert(f"from {label}", path, {"inputs": {"from": label}, "source": source})
    yield get3("the records by source", f"{path}/records")
    for label, record in {
        "no inputs": {"tags": {"a": "b"}},
        "inputs of null": {"inputs": None},
        "inputs of a text": {"inputs": "x"},
        "inputs of a list": {"inputs": [1]},
        "expectations of a text": {"inputs": {"a": 1}, "expectations": "x"},
        "expectations of null": {"inputs": {"b": 1}, "expectations": None},
        "tags of a text": {"inputs": {"c": 1}, "tags": "x"},
        "tags of a list": {"inputs": {"d": 1}, "tags": ["x"]},
        "tags of numbers": {"inputs": {"e": 1}, "tags": {"n": 1}},
        "a member too many": {"inputs": {"f": 1}, "nope": 1},
        "a text": "x",
        "a number": 1,
        "null": None,
    }.items():
        yield upsert(f"a record with {label}", path, record)
    for label, text in {"no JSON": "{", "an object": "{}", "a text": '"x"', "null": "null", "nothing": ""}.items():
        yield post3(f"records of {label}", f"{path}/records", {"records": text})
    for label, body in with_each({}, "records", NOT_A_STRING):
        yield post3(label, f"{path}/records", body)
    yield post3("no records member", f"{path}/records", {})
    yield upsert("a record of nobody", f"datasets/{NOBODY}", {"inputs": {"a": 1}})
    yield upsert("no record of nobody", f"datasets/{NOBODY}")
    yield get3("the records of nobody", f"datasets/{NOBODY}/records")
    yield delete3("delete a record of nobody", f"datasets/{NOBODY}/records", {"dataset_record_ids": ["dr-1"]})
    for label, value in {"none": 0, "fewer than none": -1, "a word": "some", "too many": 50_001}.items():
        yield get3(f"max_results: {label}", f"{path}/records", {"max_results": value})


def search(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    two = yield from experiment(prefix, "two")
    ids = {"experiment_ids": [one]}
    yield from dataset(f"{prefix}alpha", [one], kind="unit", mlflow_user="ada")
    yield from dataset(f"{prefix}beta", [one, two], kind="e2e")
    yield from dataset(f"{prefix}Gamma", [one], **{"mlflow.user": "ada"})
    yield from dataset(f"{prefix}delta", [two])
    yield post3("of one experiment", "datasets/search", ids)
    yield get3("by GET", "datasets/search", ids)
    yield post3("through the pages' path", f"{AJAX_V3}datasets/search", {**ids, "order_by": ["created_time DESC"]})
    yield post3("of two experiments", "datasets/search", {"experiment_ids": [one, two]})
    yield post3("of an unknown experiment", "datasets/search", {"experiment_ids": ["99999999"]})
    for text in (
        f"name = '{prefix}alpha'",
        f"name != '{prefix}alpha'",
        "name LIKE '%a'",
        "name ILIKE '%GAMMA'",
        f"name IN ('{prefix}alpha', '{prefix}beta')",
        f"name NOT IN ('{prefix}alpha')",
        "name > 'a'",
        "name RLIKE 'a'",
        "name = 1",
        "name = alpha",
        "tags.kind = 'unit'",
        "tags.kind != 'unit'",
        "tags.kind LIKE 'e%'",
        "tags.kind ILIKE 'E%'",
        "tags.kind > 'a'",
        "tags.kind IN ('unit')",
        "tags.kind IS NULL",
        "tag.kind = 'unit'",
        "tags.`kind` = 'unit'",
        "tags.kind = unit",
        "created_by = 'ada'",
        "last_updated_by = 'ada'",
        "created_time > 0",
        "created_time < 1",
        "created_time = 1.5",
        "created_time = '1'",
        "created_time LIKE '1%'",
        "last_update_time >= 0 AND name LIKE '%beta'",
        "created_by IN ('ada')",
        "created_by > 'a'",
        "digest = 'x'",
        "attribute.name = 'x'",
        "nope = 'x'",
        "metrics.a = 1",
        "name = 'x' OR name = 'y'",
        "name",
        "(",
        "  ",
    ):
        yield post3(f"filter {text.replace(prefix, '')}", "datasets/search", {**ids, "filter_string": text})
    for clause in (
        "name",
        "name ASC",
        "name DESC",
        "created_time",
        "created_time ASC",
        "last_update_time DESC",
        "created_by",
        "tags.kind",
        "nope",
        "name SIDEWAYS",
        "",
        "name, created_time",
    ):
        yield post3(f"order by {clause!r}", "datasets/search", {**ids, "order_by": [clause]})
    yield post3("order by two", "datasets/search", {**ids, "order_by": ["last_update_time", "name"]})
    page = yield post3("the first page", "datasets/search", {**ids, "max_results": 2})
    token = page.at("next_page_token")
    yield post3("the second page", "datasets/search", {**ids, "max_results": 2, "page_token": token})
    yield post3("a token that is none", "datasets/search", {**ids, "page_token": "abc"})
    for label, value in {"none": 0, "fewer": -1, "50000": 50_000, "50001": 50_001, **NOT_AN_INTEGER}.items():
        yield post3(f"max_results: {label}", "datasets/search", {**ids, "max_results": value})
    for label in ("a text", "a number", "an object"):
        yield post3(f"experiment_ids is {label}", "datasets/search", {"experiment_ids": NOT_A_LIST[label]})
    for label, body in with_each(ids, "filter_string", NOT_A_STRING):
        yield post3(label, "datasets/search", body)


SCENARIOS = {
    "evaluation_datasets_life": life,
    "evaluation_datasets_tags": tags,
    "evaluation_datasets_records": records,
    "evaluation_datasets_rejected_records": rejected_records,
    "evaluation_datasets_search": search,
}
