"""Issues: create, get, update, search with filters, orders and pages, and rejected requests."""

from typing import Any

from tests.compat.play import Response, Script
from tests.compat.scenarios.given import NOT_A_STRING, experiment, run, with_each, without_each
from tests.compat.scenarios.given_traces import get3, patch3, post3

SEEN = 1_700_000_000_000
NOBODY = "iss-0123456789abcdef0123456789abcdef"


def made(response: Response) -> str:
    found: str = response.at("issue", "issue_id")
    return found


def life(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    two = yield from experiment(prefix, "two")
    run_id = yield from run(one, "finder")
    other_run = yield from run(two, "other")
    body = {"experiment_id": one, "name": "wrong", "description": "answers are wrong"}
    path = f"issues/{made((yield post3('create', 'issues', body)))}"
    whole = {
        **body,
        "status": "resolved",
        "severity": "high",
        "root_causes": ["prompt", "model"],
        "source_run_id": run_id,
        "created_by": "ada",
        "categories": ["correctness", " Safety ", "safety"],
        "last_seen_timestamp": SEEN,
        "metadata": {"a": "1"},
    }
    full = f"issues/{made((yield post3('create with everything', 'issues', whole)))}"
    yield get3("get", path)
    yield get3("get with everything", full)
    yield get3("get nobody", f"issues/{NOBODY}")
    yield post3("an id of its own", "issues", {**body, "issue_id": f"iss-{prefix}own"})
    yield post3("the same id again", "issues", {**body, "issue_id": f"iss-{prefix}own"})
    yield post3("an invalid id", "issues", {**body, "issue_id": "own"})
    yield post3("a run of another experiment", "issues", {**body, "source_run_id": other_run})
    yield post3("an unknown run", "issues", {**body, "source_run_id": "0123456789abcdef0123456789abcdef"})
    yield post3("an unknown experiment", "issues", {**body, "experiment_id": "99999999"})
    yield post3("an experiment that is no number", "issues", {**body, "experiment_id": "abc"})
    for label, sent in without_each(body, "experiment_id", "name", "description"):
        yield post3(label, "issues", sent)
    for field in ("experiment_id", "name", "description", "status", "severity", "source_run_id", "created_by"):
        for label, sent in with_each(body, field, {"a number": 3, "a list": ["x"]}):
            yield post3(label, "issues", sent)
    for field, value in {
        "status": "open",
        "severity": "severe",
        "root_causes": "x",
        "categories": ["", "x"],
        "last_seen_timestamp": -1,
        "metadata": {"": "x"},
        "created_by": "u" * 256,
    }.items():
        yield post3(f"a bad {field}", "issues", {**body, field: value})
    yield post3("a name of 251", "issues", {**body, "name": "n" * 251})
    for label, sent in {
        "the status": {"status": "rejected"},
        "the name and description": {"name": "right", "description": "new"},
        "the severity": {"severity": "low"},
        "the categories": {"categories": ["cost"]},
        "the categories to none": {"categories": []},
        "the time to an earlier one": {"last_seen_timestamp": SEEN - 1},
        "the time to a later one": {"last_seen_timestamp": SEEN + 1},
        "who": {"last_updated_by": "bob"},
        "metadata": {"metadata": {"b": "2"}},
        "metadata by deletion": {"delete_metadata_keys": ["a", "nope"]},
        "metadata both ways": {"metadata": {"b": "3"}, "delete_metadata_keys": ["b"]},
        "nothing": {},
        "to a bad status": {"status": "open"},
        "to a bad severity": {"severity": ""},
        "to an empty name": {"name": ""},
        "to an empty description": {"description": ""},
    }.items():
        yield patch3(f"update {label}", full, {**sent, "issue_id": full.rpartition("/")[2]})
    yield get3("after the updates", full)
    yield patch3("update nobody", f"issues/{NOBODY}", {"issue_id": NOBODY, "status": "resolved"})


def search(prefix: str) -> Script:
    one = yield from experiment(prefix, "one")
    run_id = yield from run(one, "finder")
    ids: list[str] = []
    for name, fields in {
        "alpha": {"severity": "low", "source_run_id": run_id},
        "Beta_1": {"severity": "high", "categories": ["cost"]},
        "gamma": {"status": "resolved", "categories": ["Cost ", "safety"]},
        "delta%": {"severity": "high", "status": "rejected", "metadata": {"a": "1"}, "root_causes": ["r"]},
    }.items():
        body = {
            "experiment_id": one,
            "name": name,
            "description": f"about {name}",
            "last_seen_timestamp": SEEN + len(ids),
            **fields,
        }
        ids.append(made((yield post3(f"given {name}", "issues", body))))
    here = {"experiment_id": one}
    for label, more in {
        "all": {},
        "with counts": {"include_trace_count": True},
        "basic": {"view": "basic"},
        "full": {"view": "full"},
        "with a total": {"include_total_count": True, "max_results": 1},
        "by name": {"name": "ETA"},
        "by a name with a sign": {"name": "_1"},
        "by a name with a percent sign": {"name": "%"},
        "by statuses": {"statuses": ["pending", "rejected"]},
        "by severities": {"severities": ["high"]},
        "by categories": {"categories": ["COST"]},
        "by a bad status": {"statuses": ["open"]},
        "by a bad severity": {"severities": ["x"]},
        "by a bad view": {"view": "x"},
        "no results": {"max_results": 0},
        "fewer than no results": {"max_results": -1},
        "too many results": {"max_results": 50_001},
        "a bad token": {"page_token": "abc"},
    }.items():
        yield post3(f"search {label}", "issues/search", {**here, **more})
    for text in (
        "status = 'pending'",
        "status != 'pending'",
        f"source_run_id = '{run_id}'",
        "status = 'pending' AND source_run_id != 'x'",
        "status = pending",
        "status LIKE 'p%'",
        "severity = 'high'",
        "status = 'pending' OR status = 'resolved'",
        "status",
        "nope",
    ):
        yield post3(f"filter {text.replace(run_id, '')}", "issues/search", {**here, "filter_string": text})
    for order in (
        ["name"],
        ["name DESC"],
        ["status", "name"],
        ["severity desc", "name ASC"],
        ["created_timestamp"],
        ["last_updated_timestamp DESC"],
        ["last_seen_timestamp"],
        ["nope"],
        ["name SIDEWAYS"],
        [""],
    ):
        yield post3(f"order by {order}", "issues/search", {**here, "order_by": order})
    page = yield post3("the first page", "issues/search", {**here, "max_results": 3})
    more = {**here, "max_results": 3, "page_token": page.at("next_page_token")}
    yield post3("the second page", "issues/search", more)
    page = yield post3("the first page by name", "issues/search", {**here, "max_results": 2, "order_by": ["name"]})
    more = {**here, "max_results": 2, "order_by": ["name"], "page_token": page.at("next_page_token")}
    yield post3("the second page by name", "issues/search", more)
    for field in ("experiment_id", "filter_string", "name", "view"):
        for label, sent in with_each(here, field, NOT_A_STRING):
            yield post3(label, "issues/search", sent)
    yield post3("an unknown experiment", "issues/search", {"experiment_id": "99999999"})
    bad: dict[str, Any] = {"statuses": "x", "order_by": "name", "include_trace_count": "yes"}
    for field, value in bad.items():
        yield post3(f"{field} of another type", "issues/search", {**here, field: value})


SCENARIOS = {"issues_life": life, "issues_search": search}
