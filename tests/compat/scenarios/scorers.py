"""Scorers as stored objects: register, versions, get, list, delete, and rejected requests."""

import json
from typing import Any

from tests.compat.play import Script, get
from tests.compat.scenarios.given import NOT_A_STRING, NOT_AN_INTEGER, experiment, with_each, without_each
from tests.compat.scenarios.given_traces import AJAX_V3, delete3, get3, post3

BUILT_IN = json.dumps({"name": "safe", "builtin_scorer_class": "Safety", "builtin_scorer_pydantic_data": {"name": "s"}})


def judge(model: Any) -> str:
    return json.dumps({"name": "judge", "instructions_judge_pydantic_data": {"instructions": "i", "model": model}})


def life(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    two = yield from experiment(prefix, "two")
    safe = {"experiment_id": one, "name": "safe"}
    yield get3("none", "scorers/list", {"experiment_id": one})
    yield post3("register", "scorers/register", {**safe, "serialized_scorer": BUILT_IN})
    yield post3("a second version", "scorers/register", {**safe, "serialized_scorer": judge("openai:/gpt-4")})
    yield post3("another", "scorers/register", {**safe, "name": "é/한글 %", "serialized_scorer": BUILT_IN})
    yield post3(
        "in another experiment", "scorers/register", {**safe, "experiment_id": two, "serialized_scorer": BUILT_IN}
    )
    yield get3("the list", "scorers/list", {"experiment_id": one})
    yield get("the list through the pages' path", f"{AJAX_V3}scorers/list", {"experiment_id": one})
    yield get3("the list of two", "scorers/list", {"experiment_ids": [one, two]})
    yield get3("the list of both kinds of ids", "scorers/list", {"experiment_id": one, "experiment_ids": [one, two]})
    yield get3("the list of an unknown experiment", "scorers/list", {"experiment_id": "99999999"})
    yield get3("the list of unknown experiments", "scorers/list", {"experiment_ids": ["99999999"]})
    yield get3("the list of no number", "scorers/list", {"experiment_id": "abc"})
    yield get3("the versions", "scorers/versions", safe)
    yield get3("the versions of nobody", "scorers/versions", {**safe, "name": "nobody"})
    yield get3("the last version", "scorers/get", safe)
    yield get3("the first version", "scorers/get", {**safe, "version": 1})
    yield get3("an unknown version", "scorers/get", {**safe, "version": 9})
    yield get3("the version zero", "scorers/get", {**safe, "version": 0})
    yield get3("a version that is a word", "scorers/get", {**safe, "version": "x"})
    yield get3("nobody", "scorers/get", {**safe, "name": "nobody"})
    yield get3("in other letters", "scorers/get", {**safe, "name": "SAFE"})
    yield delete3("delete the first version", "scorers/delete", {**safe, "version": 1})
    yield delete3("delete it again", "scorers/delete", {**safe, "version": 1})
    yield get3("the versions without it", "scorers/versions", safe)
    yield post3("a third version", "scorers/register", {**safe, "serialized_scorer": BUILT_IN})
    yield delete3("delete all versions", "scorers/delete", safe)
    yield delete3("delete all again", "scorers/delete", safe)
    yield get3("get the deleted", "scorers/get", safe)
    yield post3("register the deleted", "scorers/register", {**safe, "serialized_scorer": BUILT_IN})
    yield get3("configurations of nobody", "scorers/online-configs", {"scorer_ids": ["nobody"]})
    yield get3("configurations without ids", "scorers/online-configs", {})
    yield post3("delete the experiment two", "/api/2.0/mlflow/experiments/delete", {"experiment_id": two})
    yield get3("the list of a deleted experiment", "scorers/list", {"experiment_id": two})
    yield get3("the list with a deleted experiment", "scorers/list", {"experiment_ids": [one, two]})
    yield post3(
        "register in a deleted experiment",
        "scorers/register",
        {"experiment_id": two, "name": "late", "serialized_scorer": BUILT_IN},
    )


def rejected(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    body = {"experiment_id": one, "name": "safe", "serialized_scorer": BUILT_IN}
    for label, sent in without_each(body, "experiment_id", "name", "serialized_scorer"):
        yield post3(label, "scorers/register", sent)
    for field in ("experiment_id", "name", "serialized_scorer"):
        for label, sent in with_each(body, field, NOT_A_STRING):
            yield post3(label, "scorers/register", sent)
    yield post3("a blank name", "scorers/register", {**body, "name": "  "})
    yield post3("an unknown experiment", "scorers/register", {**body, "experiment_id": "99999999"})
    yield post3("no JSON", "scorers/register", {**body, "serialized_scorer": "{"})
    code = json.dumps({"name": "c", "call_source": "return 1", "call_signature": "()", "original_func_name": "c"})
    yield post3("a decorated function", "scorers/register", {**body, "serialized_scorer": code})
    inside = json.dumps({"name": "e", "ensemble_scorer_data": {"scorers": [json.loads(code)]}})
    yield post3("a decorated function inside", "scorers/register", {**body, "serialized_scorer": inside})
    for label, model in {"a number": 1, "nothing": "", "blanks": "  ", "an endpoint": "gateway:/nope"}.items():
        yield post3(f"a model of {label}", "scorers/register", {**body, "serialized_scorer": judge(model)})
    for path in ("get", "versions"):
        for label, sent in without_each({"experiment_id": one, "name": "safe"}, "experiment_id", "name"):
            yield get3(f"{path}: {label}", f"scorers/{path}", {k: v for k, v in sent.items() if v is not None})
    for label, sent in with_each({"experiment_id": one, "name": "safe"}, "version", NOT_AN_INTEGER):
        yield delete3(f"delete: {label}", "scorers/delete", sent)
    yield delete3("delete without a name", "scorers/delete", {"experiment_id": one})


SCENARIOS = {"scorers_life": life, "scorers_rejected": rejected}
