"""runs/search: the filter language, ordering, view types, pages, and rejected requests."""

from typing import Any

from tests.compat.play import Script, post
from tests.compat.scenarios.given import NOT_A_LIST, NOT_A_STRING, NOT_AN_INTEGER, STARTED, experiment, run, with_each

PATH = "runs/search"
NAMES = ("runs", "info", "run_name")
"""Record only the names of the runs found, in order. One exchange records whole runs."""


def some_runs(prefix: str, name: str) -> Script:
    """Create five runs that differ in every filterable field. Return the ids of the experiment and of the runs."""
    experiment_id = yield from experiment(prefix, name)
    rows: list[tuple[str, dict[str, str], dict[str, Any], dict[str, str]]] = [
        ("alpha", {"lr": "0.1", "opt": "sgd"}, {"loss": 0.5, "acc": 0.9}, {"team": "vision"}),
        ("Beta", {"lr": "0.01", "opt": "Adam"}, {"loss": 0.25, "acc": "NaN"}, {"team": "Vision", "a b": "spaced"}),
        ("gamma_1", {"lr": "1e-3", "opt.name": "adam"}, {"loss": "Infinity"}, {"team": "speech"}),
        ("델타", {"layers": "3"}, {"loss": "-Infinity", "val loss": 1.0}, {"한글": "값", "quote": "it's"}),
        ("100%", {}, {}, {"note": "50% _done_"}),
    ]
    ids = []
    for number, (run_name, params, metrics, tags) in enumerate(rows):
        run_id = yield from run(experiment_id, run_name, start_time=STARTED + number, user_id=f"user{number % 2}")
        yield post(
            f"given the values of {run_name}",
            "runs/log-batch",
            {
                "run_id": run_id,
                "params": [{"key": k, "value": v} for k, v in params.items()],
                "metrics": [{"key": k, "value": v, "timestamp": STARTED} for k, v in metrics.items()],
                "tags": [{"key": k, "value": v} for k, v in tags.items()],
            },
        )
        ids.append(run_id)
    body = {"run_id": ids[0], "status": "FINISHED", "end_time": STARTED + 100}
    yield post("given a finished run", "runs/update", body)
    dataset = {"name": "coco", "digest": "abc123", "source_type": "s3", "source": "s3://b/x"}
    context = [{"key": "mlflow.data.context", "value": "training"}]
    body = {"run_id": ids[1], "datasets": [{"dataset": dataset, "tags": context}]}
    yield post("given a dataset", "runs/log-inputs", body)
    return experiment_id, ids


FILTERS = [
    "",
    " ",
    "metrics.loss > 0.3",
    "metrics.loss >= 0.25 AND metrics.loss < 0.5",
    "metric.loss = 0.5",
    "metrics.loss != 0.5",
    "metrics.loss < -1e300",
    "metrics.loss > 1e300",
    "metrics.loss > -1",
    "metrics.acc > 0",
    "metrics.acc = 0",
    "metrics.acc != 0.9",
    'metrics."val loss" = 1',
    "metrics.`val loss` = 1.0",
    "metrics.nothing > 0",
    "METRICS.loss > 0.3",
    "params.lr = '0.1'",
    'params.lr = "0.1"',
    "param.opt = 'sgd'",
    "parameters.opt = 'sgd'",
    "parameter.opt = 'sgd'",
    "params.opt != 'sgd'",
    "params.opt LIKE 'A%'",
    "params.opt like 'a%'",
    "params.opt ILIKE 'a%'",
    "params.opt ILIKE 'ADAM'",
    "params.`opt.name` = 'adam'",
    "params.opt.name = 'adam'",
    'params."opt.name" LIKE "%da%"',
    "params.lr IS NULL",
    "params.lr IS NOT NULL",
    "params.lr is null",
    "tags.team = 'vision'",
    "tag.team = 'vision'",
    "tags.team != 'vision'",
    "tags.team ILIKE '%VIS%'",
    "tags.team LIKE 'vi_ion'",
    "tags.note LIKE '50!%%'",
    "tags.note LIKE '%_done_'",
    "tags.note LIKE '50\\% %'",
    "tags.`a b` = 'spaced'",
    'tags."a b" = "spaced"',
    "tags.한글 = '값'",
    "tags.`한글` = '값'",
    'tags.quote = "it\'s"',
    "tags.quote = 'it''s'",
    "tags.team IS NULL",
    "tags.team IS NOT NULL",
    "tags.`mlflow.runName` = 'alpha'",
    "tags.mlflow.runName = 'alpha'",
    "attributes.status = 'FINISHED'",
    "attribute.status = 'RUNNING'",
    "attr.status = 'RUNNING'",
    "run.status = 'RUNNING'",
    "status = 'FINISHED'",
    "status != 'FINISHED'",
    "status = 'finished'",
    "attributes.run_name = 'alpha'",
    "run_name LIKE '%a%'",
    "run_name ILIKE 'BET%'",
    "`run_name` = 'alpha'",
    "attributes.`run name` = 'alpha'",
    "attributes.`Run Name` = 'alpha'",
    "`Run name` = 'alpha'",
    "run_name = '100%'",
    "run_name = '델타'",
    "run_name != 'alpha'",
    f"attributes.start_time > {STARTED}",
    f"start_time = {STARTED + 1}",
    f"attributes.end_time = {STARTED + 100}",
    "end_time IS NULL",
    "end_time > 0",
    f"attributes.created >= {STARTED}",
    f"created > {STARTED + 2}",
    "attributes.`Created` > 0",
    "user_id = 'user1'",
    "attributes.user_id = 'user0'",
    "artifact_uri LIKE '%artifacts'",
    "attributes.artifact_uri IS NULL",
    "dataset.name = 'coco'",
    "datasets.digest = 'abc123'",
    "dataset.context = 'training'",
    "dataset.name = 'coco' AND dataset.context = 'training'",
    "dataset.name LIKE 'co%'",
    "dataset.name ILIKE 'CO%'",
    "dataset.name IN ('coco', 'other')",
    "dataset.name != 'coco'",
    "datasets.name IS NULL",
    "params.lr = '0.1' and tags.team = 'vision' AnD metrics.loss > 0",
    "params.lr='0.1'",
    "params.lr='0.1' AND  \n metrics.loss>0",
    "run_name IN ('alpha', 'Beta')",
    "run_name IN ('alpha')",
    "run_name NOT IN ('alpha', 'Beta')",
    "status IN ('RUNNING', 'FINISHED')",
    "tags.team IN ('vision', 'speech')",
    "params.opt NOT IN ('sgd')",
    "params.opt in ('sgd','Adam')",
]

BAD_FILTERS = [
    "loss > 0.3",
    "metrics.loss > '0.3'",
    "metrics.loss > abc",
    "metrics.loss LIKE '0%'",
    "metrics.loss IN (0.5)",
    "metrics.loss IS NULL",
    "metrics.loss > NaN",
    "metrics.loss > 'NaN'",
    "metrics.loss > Infinity",
    "metrics.loss",
    "metrics.loss >",
    "> 0.3",
    "metrics.loss > 0.3 AND",
    "AND metrics.loss > 0.3",
    "metrics.loss > 0.3 OR metrics.loss < 0.1",
    "NOT metrics.loss > 0.3",
    "(metrics.loss > 0.3)",
    "metrics.loss > 0.3; DROP TABLE runs",
    "metrics.loss > 0.3 -- comment",
    "metrics.loss BETWEEN 0 AND 1",
    "metrics.loss == 0.5",
    "metrics.loss <> 0.5",
    "0.3 < metrics.loss",
    "metrics. > 0.3",
    "metrics > 0.3",
    ".loss > 0.3",
    "metrics.`loss > 0.3",
    "metrics.``> 0.3",
    "params.lr = 0.1",
    "params.lr = lr",
    "params.lr > '0.1'",
    "params.lr = 'unclosed",
    "params.lr = \"mixed'",
    "params.lr = `0.1`",
    "params.lr = ''",
    "params.lr LIKE 0",
    "params.lr IS 'x'",
    "params.lr IS",
    "params.lr IN ()",
    "params.lr IN '0.1'",
    "params.lr IN (0.1)",
    "params.lr IN ('a', 1)",
    "params.lr IN ('a' 'b')",
    "params.lr IN ('a',)",
    "params.lr NOT LIKE 'a'",
    "tags.team = vision",
    "tags.team < 'vision'",
    "tags.한글 = 값",
    "trees.team = 'x'",
    "attributes.colour = 'red'",
    "attributes.lifecycle_stage = 'active'",
    "attributes.run_id > 'a'",
    "attributes.status > 'FINISHED'",
    "attributes.status = 3",
    "attributes.start_time = 'soon'",
    "attributes.start_time LIKE '17%'",
    "attributes.start_time = '1700000000000'",
    "attributes.start_time > 1.5",
    "start_time IN (1, 2)",
    "run_name = 3",
    "run_name > 'a'",
    "run_name IN (1)",
    "run_id IN ('a', 2)",
    "run_id IN ()",
    "dataset.colour = 'x'",
    "dataset.name = 3",
    "dataset.name > 'x'",
    "datasets.profile = 'x'",
    "SELECT * FROM runs",
    "' OR 1=1 --",
    "🚀 = '🚀'",
    "a",
    "''",
    "params.lr = 'a' params.opt = 'b'",
    "params.lr = 'a', params.opt = 'b'",
    "params.lr = 'a' AND AND params.opt = 'b'",
]


def filters(prefix: str) -> Script:
    experiment_id, ids = yield from some_runs(prefix, "filters")
    asked = {"experiment_ids": [experiment_id], "order_by": ["attributes.run_name ASC"]}
    yield post("everything of every run", PATH, asked)
    for text in FILTERS:
        yield post(f"filter {text!r}", PATH, {**asked, "filter": text}, only=NAMES)
    for text in (
        f"attributes.run_id = '{ids[0]}'",
        f"run_id = '{ids[0]}'",
        f"run_id != '{ids[0]}'",
        f"run_id IN ('{ids[0]}', '{ids[1]}')",
        f"run_id NOT IN ('{ids[0]}', '{ids[1]}')",
        f"attributes.run_id LIKE '{ids[0]}%'",
        f"run_uuid = '{ids[0]}'",
    ):
        label = text.replace(ids[0], "A").replace(ids[1], "B")
        yield post(f"filter {label!r}", PATH, {**asked, "filter": text}, only=NAMES)
    long = " AND ".join(["metrics.loss > 0"] * 60)
    yield post("sixty comparisons", PATH, {**asked, "filter": long})


def bad_filters(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "bad-filters")
    for text in BAD_FILTERS:
        yield post(f"filter {text!r}", PATH, {"experiment_ids": [experiment_id], "filter": text}, only=NAMES)
    for label, body in with_each({"experiment_ids": [experiment_id]}, "filter", NOT_A_STRING):
        yield post(label, PATH, body, only=NAMES)
    yield post("a giant filter", PATH, {"experiment_ids": [experiment_id], "filter": "(" * 50_000})


ORDERS: list[list[str]] = [
    [],
    ["metrics.loss"],
    ["metrics.loss ASC"],
    ["metrics.loss DESC"],
    ["metrics.acc ASC"],
    ["metrics.acc DESC"],
    ["metrics.`val loss` DESC"],
    ['metrics."val loss"'],
    ["metric.nothing DESC"],
    ["params.lr ASC"],
    ["params.lr DESC"],
    ["params.opt"],
    ["parameter.opt desc"],
    ["tags.team"],
    ["tags.team DESC"],
    ["tags.`a b`"],
    ["attributes.start_time"],
    ["attributes.start_time DESC"],
    ["start_time"],
    ["created desc"],
    ["attributes.Created"],
    ["attributes.`Run Name`"],
    ["run_name"],
    ["`run name` DESC"],
    ["status, run_name"],
    ["attributes.status", "attributes.run_name DESC"],
    ["end_time ASC"],
    ["end_time DESC"],
    ["user_id", "start_time DESC", "metrics.loss"],
    ["metrics.loss", "metrics.loss DESC"],
    ["  metrics.loss   DESC  "],
    ["metrics.loss DeSc"],
]
BAD_ORDERS: list[Any] = [
    [""],
    [" "],
    ["loss"],
    ["metrics.loss UP"],
    ["metrics.loss ASC DESC"],
    ["metrics."],
    ["metrics"],
    ["colour"],
    ["attributes.colour"],
    ["dataset.name"],
    ["trees.a"],
    ["metrics.loss; DROP TABLE runs"],
    ["metrics.`loss"],
    ["metrics.loss NULLS LAST"],
    ["metrics.val loss"],
    ["DESC"],
    ["run_name", "nonsense"],
    ["한글"],
]


def order(prefix: str) -> Script:
    experiment_id, _ = yield from some_runs(prefix, "order")
    asked = {"experiment_ids": [experiment_id]}
    for keys in ORDERS:
        tie = [] if keys in ([], ["run_name"]) else ["run_name"]
        yield post(f"order by {keys}", PATH, {**asked, "order_by": keys + tie}, only=NAMES)
    for keys in BAD_ORDERS:
        yield post(f"order by {keys}", PATH, {**asked, "order_by": keys}, only=NAMES)
    for label, body in with_each(asked, "order_by", NOT_A_LIST):
        yield post(label, PATH, body, only=NAMES)


def pages(prefix: str) -> Script:
    experiment_id, _ = yield from some_runs(prefix, "pages")
    other_id = yield from experiment(prefix, "other")
    yield from run(other_id, "of another experiment")
    asked: dict[str, Any] = {"experiment_ids": [experiment_id], "max_results": 2}
    for keys in (
        ["run_name"],
        ["metrics.loss DESC", "run_name"],
        ["metrics.acc", "run_name"],
        ["params.lr", "run_name"],
    ):
        token = None
        for number in range(4):
            body = {**asked, "order_by": keys, "page_token": token}
            page = yield post(f"page {number + 1} by {keys}", PATH, body, only=NAMES)
            token = page.json.get("next_page_token")
            if not token:
                break
    first = yield post("page 1 of a filter", PATH, {**asked, "filter": "metrics.loss > -1", "order_by": ["run_name"]})
    token = first.at("next_page_token")
    yield post(
        "its token with another order", PATH, {**asked, "order_by": ["metrics.loss"], "page_token": token}, only=NAMES
    )
    yield post(
        "its token with another filter", PATH, {**asked, "order_by": ["run_name"], "page_token": token}, only=NAMES
    )
    body = {"experiment_ids": [other_id], "max_results": 2, "page_token": token}
    yield post("its token with another experiment", PATH, body, only=NAMES)
    yield post("its token, altered", PATH, {**asked, "page_token": "x" + token})
    for label, value in {
        "nonsense": "nonsense",
        "a number as text": "12",
        "empty": "",
        "null": None,
        "base64 of nothing": "e30=",
        "with an emoji": "🚀",
        **NOT_A_STRING,
    }.items():
        yield post(f"a token: {label}", PATH, {**asked, "order_by": ["run_name"], "page_token": value}, only=NAMES)
    sizes = {
        "zero": 0,
        "one": 1,
        "negative": -1,
        "50000": 50000,
        "50001": 50001,
        "text": "3",
        "a whole fraction": 2.0,
        "null": None,
        **NOT_AN_INTEGER,
    }
    for label, value in sizes.items():
        yield post(f"max_results: {label}", PATH, {**asked, "order_by": ["run_name"], "max_results": value}, only=NAMES)
    yield post("max_results over 32 bits", PATH, {**asked, "order_by": ["run_name"], "max_results": 2**31}, only=NAMES)
    both = {"experiment_ids": [experiment_id, other_id], "order_by": ["run_name"]}
    yield post("two experiments", PATH, both, only=NAMES)
    yield post("one experiment twice", PATH, {"experiment_ids": [other_id, other_id]})
    for label, value in {
        "missing": None,
        "none": [],
        "not there": ["999999999"],
        "no number": ["abc"],
        "over 64 bits": ["9" * 30],
        "an empty text": [""],
        **NOT_A_LIST,
    }.items():
        yield post(f"experiment ids: {label}", PATH, {"experiment_ids": value})
    views = ["ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3, 0, 4, "active_only", "", "1", True, 1.5, None, ["ALL"]]
    for view in views:
        yield post(f"view type {view!r}", PATH, {"experiment_ids": [other_id], "run_view_type": view}, only=NAMES)
    yield post("delete an experiment", "experiments/delete", {"experiment_id": other_id})
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"):
        body = {"experiment_ids": [other_id], "run_view_type": view}
        yield post(f"a deleted experiment, {view}", PATH, body, only=NAMES)


def texts(prefix: str) -> Script:
    """Search with backslashes in patterns, and with blanks after the dot of a name."""
    experiment_id = yield from experiment(prefix, "search-texts")
    for number, path in enumerate(("C:\\x", r"C:\\x", "C:x", "C:\\xyz", "a_b", "axb", "end\\", "50%")):
        run_id = yield from run(experiment_id, f"run{number}", start_time=STARTED + number)
        tag, param = {"key": "path", "value": path}, {"key": " folder", "value": path}
        metrics = [{"key": key, "value": number, "timestamp": STARTED} for key in ("lead", " lead")]
        body = {"run_id": run_id, "tags": [tag], "params": [param], "metrics": metrics}
        yield post(f"given the values of run{number}", "runs/log-batch", body)
    for text in (
        r"tags.path LIKE 'C:\x%'",
        r"tags.path LIKE 'C:\\x%'",
        r"params. folder LIKE 'C:\x%'",
        r"tags.path ILIKE 'c:\X%'",
        r"tags.path LIKE 'a\_b'",
        r"tags.path LIKE '50\%'",
        r"tags.path LIKE 'en%\'",
        r"tags.path ILIKE 'EN%\'",
        r"tags.path = 'C:\x'",
        "metrics. lead > 1",
        "metrics.  lead > 1",
        "metrics.\tlead > 1",
        "metric. lead <= 3 AND metrics. lead > 0.5",
        "metrics.`lead` > 1",
        "metrics.` lead` > 1",
        "metrics. loss > 0",
        "params. folder = '50%'",
        "attributes. status = 'RUNNING'",
        "metrics. two words > 1",
        "metrics .lead > 1",
        "metrics.lead > 1. AND metrics.lead < 3.",
    ):
        asked = {"experiment_ids": [experiment_id], "filter": text, "order_by": ["attributes.start_time"]}
        yield post(f"filter {text!r}", PATH, asked, only=NAMES)
    for order in ("metrics. lead", "metrics. lead DESC", "attributes. start_time", "metrics.lead  DESC"):
        asked = {"experiment_ids": [experiment_id], "order_by": [order]}
        yield post(f"order by {order!r}", PATH, asked, only=NAMES)


SCENARIOS = {
    "search_runs_texts": texts,
    "search_runs_filters": filters,
    "search_runs_bad_filters": bad_filters,
    "search_runs_order": order,
    "search_runs_pages": pages,
}
