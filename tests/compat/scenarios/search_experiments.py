"""experiments/search by POST and GET. Every search filters by the prefix of this run."""

import time
from typing import Any

from tests.compat.play import Script, get, post
from tests.compat.scenarios.given import NOT_A_LIST, NOT_A_STRING, NOT_AN_INTEGER, experiment, with_each

PATH = "experiments/search"
NAMES = ("experiments", "name")
"""Record only the names of the experiments found, in order. One exchange records whole experiments."""


def some_experiments(prefix: str) -> Script:
    ids = []
    rows = [
        ("alpha", {"team": "vision"}),
        ("Beta", {"team": "Speech", "a b": "x"}),
        ("gamma", {}),
        ("델타", {"한글": "값"}),
    ]
    for name, tags in rows:
        body = {"name": prefix + name, "tags": [{"key": k, "value": v} for k, v in tags.items()]}
        made = yield post(f"given {name}", "experiments/create", body)
        ids.append(made.at("experiment_id"))
        time.sleep(0.002)  # so that the order of their times is the order of their creation
    gone = yield from experiment(prefix, "zeta")
    yield post("given a deleted one", "experiments/delete", {"experiment_id": gone})
    return ids


FILTERS = [
    "",
    "name = '{p}alpha'",
    "name != '{p}alpha'",
    "attribute.name = '{p}alpha'",
    "attributes.name LIKE '{p}%a'",
    "attr.name = '{p}alpha'",
    "experiment.name = '{p}alpha'",
    "name ILIKE '%BETA'",
    "name LIKE '%BETA'",
    "name = '{p}델타'",
    "name IN ('{p}alpha', '{p}gamma')",
    "name NOT IN ('{p}alpha')",
    "name IS NULL",
    "name IS NOT NULL",
    "tags.team = 'vision'",
    "tag.team = 'vision'",
    "tags.team != 'vision'",
    "tags.team ILIKE 'sp%'",
    "tags.team IS NULL",
    "tags.team IS NOT NULL",
    "tags.`a b` = 'x'",
    'tags."a b" = "x"',
    "tags.`한글` = '값'",
    "tags.`mlflow.experiment.isGateway` IS NULL",
    "tags.team IN ('vision', 'x')",
    "creation_time > 0",
    "creation_time < 5",
    "attributes.last_update_time >= 1",
    "last_update_time != 1",
    "creation_time = 1.5",
    "creation_time > '5'",
    "creation_time LIKE '1'",
    "lifecycle_stage = 'active'",
    "experiment_id = '1'",
    "artifact_location LIKE 'x'",
    "name",
    "name =",
    "name = alpha",
    "name = 3",
    "name > 'a'",
    "name == 'a'",
    "name = 'a' OR name = 'b'",
    "(name = 'a')",
    "metrics.loss > 1",
    "params.lr = 'x'",
    "colour = 'red'",
    "tags.team > 'a'",
    "tags.team = 3",
    "tags.team = vision",
    "name = 'unclosed",
    "nonsense nonsense",
    "name = 'a'; DROP TABLE experiments",
    "name = 'a' AND",
]


def filters(prefix: str) -> Script:
    yield from some_experiments(prefix)
    yield post(
        "everything of each", PATH, {"filter": f"name LIKE '{prefix}%'", "max_results": 50, "order_by": ["name"]}
    )
    for text in FILTERS:
        asked = " AND ".join(part for part in (f"name LIKE '{prefix}%'", text.format(p=prefix)) if part)
        yield post(f"filter {text!r}", PATH, {"filter": asked, "max_results": 50, "order_by": ["name"]}, only=NAMES)
    mine = f"name LIKE '{prefix}%'"
    for label, body in with_each({"max_results": 1}, "filter", NOT_A_STRING):
        yield post(label, PATH, body, only=NAMES)
    for keys in (
        ["name"],
        ["name DESC"],
        ["attribute.name ASC"],
        ["attributes.name"],
        ["creation_time", "name"],
        ["last_update_time DESC", "name"],
        ["experiment_id"],
        ["experiment_id DESC"],
        ["attribute.experiment_id desc"],
        ["name, experiment_id"],
        ["lifecycle_stage"],
        ["artifact_location"],
        ["colour"],
        ["tags.team"],
        ["tags.team DESC"],
        ["metrics.loss"],
        ["name UP"],
        ["name ASC DESC"],
        [""],
        ["name; DROP TABLE experiments"],
        ["`name`"],
        [],
    ):
        yield post(f"order by {keys}", PATH, {"filter": mine, "max_results": 50, "order_by": keys}, only=NAMES)
    for label, body in with_each({"filter": mine, "max_results": 5}, "order_by", NOT_A_LIST):
        yield post(label, PATH, body, only=NAMES)


def pages(prefix: str) -> Script:
    yield from some_experiments(prefix)
    mine: dict[str, Any] = {"filter": f"name LIKE '{prefix}%'"}
    for keys in (["name"], ["name DESC"], ["creation_time", "name"], []):
        token = None
        for number in range(4):
            body = {**mine, "max_results": 2, "order_by": keys, "page_token": token}
            page = yield post(f"page {number + 1} by {keys}", PATH, body, only=NAMES)
            token = page.json.get("next_page_token")
            if not token:
                break
    first = yield post("page 1", PATH, {**mine, "max_results": 1, "order_by": ["name"]}, only=NAMES)
    token = first.at("next_page_token")
    yield post("its token with another order", PATH, {**mine, "max_results": 1, "page_token": token}, only=NAMES)
    for label, value in {"nonsense": "nonsense", "empty": "", "a number as text": "12", **NOT_A_STRING}.items():
        yield post(
            f"a token: {label}", PATH, {**mine, "max_results": 1, "order_by": ["name"], "page_token": value}, only=NAMES
        )
    sizes = {
        "zero": 0,
        "negative": -1,
        "missing": None,
        "50000": 50000,
        "50001": 50001,
        "text": "3",
        "a whole fraction": 2.0,
        **NOT_AN_INTEGER,
    }
    for label, value in sizes.items():
        yield post(f"max_results: {label}", PATH, {**mine, "order_by": ["name"], "max_results": value}, only=NAMES)
    views = ["ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3, 0, 4, "active_only", "", "1", True, 1.5, None]
    for view in views:
        body = {**mine, "order_by": ["name"], "max_results": 9, "view_type": view}
        yield post(f"view type {view!r}", PATH, body, only=NAMES)

    yield get("by GET", PATH, {**mine, "max_results": 2, "order_by": "name DESC"}, only=NAMES)
    yield get(
        "by GET with two orders",
        PATH,
        {**mine, "max_results": 2, "order_by": ["last_update_time", "name DESC"]},
        only=NAMES,
    )
    yield get(
        "by GET with a view type", PATH, {**mine, "max_results": 9, "view_type": "ALL", "order_by": "name"}, only=NAMES
    )
    yield get(
        "by GET with a view type's number",
        PATH,
        {**mine, "max_results": 9, "view_type": "3", "order_by": "name"},
        only=NAMES,
    )
    yield get("by GET with a bad view type", PATH, {**mine, "max_results": 9, "view_type": "SOME"}, only=NAMES)
    yield get("by GET without max_results", PATH, mine, only=NAMES)
    yield get("by GET with a bad max_results", PATH, {**mine, "max_results": "many"}, only=NAMES)
    yield get("by GET with a fraction for max_results", PATH, {**mine, "max_results": "1.5"}, only=NAMES)
    yield get("by GET with an empty max_results", PATH, {**mine, "max_results": ""}, only=NAMES)
    yield get("by GET with max_results twice", PATH, {**mine, "max_results": [1, 2], "order_by": "name"}, only=NAMES)
    first = yield get("by GET, page 1", PATH, {**mine, "max_results": 3, "order_by": "name"}, only=NAMES)
    token = first.at("next_page_token")
    yield get("by GET, page 2", PATH, {**mine, "max_results": 3, "order_by": "name", "page_token": token}, only=NAMES)
    yield get("by GET with a bad token", PATH, {**mine, "max_results": 3, "page_token": "nonsense"}, only=NAMES)
    yield get(
        "by GET through the pages' path",
        "/ajax-api/2.0/mlflow/experiments/search",
        {**mine, "max_results": 1, "order_by": "name"},
    )


SCENARIOS = {"search_experiments_filters": filters, "search_experiments_pages": pages}
