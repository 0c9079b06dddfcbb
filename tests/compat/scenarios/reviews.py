"""Label schemas and review queues: life, items, lists, and rejected requests."""

from typing import Any

from tests.compat.play import Response, Script
from tests.compat.scenarios.given import experiment, without_each
from tests.compat.scenarios.given_traces import call, delete3, get3, patch3, post3

NO_SCHEMA = "ls-0123456789abcdef0123456789abcdef"
NO_QUEUE = "rq-0123456789abcdef0123456789abcdef"
PASS_FAIL = {"pass_fail": {"positive_label": "Yes", "negative_label": "No"}}
INPUTS: dict[str, Any] = {
    "pass or fail": PASS_FAIL,
    "a choice": {"categorical": {"options": ["a", "b"]}},
    "choices": {"categorical": {"options": ["a", "b"], "multi_select": True}},
    "a number": {"numeric": {"min_value": 0, "max_value": 5.5}},
    "any number": {"numeric": {}},
    "a text": {"text": {"max_length": 100}},
    "any text": {"text": {}},
}
BAD_INPUTS: dict[str, Any] = {
    "equal labels": {"pass_fail": {"positive_label": "a", "negative_label": "a"}},
    "an empty label": {"pass_fail": {"positive_label": "", "negative_label": "a"}},
    "a long label": {"pass_fail": {"positive_label": "a" * 65, "negative_label": "b"}},
    "no options": {"categorical": {"options": []}},
    "eleven options": {"categorical": {"options": [str(n) for n in range(11)]}},
    "an empty option": {"categorical": {"options": [""]}},
    "a long option": {"categorical": {"options": ["a" * 65]}},
    "an option twice": {"categorical": {"options": ["a", "a"]}},
    "bounds in the wrong order": {"numeric": {"min_value": 2, "max_value": 1}},
    "a length of zero": {"text": {"max_length": 0}},
}


def schema_of(response: Response) -> str:
    found: str = response.at("label_schema", "schema_id")
    return found


def schemas(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    body = {"experiment_id": one, "name": "good", "type": "FEEDBACK", "input": PASS_FAIL}
    first = schema_of((yield post3("create", "label-schemas/create", body)))
    for label, sent in INPUTS.items():
        whole = {"type": "EXPECTATION", "instruction": "say", "enable_comment": True}
        yield post3(f"create {label}", "label-schemas/create", {**body, **whole, "name": label, "input": sent})
    yield get3("get", "label-schemas/get", {"schema_id": first})
    yield get3("get nobody", "label-schemas/get", {"schema_id": NO_SCHEMA})
    yield get3("get by name", "label-schemas/get-by-name", {"experiment_id": one, "name": "good"})
    yield get3("get nobody by name", "label-schemas/get-by-name", {"experiment_id": one, "name": "nobody"})
    yield get3("the list", "label-schemas/list", {"experiment_id": one})
    yield get3("the list again", "label-schemas/list", {"experiment_id": one})
    page = yield get3("the first page", "label-schemas/list", {"experiment_id": one, "max_results": 5})
    token = page.at("next_page_token")
    yield get3("the second page", "label-schemas/list", {"experiment_id": one, "max_results": 5, "page_token": token})
    for value in (0, -1, 50_001):
        yield get3(f"max_results {value}", "label-schemas/list", {"experiment_id": one, "max_results": value})
    yield get3("the list of an unknown experiment", "label-schemas/list", {"experiment_id": "99999999"})
    yield post3("the same name", "label-schemas/create", body)
    yield post3("the reserved name", "label-schemas/create", {**body, "name": "feedback "})
    yield post3("a long name", "label-schemas/create", {**body, "name": "n" * 251})
    yield post3("a long instruction", "label-schemas/create", {**body, "name": "i", "instruction": "i" * 1001})
    yield post3("an unknown experiment", "label-schemas/create", {**body, "name": "e", "experiment_id": "99999999"})
    for label, sent in without_each(body, "experiment_id", "name"):
        yield post3(label, "label-schemas/create", sent)
    for label, sent in BAD_INPUTS.items():
        yield post3(f"bad: {label}", "label-schemas/create", {**body, "name": f"bad {label}", "input": sent})
    for label, sent in {
        "the name": {"name": "better"},
        "the instruction": {"instruction": "please"},
        "the comment": {"enable_comment": True},
        "the labels": {"input": {"pass_fail": {"positive_label": "Good", "negative_label": "Bad"}}},
        "nothing": {},
        "to a used name": {"name": "a choice"},
        "to bad labels": {"input": BAD_INPUTS["equal labels"]},
    }.items():
        yield patch3(f"update {label}", "label-schemas/update", {"schema_id": first, **sent})
    yield patch3("update nobody", "label-schemas/update", {"schema_id": NO_SCHEMA, "name": "x"})
    yield delete3("delete", "label-schemas/delete", {"schema_id": first})
    yield delete3("delete again", "label-schemas/delete", {"schema_id": first})
    yield get3("get the deleted", "label-schemas/get", {"schema_id": first})
    default = yield get3("the default", "label-schemas/get-by-name", {"experiment_id": one, "name": "Feedback"})
    fixed = {"schema_id": default.at("label_schema", "schema_id")}
    yield patch3("update the default", "label-schemas/update", {**fixed, "name": "x"})
    yield delete3("delete the default", "label-schemas/delete", fixed)


def queue_of(response: Response) -> str:
    found: str = response.at("review_queue", "queue_id")
    return found


def queues(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    body = {"experiment_id": one, "name": "good", "type": "FEEDBACK", "input": PASS_FAIL}
    schema = schema_of((yield post3("given a label schema", "label-schemas/create", body)))
    custom = {"experiment_id": one, "name": "Nightly", "queue_type": "CUSTOM"}
    path = "review-queues"
    empty = queue_of((yield post3("create", f"{path}/create", custom)))
    whole = {**custom, "name": "Whole", "users": [" Ada ", "bob", "ADA"], "schema_ids": [schema]}
    full = queue_of((yield post3("create with everything", f"{path}/create", whole)))
    mine = queue_of((yield post3("create a user's", f"{path}/create", {**custom, "name": "Eve", "queue_type": "USER"})))
    yield post3("the user's again", f"{path}/get-or-create-user", {"experiment_id": one, "user": "EVE"})
    yield post3("another user's", f"{path}/get-or-create-user", {"experiment_id": one, "user": " Dan "})
    yield post3("a user named as a queue", f"{path}/get-or-create-user", {"experiment_id": one, "user": "nightly"})
    for label, more in {
        "the name in capitals": {"name": "NIGHTLY"},
        "a reserved name": {"name": "Default"},
        "a blank name": {"name": "  "},
        "a long name": {"name": "n" * 251},
        "eleven users": {"name": "x", "users": [str(n) for n in range(11)]},
        "an empty user": {"name": "x", "users": [""]},
        "an unknown schema": {"name": "x", "schema_ids": [NO_SCHEMA]},
        "a user's with another": {"name": "x", "queue_type": "USER", "users": ["y"]},
        "a user's with questions": {"name": "x", "queue_type": "USER", "schema_ids": [schema]},
        "an unknown experiment": {"experiment_id": "99999999"},
    }.items():
        yield post3(f"create {label}", f"{path}/create", {**custom, **more})
    for label, sent in without_each(custom, "experiment_id", "name"):
        yield post3(label, f"{path}/create", sent)
    yield get3("get", f"{path}/get", {"queue_id": full})
    yield get3("get nobody", f"{path}/get", {"queue_id": NO_QUEUE})
    yield get3("get by name", f"{path}/get-by-name", {"experiment_id": one, "name": "WHOLE"})
    yield get3("get nobody by name", f"{path}/get-by-name", {"experiment_id": one, "name": "nobody"})
    yield get3("the list", f"{path}/list", {"experiment_id": one})
    yield get3("the list of a user", f"{path}/list", {"experiment_id": one, "user": "ADA"})
    yield get3("the list of an item", f"{path}/list", {"experiment_id": one, "item_id": "tr-1"})
    yield get3("the first of the list", f"{path}/list", {"experiment_id": one, "max_results": 1})
    yield get3("none of the list", f"{path}/list", {"experiment_id": one, "max_results": 0})
    yield get3("the list of an unknown experiment", f"{path}/list", {"experiment_id": "99999999"})
    for label, sent in {
        "the name": {"name": " Daily "},
        "the case of the name": {"name": "DAILY"},
        "the users": {"update_users": True, "users": ["Zoe"]},
        "the users without the flag": {"users": ["x"]},
        "the users to none": {"update_users": True},
        "the questions": {"update_schema_ids": True, "schema_ids": [schema]},
        "the owner": {"new_owner": " Ada "},
        "nothing": {},
        "to a used name": {"name": "whole"},
        "to a reserved name": {"name": "default"},
        "to an unknown question": {"update_schema_ids": True, "schema_ids": [NO_SCHEMA]},
    }.items():
        yield post3(f"update {label}", f"{path}/update", {"queue_id": empty, **sent})
    yield post3("update a user's", f"{path}/update", {"queue_id": mine, "name": "x"})
    yield post3("update nobody", f"{path}/update", {"queue_id": NO_QUEUE, "name": "x"})
    add, items = f"{path}/items/add", {"queue_id": full, "item_type": "TRACE"}
    yield post3("add items", add, {**items, "item_ids": ["tr-1", " tr-2 ", "tr-1"]})
    yield post3("add them again", add, {**items, "item_ids": ["tr-2", "tr-3"]})
    yield post3("add none", add, {**items, "item_ids": []})
    yield post3("add an empty one", add, {**items, "item_ids": [""]})
    yield post3("add a long one", add, {**items, "item_ids": ["t" * 51]})
    yield post3("add to nobody", add, {**items, "queue_id": NO_QUEUE, "item_ids": ["tr-1"]})
    locked = {"queue_id": full, "update_schema_ids": True, "schema_ids": []}
    yield post3("update the questions of a queue with items", f"{path}/update", locked)
    status = f"{path}/items/set-status"
    one_item = {"queue_id": full, "item_id": "tr-1"}
    for label, sent in {
        "complete": {"status": "COMPLETE", "completed_by": " Ada "},
        "complete by another": {"status": "COMPLETE", "completed_by": "bob"},
        "declined": {"status": "DECLINED", "completed_by": "bob"},
        "pending": {"status": "PENDING"},
        "pending by": {"status": "PENDING", "completed_by": "bob"},
        "complete by nobody": {"status": "COMPLETE"},
        "complete by a long name": {"status": "COMPLETE", "completed_by": "u" * 251},
    }.items():
        yield post3(f"status {label}", status, {**one_item, **sent})
    yield post3("status of a missing item", status, {"queue_id": full, "item_id": "tr-9", "status": "PENDING"})
    yield post3("status in nobody", status, {"queue_id": NO_QUEUE, "item_id": "tr-1", "status": "PENDING"})
    yield get3("the items", f"{path}/items/list", {"queue_id": full})
    yield get3("the pending items", f"{path}/items/list", {"queue_id": full, "status": "PENDING"})
    yield get3("the first item", f"{path}/items/list", {"queue_id": full, "max_results": 1})
    yield get3("the items of nobody", f"{path}/items/list", {"queue_id": NO_QUEUE})
    yield post3("remove items", f"{path}/items/remove", {"queue_id": full, "item_ids": ["tr-1", "tr-9"]})
    yield post3("remove none", f"{path}/items/remove", {"queue_id": full, "item_ids": []})
    yield post3("remove from nobody", f"{path}/items/remove", {"queue_id": NO_QUEUE, "item_ids": ["tr-1"]})
    yield get3("the items after it", f"{path}/items/list", {"queue_id": full})
    yield delete3("delete the label schema", "label-schemas/delete", {"schema_id": schema})
    yield get3("the queue without the label schema", f"{path}/get", {"queue_id": full})
    yield post3("delete", f"{path}/delete", {"queue_id": full})
    yield post3("delete again", f"{path}/delete", {"queue_id": full})
    yield call("get the deleted", "GET", f"{path}/get?queue_id={full}", {})


SCENARIOS = {"label_schemas": schemas, "review_queues": queues}
