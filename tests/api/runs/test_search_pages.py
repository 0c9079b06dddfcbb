"""The pages of a search for runs: every run once, in order, whatever the order is and whatever happens meanwhile."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.runs.stored import store_run
from tests.client import Client

from railtrack.api.runs.queries import load_runs
from railtrack.api.runs.schemas import Run
from railtrack.api.runs.search import SearchRuns, compile_search
from railtrack.byte_budget import BUDGET
from railtrack.db import Db, Row, Tx
from railtrack.search.page import CHUNK_ROWS, ROWS_AT_ONCE
from railtrack.search.top_values import top_values_page
from railtrack.wire.list_response import BUFFERED_BYTES, LOADED_BYTES, LOADED_FACTOR

LARGEST_DOUBLE = 1.7976931348623157e308


@pytest.fixture
async def runs(client: Client, db: Db) -> Client:
    """Nine runs, of which two start at one time, and some lack metric, param and tag."""
    values = [None, None, 1.0, 1.0, -2.5, LARGEST_DOUBLE]
    for number in range(9):
        what: dict[str, Any] = {"tags": {"t": f"{number % 2}"} if number % 3 else {}}
        if number < len(values):
            what |= {"metrics": {"m": values[number]}, "params": {"p": f"{number % 4}"}}
        await store_run(db, f"r{number}", 1000 + number // 2, **what)
    return client


async def search(client: Client, **body: Any) -> list[str]:
    answer = await client.ok("POST", "runs/search", {"experiment_ids": ["0"], **body})
    return [run["info"]["run_name"] for run in answer.get("runs", [])]


async def walk(client: Client, size: int, **body: Any) -> list[str]:
    """The ids of all pages of `size` runs."""
    ids: list[str] = []
    body = {"experiment_ids": ["0"], "max_results": size, **body}
    while True:
        page = await client.ok("POST", "runs/search", body)
        runs = page.get("runs", [])
        ids += [run["info"]["run_id"] for run in runs]
        if "next_page_token" not in page:
            return ids
        assert len(runs) == size
        body["page_token"] = page["next_page_token"]


RUN = st.fixed_dictionaries(
    {
        "start_time": st.sampled_from([None, 0, 1, 2]),
        "end_time": st.sampled_from([None, 7, 8]),
        "status": st.sampled_from(["RUNNING", "FAILED"]),
        "metrics": st.dictionaries(
            st.sampled_from("mn"), st.sampled_from([None, -LARGEST_DOUBLE, -1.5, 0.0, 0.1, LARGEST_DOUBLE])
        ),
        "params": st.dictionaries(st.sampled_from("pq"), st.sampled_from(["", "a", "B", "é", "a" * 300])),
        "tags": st.dictionaries(st.just("t"), st.sampled_from(["", "x", "y"])),
    }
)
KEYS = ["metrics.m", "metrics.n", "params.p", "params.q", "tags.t", "start_time", "end_time", "status", "run_id"]


@given(
    rows=st.lists(RUN, max_size=10),
    keys=st.lists(st.sampled_from(KEYS), max_size=4, unique=True),
    descending=st.lists(st.booleans(), min_size=4, max_size=4),
    size=st.integers(1, 5),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_pages_of_any_size_and_order_return_every_run_once(
    client: Client,
    db: Db,
    rows: Sequence[dict[str, Any]],
    keys: Sequence[str],
    descending: Sequence[bool],
    size: int,
) -> None:
    await _delete_runs(db)
    for number, row in enumerate(rows):
        await store_run(db, f"{number}", **row)
    order_by = [f"{key} {'DESC' if down else 'ASC'}" for key, down in zip(keys, descending, strict=False)]
    whole = await walk(client, 1000, order_by=order_by)
    assert sorted(whole) == sorted(f"{number}".zfill(32) for number in range(len(rows)))
    assert await walk(client, size, order_by=order_by) == whole


async def _delete_runs(db: Db) -> None:
    async with db.write() as tx:
        for table in ("latest_metrics", "params", "tags", "runs"):
            await tx.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("order_by", [[], ["metrics.m"], ["params.p DESC"], ["tags.t", "metrics.m DESC"]])
async def test_runs_added_and_deleted_between_pages_shift_no_other(runs: Client, db: Db, order_by: list[str]) -> None:
    whole = await search(runs, order_by=order_by)
    body: dict[str, Any] = {"experiment_ids": ["0"], "max_results": 4, "order_by": order_by}
    page = await runs.ok("POST", "runs/search", body)
    names = [run["info"]["run_name"] for run in page["runs"]]
    assert names == whole[:4]
    for number, (value, text) in enumerate([(-LARGEST_DOUBLE, ""), (LARGEST_DOUBLE, "zzz"), (None, "m")]):
        new = {"metrics": {"m": value}, "params": {"p": text}, "tags": {"t": text, "mlflow.runName": f"new{number}"}}
        await store_run(db, f"new{number}", 5000 * number, **new)
    await runs.ok("POST", "runs/delete", {"run_id": page["runs"][-1]["info"]["run_id"]})
    later: list[str] = []
    while "next_page_token" in page:
        page = await runs.ok("POST", "runs/search", {**body, "page_token": page["next_page_token"]})
        later += [run["info"]["run_name"] for run in page["runs"]]
    assert [name for name in later if not name.startswith("new")] == whole[4:]
    assert len(set(later)) == len(later)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"filter": "metrics.m > 0"}, "another filter"),
        ({"order_by": ["start_time"]}, "another order_by"),
        ({"order_by": ["start_time"], "filter": "metrics.m > 0"}, "another filter and another order_by"),
        ({"experiment_ids": ["0", "1"]}, "other parameters"),
        ({"run_view_type": "ALL"}, "other parameters"),
    ],
)
async def test_a_token_of_another_search_is_rejected(runs: Client, change: dict[str, Any], difference: str) -> None:
    page = await runs.ok("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 2})
    body = {"experiment_ids": ["0"], "max_results": 2, "page_token": page["next_page_token"], **change}
    answer = await runs.post("runs/search", body)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json["message"] == f"Invalid page token, it was made for a search with {difference}"


async def test_pages_may_differ_in_size(runs: Client) -> None:
    page = await runs.ok("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 2})
    assert await search(runs, max_results=3, page_token=page["next_page_token"]) == (await search(runs))[2:5]


async def test_a_full_last_page_has_no_token(runs: Client) -> None:
    page = await runs.ok("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 9})
    assert len(page["runs"]) == 9
    assert "next_page_token" not in page


@pytest.fixture
async def many(client: Client, db: Db) -> Client:
    """1,500 runs, some deleted, whose values are often equal, NaN or missing; and better ones in another experiment."""
    created = await client.ok("POST", "experiments/create", {"name": "elsewhere"})
    experiments = (0, int(created["experiment_id"]))
    ids = [f"{number * 7919 % 10007:032}" for number in range(1560)]
    stages = ("active", *["active"] * 6, "deleted")
    runs = [(run_id, at // 4, stages[at % 8], experiments[at >= 1500]) for at, run_id in enumerate(ids)]
    values = [(run_id, at * 31 % 97 + 50 * (at >= 1500)) for at, run_id in enumerate(ids) if at % 10]
    metrics = [(run_id, "m", value / 7, value % 9 == 0) for run_id, value in values]
    columns = {"run_uuid": "text", "start_time": "bigint", "lifecycle_stage": "text", "experiment_id": "int"}
    names = {"run_uuid": "text", "key": "text", "value": "float8", "is_nan": "boolean"}
    async with db.write() as tx:
        for table, types, rows in (
            ("runs", columns, runs),
            ("latest_metrics", names, metrics),
            ("params", {"run_uuid": "text", "value": "text"}, [(run_id, f"v{value}") for run_id, value in values]),
            ("tags", {"run_uuid": "text", "value": "text"}, [(run_id, f"{value % 5}") for run_id, value in values]),
        ):
            own = {"latest_metrics": ", timestamp, step", "params": ", key", "tags": ", key"}.get(table, "")
            constants = {"latest_metrics": ", 1, 0", "params": ", 'p'", "tags": ", 't'"}.get(table, "")
            insert = f"INSERT INTO {table} ({', '.join(types)}{own}) SELECT {', '.join(types)}{constants}"
            await tx.execute_rows(insert + " FROM {rows} WHERE true", types, rows)
    await db.execute("ANALYZE")  # PostgreSQL would join tables that it takes for empty by going through all pairs
    return client


@pytest.mark.parametrize(
    ("filter_text", "order_by"),
    [
        ("", ["metrics.m DESC"]),
        ("", ["metrics.m"]),
        ("", ["params.p DESC", "metrics.m"]),
        ("", ["tags.t", "params.p DESC"]),
        ("metrics.m > 2", ["metrics.m DESC", "start_time"]),
        ("metrics.m != 5 AND params.p LIKE 'v_'", ["metrics.m"]),
        ("params.p LIKE 'v%' AND metrics.m <= 4", ["params.p DESC", "metrics.m DESC"]),
        ("metrics.m > 1e9", ["metrics.m"]),
    ],
)
async def test_pages_of_many_runs_together_equal_the_whole_search(
    many: Client, db: Db, filter_text: str, order_by: list[str]
) -> None:
    request = SearchRuns(experiment_ids=["0"], filter=filter_text, order_by=order_by)
    sql, values = compile_search(request).page(None, 2000)
    whole = [row[0] for row in await db.fetch(sql, *values)]
    body = {"filter": filter_text, "order_by": order_by}
    assert await walk(many, 60, **body) == whole
    assert await walk(many, 500, **body) == whole


async def test_the_first_pages_are_found_among_the_top_values(many: Client, db: Db) -> None:
    for order_by in (["metrics.m DESC"], ["metrics.m", "start_time"], ["params.p"], ["params.p DESC", "metrics.m"]):
        query = compile_search(SearchRuns(experiment_ids=["0"], filter="metrics.m >= 0", order_by=order_by))
        last = None
        for _ in range(2):
            sql, values = query.page(last, 31)
            whole = [tuple(row) for row in await db.fetch(sql, *values)]
            found = top_values_page(query, last, 31)
            assert found is not None
            assert [tuple(row) for row in await db.fetch(found[0], *found[1])] == whole, order_by
            last = whole[-2][-len(query.order.keys) :]


async def test_a_long_page_is_complete_and_in_order(client: Client, db: Db) -> None:
    """Longer than what is in memory at a time, in rows and in bytes: it leaves piece by piece."""
    count = ROWS_AT_ONCE + CHUNK_ROWS + 1
    text = "x" * (BUFFERED_BYTES // count)
    async with db.write() as tx:
        for number in range(count):
            run_id = f"{number:032}"
            await tx.execute(
                "INSERT INTO runs (run_uuid, start_time, lifecycle_stage, experiment_id) VALUES ($1, $2, 'active', 0)",
                run_id,
                number // 3,
            )
            await tx.execute("INSERT INTO params (key, value, run_uuid) VALUES ('p', $1, $2)", text, run_id)
    answer = await client.post("runs/search", {"experiment_ids": ["0"], "max_results": count - 1})
    assert "content-length" not in answer.headers
    found = json.loads(answer.body)
    expected = sorted((f"{number:032}" for number in range(count)), key=lambda run_id: (-(int(run_id) // 3), run_id))
    assert [run["info"]["run_id"] for run in found["runs"]] == expected[:-1]
    assert all(run["data"] == {"params": [{"key": "p", "value": text}]} for run in found["runs"])
    rest = {"experiment_ids": ["0"], "max_results": 5, "page_token": found["next_page_token"]}
    page = await client.ok("POST", "runs/search", rest)
    assert [run["info"]["run_id"] for run in page["runs"]] == expected[-1:]
    assert "next_page_token" not in page


HUGE = {f"t{key}": "x" * 8000 for key in range(3 * LOADED_BYTES // 8000 + 1)}
"""Tags of a run that alone is more than a list loads at once."""


async def test_heavy_runs_are_loaded_few_at_a_time_however_light_those_before_were(
    client: Client, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No load has more than LOADED_BYTES, so none occupies the event loop or the memory for longer."""
    for number in range(20):
        await store_run(db, f"light{number}", experiment_id=0, start_time=2)
    for _ in range(8):
        await client.ok("POST", "runs/search", {"experiment_ids": ["0"]})
    for number in range(CHUNK_ROWS // 5):
        await store_run(db, f"heavy{number}", start_time=1, tags={f"t{key}": "x" * 8000 for key in range(10)})
    sizes = _observed_loads(monkeypatch)
    response = await client.post("runs/search", {"experiment_ids": ["0"]})
    runs = json.loads(response.body)["runs"]
    assert len(runs) == 20 + CHUNK_ROWS // 5
    assert len({run["info"]["run_id"] for run in runs}) == len(runs)
    assert sum(len(run["data"].get("tags", ())) for run in runs) == 10 * (CHUNK_ROWS // 5)
    assert sum(sizes) == 10 * 8000 * (CHUNK_ROWS // 5)
    assert max(sizes) < 1.1 * LOADED_BYTES


async def test_a_run_that_is_larger_than_a_piece_waits_for_its_memory(client: Client, db: Db) -> None:
    """It is in the budget while it is loaded and sent. The lists of other clients keep their share."""
    await store_run(db, "huge", tags=HUGE)
    share = BUDGET.responses
    reserved: list[int] = []
    reserve = share.reserve

    async def observed(size: int, client: str = "") -> None:
        await reserve(size, client)
        reserved.append(share.used)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share, "reserve", observed)
        (run,) = (await client.ok("POST", "runs/search", {"experiment_ids": ["0"]}))["runs"]
    assert len(run["data"]["tags"]) == len(HUGE)
    assert max(reserved) >= LOADED_FACTOR * 3 * LOADED_BYTES
    assert share.used == 0


async def test_a_run_for_which_there_is_no_memory_is_rejected(
    client: Client, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_run(db, "huge", tags=HUGE)
    monkeypatch.setattr("railtrack.byte_budget.WAIT_TIMEOUT_S", 0.1)
    share = BUDGET.responses
    others = share.largest - 2 * LOADED_BYTES
    assert share.try_reserve(others)
    try:
        sizes = _observed_loads(monkeypatch)
        response = await client.post("runs/search", {"experiment_ids": ["0"]})
        assert (response.status, response.json["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
        assert sizes == []
        assert share.used == others
    finally:
        share.release(others)


def _observed_loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each load of runs adds the bytes of their texts."""
    sizes: list[int] = []

    async def observed(tx: Tx, rows: Sequence[Row], max_bytes: int) -> list[Run]:
        runs = await load_runs(tx, rows, max_bytes)
        sizes.append(sum(len(tag.value) for run in runs for tag in run.data.tags))
        return runs

    monkeypatch.setattr("railtrack.api.runs.search.load_runs", observed)
    return sizes
