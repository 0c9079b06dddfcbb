"""The search for runs: filters and orders. What is expected was asked of MLflow 3.17.2, on both databases."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.api.runs.stored import store_dataset, store_run
from tests.client import Client

from railtrack.api.runs.search import SearchRuns, compile_search
from railtrack.db import Db

LARGEST_DOUBLE = 1.7976931348623157e308


@pytest.fixture
async def runs(client: Client, db: Db) -> Client:
    """Ten runs that differ in everything a filter may name; `gone` is deleted, `old` has its name in the tag only."""
    named = {"a b": "space", "a.b": "dot", 'q"t': "quote"}
    for name, start_time, what in (
        ("r0", 1000, {}),
        ("r1", 1001, {"end_time": 2001, "status": "FINISHED", "user_id": "ann"}
            | {"metrics": {"m": 1.0, "acc": 0.5}, "params": {"p": "1", "lr": "0.1"}, "tags": {"t": "x", **named}}),
        ("r2", 1002, {"end_time": 2002, "status": "FAILED", "user_id": "bob"}
            | {"metrics": {"m": 2.0}, "params": {"p": "2", "lr": "0.1"}, "tags": {"t": "X"}}),
        ("r3", 1003, {"status": "KILLED", "user_id": "ann"}
            | {"metrics": {"m": None}, "params": {"p": "abc"}, "tags": {"t": "y%z"}}),
        ("r4", 1004, {"metrics": {"m": LARGEST_DOUBLE}, "params": {"P": "ABC"}, "tags": {"T": "x", "é": "ü"}}),
        ("r5", 1005, {"status": "SCHEDULED", "metrics": {"m": -LARGEST_DOUBLE}, "params": {"p": "a'b"}}),
        ("r6", 1005, {"metrics": {"m": 0.0}, "params": {"p": ""}, "tags": {"t": ""}}),
        ("r7", 1005, {"metrics": {"m": -1.5, "a/b": 5.0}, "params": {"p": "A_C"}, "tags": {"t": "C:\\d"}}),
        ("gone", 1009, {"lifecycle_stage": "deleted", "metrics": {"m": 1.0}, "params": {"p": "1"}}),
    ):  # fmt: skip
        tags = {"mlflow.runName": name, **what.get("tags", {})}
        await store_run(db, name, start_time, **{**what, "tags": tags})
    await store_run(db, "", 1010, run_id="f" * 32, tags={"mlflow.runName": "old"})
    await store_dataset(db, "r1".zfill(32), "ds1", "d1", "train")
    await store_dataset(db, "r2".zfill(32), "ds2", "d2", "eval")
    await store_dataset(db, "r2".zfill(32), "ds1", "d1", "test")
    return client


ALL = ["old", "r5", "r6", "r7", "r4", "r3", "r2", "r1", "r0"]
"""In the usual order: by start time from the latest, then by id."""


async def search(client: Client, **body: Any) -> list[str]:
    answer = await client.ok("POST", "runs/search", {"experiment_ids": ["0"], **body})
    return [run["info"]["run_name"] for run in answer.get("runs", [])]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("metrics.m > 0", ["r4", "r2", "r1"]),
        ("metrics.m >= 0", ["r6", "r4", "r2", "r1"]),
        ("metric.m = 0", ["r6"]),
        ("metrics.`m` != 0", ["r5", "r7", "r4", "r3", "r2", "r1"]),
        ('metrics."m" < 0', ["r5", "r7"]),
        ("metrics.m <= 0", ["r5", "r6", "r7"]),
        ("metrics.m < 1e999", ["r5", "r6", "r7", "r4", "r2", "r1"]),
        ("metrics.m > -1.5 AND metrics.m <= 1.", ["r6", "r1"]),
        ("metrics.`a/b` = 5", ["r7"]),
        ("metrics.missing != 0", []),
        ("metrics. = 0", []),
        ("params.p = '1'", ["r1"]),
        ("parameter.p != '1'", ["r5", "r6", "r7", "r3", "r2"]),
        ("param.p = ''", ["r6"]),
        ("params.p = \"a'b\"", ["r5"]),
        ("params.p LIKE 'a%'", ["r5", "r3"]),
        ("params.p ILIKE 'a%'", ["r5", "r7", "r3"]),
        ("params.p LIKE 'A_C'", ["r7"]),
        ("params.p ILIKE 'a_c'", ["r7", "r3"]),
        ("params.p LIKE '[a]%'", []),
        ("params.p LIKE '*'", []),
        ("params.p LIKE ''", ["r6"]),
        ("tags.t LIKE '%\\'", []),
        ("tags.t LIKE 'C:_d'", ["r7"]),
        ("params.p IS NULL", ["old", "r4", "r0"]),
        ("params.p IS NOT NULL", ["r5", "r6", "r7", "r3", "r2", "r1"]),
        ("params.missing IS NULL", ALL),
        ("tags.t = 'x'", ["r1"]),
        ("tag.t ILIKE 'x'", ["r2", "r1"]),
        ("tags.t != 'x'", ["r6", "r7", "r3", "r2"]),
        ("tags.`a b` = 'space' AND tags.a.b = 'dot' AND tags.'q\"t' = 'quote'", ["r1"]),
        ("tags.é = 'ü'", ["r4"]),
        ("tags.mlflow.runName = 'r4'", ["r4"]),
        ("status = 'FINISHED'", ["r1"]),
        ("attributes.status != 'RUNNING'", ["r5", "r3", "r2", "r1"]),
        ("attr.status LIKE 'F%'", ["r2", "r1"]),
        ("run.status ILIKE 'f%'", ["r2", "r1"]),
        ("user_id = 'ann'", ["r3", "r1"]),
        ("artifact_uri LIKE '%r4/artifacts'", ["r4"]),
        ("start_time > 1004", ["old", "r5", "r6", "r7"]),
        ("start_time >= 1004.5 AND start_time < 1.009e3", ["r5", "r6", "r7"]),
        ("created = 1002", ["r2"]),
        ("attributes.Created != 1005 AND start_time < 99999999999999999999999", ["old", "r4", "r3", "r2", "r1", "r0"]),
        ("end_time != 2001", ["r2"]),
        ("run_name = 'r4'", ["r4"]),
        ("`run name` = 'r4'", ["r4"]),
        ("attributes.`Run Name` LIKE 'r_' AND \"Run name\" != 'r4'", ["r5", "r6", "r7", "r3", "r2", "r1", "r0"]),
        ("run_name = 'old'", ["old"]),
        (f"run_id = '{'r2'.zfill(32)}'", ["r2"]),
        (f"run_id IN ('{'r2'.zfill(32)}', '{'f' * 32}', 'x')", ["old", "r2"]),
        (f"attribute.run_id NOT IN ('{'r2'.zfill(32)}', '{'f' * 32}')", ["r5", "r6", "r7", "r4", "r3", "r1", "r0"]),
        ("dataset.name = 'ds1'", ["r2", "r1"]),
        ("datasets.name != 'ds1'", ["r2"]),
        ("dataset.name LIKE 'ds%'", ["r2", "r1"]),
        ("dataset.digest IN ('d2', 'd3')", ["r2"]),
        ("dataset.name NOT IN ('ds1')", ["r2"]),
        ("dataset.context = 'train'", ["r1"]),
        ("dataset.context != 'train'", ["r2"]),
        # Each comparison by itself: one dataset of the run may satisfy the one, another the other.
        ("dataset.name = 'ds1' AND dataset.context = 'eval'", ["r2"]),
        ("dataset.name = 'ds2' AND dataset.digest = 'd1'", ["r2"]),
        ("metrics.m > 0 AND metrics.m < 3 AND params.lr = '0.1' AND tags.t = 'x' AND status = 'FINISHED' "
         "AND dataset.name = 'ds1' AND params.none IS NULL AND user_id LIKE 'a%' AND start_time > 0", ["r1"]),
    ],
)  # fmt: skip
async def test_a_filter_selects_runs(runs: Client, text: str, names: list[str]) -> None:
    assert await search(runs, filter=text) == names


@pytest.mark.parametrize(
    ("order_by", "names"),
    [
        ([], ALL),
        (["start_time"], ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "old"]),
        (["attributes.start_time DESC"], ALL),
        (["Created asc"], ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "old"]),
        # Numbers, then what is not a number, then runs without the metric, whichever way the numbers go.
        (["metrics.m"], ["r5", "r7", "r6", "r1", "r2", "r4", "r3", "old", "r0"]),
        (["metrics.m DESC"], ["r4", "r2", "r1", "r6", "r7", "r5", "r3", "old", "r0"]),
        (["metric.`a/b` DESC"], ["r7", "old", "r5", "r6", "r4", "r3", "r2", "r1", "r0"]),
        (["metrics.missing DESC"], ALL),
        (["params.p"], ["r6", "r1", "r2", "r7", "r5", "r3", "old", "r4", "r0"]),
        (["params.p DESC"], ["r3", "r5", "r7", "r2", "r1", "r6", "old", "r4", "r0"]),
        (["params.lr", "metrics.m DESC"], ["r2", "r1", "r4", "r6", "r7", "r5", "r3", "old", "r0"]),
        (["end_time"], ["r1", "r2", "old", "r5", "r6", "r7", "r4", "r3", "r0"]),
        (["end_time DESC"], ["r2", "r1", "old", "r5", "r6", "r7", "r4", "r3", "r0"]),
        (["status DESC"], ["r5", "old", "r6", "r7", "r4", "r0", "r3", "r1", "r2"]),
        (["user_id", "run_id DESC"], ["old", "r7", "r6", "r5", "r4", "r0", "r3", "r1", "r2"]),
        (["tags.`mlflow.runName` DESC"], ["r7", "r6", "r5", "r4", "r3", "r2", "r1", "r0", "old"]),
        (["run_id"], ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "old"]),
    ],
)
async def test_runs_are_sorted_by_order_by(runs: Client, order_by: list[str], names: list[str]) -> None:
    assert await search(runs, order_by=order_by) == names


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"run_view_type": "ACTIVE_ONLY"}, ALL),
        ({"run_view_type": "DELETED_ONLY"}, ["gone"]),
        ({"run_view_type": "ALL"}, ["old", "gone", *ALL[1:]]),
        ({"run_view_type": 2}, ["gone"]),
        ({"run_view_type": 3}, ["old", "gone", *ALL[1:]]),
        ({"run_view_type": "LATER_ONLY"}, ALL),
        ({"experiment_ids": ["0", "0", "999999", "99999999999999999999"]}, ALL),
        ({"experiment_ids": ["999999"]}, []),
        ({"experiment_ids": []}, []),
        ({"experiment_ids": None}, []),
        ({"max_results": "2"}, ["old", "r5"]),
        ({"max_results": 50_000}, ALL),
        ({"anded_expressions": [{"metric": {"key": "m"}}]}, ALL),
    ],
)
async def test_a_search_is_limited_to_experiments_and_stages(
    runs: Client, body: Mapping[str, Any], names: list[str]
) -> None:
    assert await search(runs, **body) == names


async def test_a_search_returns_the_same_runs_as_get(runs: Client) -> None:
    found = await runs.ok("POST", "runs/search", {"experiment_ids": ["0"], "run_view_type": "ALL"})
    assert len(found["runs"]) == 10
    for run in found["runs"]:
        got = await runs.ok("GET", "runs/get", query={"run_id": run["info"]["run_id"]})
        assert _in_key_order(run) == _in_key_order(got["run"])


async def test_a_search_returns_all_that_was_logged_to_a_run(runs: Client) -> None:
    [run] = (await runs.ok("POST", "runs/search", {"experiment_ids": ["0"], "filter": "run_name = 'r1'"}))["runs"]
    run_id = "r1".zfill(32)
    assert _in_key_order(run) == {
        "info": {
            "run_id": run_id,
            "run_uuid": run_id,
            "experiment_id": "0",
            "run_name": "r1",
            "user_id": "ann",
            "status": "FINISHED",
            "start_time": 1001,
            "end_time": 2001,
            "artifact_uri": f"mlflow-artifacts:/0/{run_id}/artifacts",
            "lifecycle_stage": "active",
        },
        "data": {
            "metrics": [
                {"key": "acc", "value": 0.5, "timestamp": 1, "step": 0},
                {"key": "m", "value": 1.0, "timestamp": 1, "step": 0},
            ],
            "params": [{"key": "lr", "value": "0.1"}, {"key": "p", "value": "1"}],
            "tags": [
                {"key": "a b", "value": "space"},
                {"key": "a.b", "value": "dot"},
                {"key": "mlflow.runName", "value": "r1"},
                {"key": 'q"t', "value": "quote"},
                {"key": "t", "value": "x"},
            ],
        },
        "inputs": {
            "dataset_inputs": [
                {
                    "tags": [{"key": "mlflow.data.context", "value": "train"}],
                    "dataset": {"name": "ds1", "digest": "d1", "source_type": "local", "source": "{}"},
                }
            ]
        },
        "outputs": {},
    }


def _in_key_order(run: dict[str, Any]) -> dict[str, Any]:
    data = {name: sorted(items, key=lambda item: str(item["key"])) for name, items in run["data"].items()}
    return {**run, "data": data}


@pytest.mark.parametrize(("name", "value"), [("r3", "NaN"), ("r4", LARGEST_DOUBLE), ("r5", -LARGEST_DOUBLE)])
async def test_metrics_that_are_not_finite_are_returned(runs: Client, name: str, value: float | str) -> None:
    found = await runs.ok("POST", "runs/search", {"experiment_ids": ["0"], "filter": f"run_name = '{name}'"})
    assert [metric["value"] for metric in found["runs"][0]["data"]["metrics"]] == [value]


async def test_stored_values_are_returned_exactly(client: Client, db: Db) -> None:
    """Values that JSON, on its way from the database, could change."""
    numbers = [0.1, 0.0, 5e-324, 1e22, 123456789012345680.0, LARGEST_DOUBLE, 1 / 3, 50.0]
    texts = ["", " ", '"', "\\", "\\u0041", "\t\r\n\x01\x1f\x7f", "\u2028é漢🚀", "null", "{}", "x" * 8000]
    metrics = {f"m{at}": number for at, number in enumerate(numbers)}
    params = {f"p {at}": text for at, text in enumerate(texts)}
    full = await store_run(db, "full", 2, metrics=metrics, params=params, tags=params)
    await store_run(db, "empty", 1)
    async with db.write() as tx:
        await tx.execute(
            """
            INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
            VALUES ('n', 0, NULL, $1, $2, $3)
            """,
            -(2**63),
            True,
            full,
        )
    runs = (await client.ok("POST", "runs/search", {"experiment_ids": ["0"]}))["runs"]
    data = runs[0]["data"]
    found = {metric["key"]: repr(metric["value"]) for metric in data["metrics"]}
    assert found == {key: repr(value) for key, value in {**metrics, "n": "NaN"}.items()}
    assert {"key": "n", "value": "NaN", "timestamp": 0, "step": -(2**63)} in data["metrics"]
    assert {param["key"]: param["value"] for param in data["params"]} == params
    assert {tag["key"]: tag["value"] for tag in data["tags"]} == params
    assert runs[1]["data"] == {}


async def test_each_run_of_a_page_has_its_own_parts(client: Client, db: Db) -> None:
    for number in range(30):
        names = {f"k{at}": f"{number}/{at}" for at in range(number % 4)}
        metrics = {f"m{at}": number + at / 8 for at in range(number % 3)}
        await store_run(db, f"{number}", number, metrics=metrics, params=names, tags=names if number % 2 else {})
    found = (await client.ok("POST", "runs/search", {"experiment_ids": ["0"]}))["runs"]
    assert [run["info"]["run_name"] for run in found] == [f"{number}" for number in reversed(range(30))]
    for run in found:
        number, data = int(run["info"]["run_name"]), run["data"]
        names = {(f"k{at}", f"{number}/{at}") for at in range(number % 4)}
        assert {(metric["key"], metric["value"]) for metric in data.get("metrics", [])} == {
            (f"m{at}", number + at / 8) for at in range(number % 3)
        }
        assert {(param["key"], param["value"]) for param in data.get("params", [])} == names
        assert {(tag["key"], tag["value"]) for tag in data.get("tags", [])} == (names if number % 2 else set())


async def test_a_search_without_matches_returns_an_empty_object(client: Client) -> None:
    assert await client.ok("POST", "runs/search", {"experiment_ids": ["0"]}) == {}
    assert await client.ok("POST", "runs/search", {}) == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": -1}, "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied:  Hint: Value was of type"),
        ({"max_results": 2**40}, "Invalid value 1099511627776 for parameter 'max_results' supplied:  Hint: Value was"),
        ({"max_results": "x"}, "Invalid value \"x\" for parameter 'max_results' supplied:  Hint: Value was of type"),
        ({"experiment_ids": "1"}, "Invalid value \"1\" for parameter 'experiment_ids' supplied:  Hint: Value was of"),
        ({"experiment_ids": ["nope"]}, "Invalid experiment ID 'nope'. Experiment ID must be a valid integer."),
        ({"experiment_ids": [""]}, "Invalid experiment ID ''. Experiment ID must be a valid integer."),
        ({"filter": 3}, "Invalid value 3 for parameter 'filter' supplied:  Hint: Value was of type 'int'."),
        ({"order_by": "metrics.m"}, "Invalid value \"metrics.m\" for parameter 'order_by' supplied:  Hint"),
        ({"order_by": [3]}, "Invalid value [3] for parameter 'order_by' supplied:  Hint: Value was of type 'list'."),
        # Which complaint comes first: the fields' types, max_results, the filter, the order, the ids, the token.
        ({"experiment_ids": 3, "filter": 3, "max_results": "x"}, "Invalid value 3 for parameter 'experiment_ids'"),
        ({"max_results": 0, "filter": "x"}, "Invalid value 0 for parameter 'max_results'"),
        ({"filter": "x", "order_by": ["x"], "experiment_ids": ["x"], "page_token": "x"}, "Invalid clause(s) in filter"),
        ({"order_by": ["x"], "experiment_ids": ["x"], "page_token": "x"}, "Invalid attribute key 'x' specified."),
        ({"page_token": "x"}, "Invalid page token, could not base64-decode"),
        ({"page_token": "eyJvZmZzZXQiOiAxfQ=="}, "Invalid page token, "),
        ({"filter": "   "}, "Invalid filter '   '. Could not be parsed."),
        ({"filter": "metrics.m = 1 OR params.p = '1'"}, "Invalid clause(s) in filter string: 'OR'"),
        ({"filter": "(metrics.m = 1)"}, "Invalid clause(s) in filter string: '(metrics.m = 1)'"),
        ({"filter": "NOT metrics.m = 1"}, "Invalid clause(s) in filter string: 'NOT'"),
        ({"filter": "metrics.a/b = 1"}, "Invalid comparison clause. Expected 'Identifier' found 'metrics.a/b'"),
        (
            {"filter": "Metrics.m = 1"},
            "Invalid entity type 'Metrics'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
        ),
        ({"filter": "lifecycle_stage = 'active'"}, "Invalid attribute key 'lifecycle_stage' specified. Valid keys are"),
        ({"filter": "run_uuid = 'x'"}, "Invalid attribute key 'run_uuid' specified. Valid keys are '{'run_id', "),
        ({"filter": "dataset.profile = 'x'"}, "Invalid dataset key 'profile' specified. Valid keys are '{'name', "),
        ({"filter": "metrics.m = 'a'"}, "Expected numeric value type for metric. Found 'a'"),
        ({"filter": "metrics.m = nan"}, "Expected numeric value type for metric. Found nan"),
        ({"filter": "metrics.m LIKE 5"}, "Invalid comparator 'LIKE' not one of '{"),
        (
            {"filter": "metrics.m IS NULL"},
            "IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric' 'm'",
        ),
        ({"filter": "params.p = 1"}, "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1"),
        ({"filter": "tags.t IN ('x')"}, "Expected a quoted string value for tag (e.g. 'my-value'). Got value ('x')"),
        ({"filter": "params.p > '1'"}, "Invalid comparator '>' not one of '{"),
        ({"filter": "start_time > '1'"}, "Expected numeric value type for numeric attribute: start_time. Found '1'"),
        ({"filter": "status = FINISHED"}, "Parameter value is either not quoted or unidentified quote types used for"),
        (
            {"filter": "status IN ('FINISHED')"},
            "Only ['run_id'] attributes support comparison with a list of quoted string values.",
        ),
        ({"filter": "run_id IN ()"}, "While parsing a list in the query, expected a non-empty list of string values"),
        ({"filter": "run_id IN (x)"}, "While parsing a list in the query, expected string value, punctuation, or"),
        ({"filter": "dataset.name = 3"}, "Expected a quoted string value for dataset attributes. Got value 3"),
        ({"order_by": ["metrics.m foo"]}, "Invalid ordering key in order_by clause 'metrics.m foo'."),
        ({"order_by": ["metrics.m, tags.t"]}, "Invalid order_by clause 'metrics.m, tags.t'. Could not be parsed."),
        ({"order_by": ["dataset.name"]}, "Invalid identifier type 'dataset'"),
        ({"order_by": ["`Run Name`"]}, "Invalid attribute key 'Run Name' specified. Valid keys are '{'run_id', "),
        (
            {"order_by": ["start_time", "Created DESC"]},
            "`order_by` contains duplicate fields: ['start_time', 'Created DESC']",
        ),
    ],
)
async def test_an_invalid_search_is_rejected_with_mlflows_message(
    client: Client, body: Mapping[str, Any], message: str
) -> None:
    answer = await client.post("runs/search", {"experiment_ids": ["0"], **body})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json["message"].startswith(message), answer.json["message"]


def test_a_search_is_one_statement_with_a_semi_join_for_each_comparison() -> None:
    filter_text = "metrics.m > 0.5 AND params.p LIKE 'a%' AND dataset.context = 'train'"
    query = compile_search(SearchRuns(experiment_ids=["7"], filter=filter_text, order_by=["metrics.n DESC"]))
    sql, values = query.page(None, 100)
    assert sql.split(" FROM runs ", 1)[1] == (
        "LEFT JOIN latest_metrics o1 ON o1.run_uuid = runs.run_uuid AND o1.key = $6 "
        "WHERE runs.experiment_id = $7 AND runs.lifecycle_stage = $8 "
        "AND EXISTS (SELECT 1 FROM latest_metrics x WHERE x.run_uuid = runs.run_uuid AND x.key = $1 "
        "AND x.value > $2 AND NOT x.is_nan) "
        "AND EXISTS (SELECT 1 FROM params x WHERE x.run_uuid = runs.run_uuid AND x.key = $3 "
        "AND x.value LIKE $4) "
        "AND EXISTS (SELECT 1 FROM inputs i JOIN input_tags t ON t.input_uuid = i.input_uuid "
        "WHERE i.destination_id = runs.run_uuid AND i.destination_type = 'RUN' AND i.source_type = 'DATASET' "
        "AND t.name = 'mlflow.data.context' AND t.value = $5) "
        "ORDER BY CASE WHEN o1.is_nan THEN 1 WHEN o1.value IS NULL THEN 2 ELSE 0 END, o1.value DESC NULLS LAST, "
        "runs.start_time DESC NULLS LAST, runs.run_uuid LIMIT $9"
    )
    assert values == ["m", 0.5, "p", "a%", "train", "n", 7, "active", 100]


def test_a_field_in_filter_and_order_is_joined_once() -> None:
    filter_text = "metrics.m > 0.5 AND metrics.m != 2 AND params.p LIKE 'a%'"
    order_by = ["params.p", "metrics.m DESC", "tags.other"]
    query = compile_search(SearchRuns(experiment_ids=["7"], filter=filter_text, order_by=order_by))
    sql, values = query.page(None, 100)
    assert sql.rsplit(" WHERE ", 1)[1].split(" ORDER BY ")[0] == (
        "runs.experiment_id = $10 AND runs.lifecycle_stage = $11 "
        "AND o2.key = $1 AND o2.value > $2 AND NOT o2.is_nan "
        "AND o2.key = $3 AND (o2.value <> $4 OR o2.is_nan) "
        "AND o1.key = $5 AND o1.value LIKE $6"
    )
    assert values == ["m", 0.5, "m", 2.0, "p", "a%", "p", "m", "other", 7, "active", 100]


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ("metrics.m > 1", ["three", "two"]),
        ("metrics.m != 2", ["three", "one", "none"]),
        ("metrics.m > 1 AND metrics.m < 3", ["two"]),
        ("params.p LIKE 'a%' AND metrics.m >= 1", ["three", "one"]),
    ],
)
async def test_a_filter_and_an_order_by_the_same_field_agree(
    client: Client, filter_text: str, found: list[str]
) -> None:
    """One run has no number in the metric, one no metric at all."""
    values = {"one": 1, "two": 2, "three": 3, "none": "NaN"}
    for name, param in {"one": "ab", "two": "b", "three": "ac", "none": "c", "without": "d"}.items():
        created = await client.ok("POST", "runs/create", {"experiment_id": "0", "run_name": name})
        run_id = created["run"]["info"]["run_id"]
        metrics = [{"key": "m", "value": values[name], "timestamp": 1, "step": 1}] if name in values else []
        params = [{"key": "p", "value": param}]
        await client.ok("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics, "params": params})
    for order in (["metrics.m DESC"], ["metrics.m DESC", "params.p"]):
        body = {"experiment_ids": ["0"], "filter": filter_text, "order_by": order, "max_results": 2}
        pages = [await client.ok("POST", "runs/search", body)]
        while token := pages[-1].get("next_page_token"):
            pages.append(await client.ok("POST", "runs/search", {**body, "page_token": token}))
        assert [run["info"]["run_name"] for page in pages for run in page.get("runs", [])] == found
