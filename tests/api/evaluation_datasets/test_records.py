"""Records of evaluation datasets: merges, concurrent upserts, pages by size, limits, and what MLflow stored."""

import asyncio
import json
from typing import Any

import pytest
from tests.client import Client

from railtrack.api.evaluation_datasets import records as module
from railtrack.db import Db

CREATE = "/api/3.0/mlflow/datasets/create"


@pytest.fixture
async def dataset(client: Client) -> str:
    """Return the path of a dataset of the experiment Default."""
    created = await client.ok("POST", CREATE, {"name": "golden", "experiment_ids": ["0"]})
    return f"/api/3.0/mlflow/datasets/{created['dataset']['dataset_id']}"


async def upsert(client: Client, dataset: str, *records: Any) -> Any:
    return await client.ok("POST", f"{dataset}/records", {"records": json.dumps(records)})


async def stored(client: Client, dataset: str, **query: Any) -> Any:
    return json.loads((await client.ok("GET", f"{dataset}/records", query=query))["records"])


async def test_simultaneous_upserts_of_one_record_lose_no_expectation(client: Client, dataset: str) -> None:
    answers = await asyncio.gather(
        *(upsert(client, dataset, {"inputs": {"q": 1}, "expectations": {f"e{n}": n}}) for n in range(8))
    )
    assert sum(answer["inserted_count"] for answer in answers) == 1
    assert sum(answer["updated_count"] for answer in answers) == 7
    [record] = await stored(client, dataset)
    assert record["expectations"] == {f"e{n}": n for n in range(8)}


async def test_a_page_ends_early_after_so_many_bytes_and_the_pages_together_have_all_records(
    client: Client, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BYTES", 10_000)
    await upsert(client, dataset, *({"inputs": {"n": n, "text": "x" * 1000}} for n in range(30)))
    seen: list[int] = []
    pages = 0
    token = ""
    while True:
        page = await client.ok("GET", f"{dataset}/records", query={"max_results": 1000, "page_token": token})
        assert len(page["records"]) < 10_000
        seen += [record["inputs"]["n"] for record in json.loads(page["records"])]
        pages += 1
        if not (token := page.get("next_page_token", "")):
            break
    assert sorted(seen) == list(range(30))
    assert pages > 3


async def test_a_record_that_is_larger_than_a_page_is_a_page(
    client: Client, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BYTES", 100)
    await upsert(client, dataset, {"inputs": {"text": "x" * 1000}})
    assert len(await stored(client, dataset)) == 1


async def test_a_request_may_have_more_than_2_mb_of_records(client: Client, dataset: str) -> None:
    text = "x" * 1024 * 1024
    answer = await upsert(client, dataset, *({"inputs": {"n": n, "text": text}} for n in range(3)))
    assert answer == {"inserted_count": 3, "updated_count": 0}


async def test_1200_records_are_stored_and_updated(client: Client, dataset: str) -> None:
    records = [{"inputs": {"n": n}} for n in range(1200)]
    assert await upsert(client, dataset, *records) == {"inserted_count": 1200, "updated_count": 0}
    again = [{**record, "tags": {"seen": "twice"}} for record in records]
    assert await upsert(client, dataset, *again) == {"inserted_count": 0, "updated_count": 1200}
    page = await stored(client, dataset, max_results=1000)
    assert len(page) == 1000
    assert all(record["tags"] == {"seen": "twice"} for record in page)
    got = await client.ok("GET", dataset)
    assert json.loads(got["dataset"]["profile"]) == {"num_records": 1200}


@pytest.mark.parametrize(
    "records",
    [
        '[{"inputs": {"a": NaN}}]',
        '[{"inputs": {"a": Infinity}}]',
        '[{"inputs": {"a": "\\u0000"}}]',
        '[{"inputs": {"a\\u0000": 1}}]',
        '[{"inputs": {"a": "\\ud800"}}]',
        '[{"inputs": ' + '{"a":' * 150 + "1" + "}" * 150 + "}]",
        '[{"inputs": {"a": 1}, "tags": {"mlflow.user": "' + "u" * 256 + '"}}]',
        '[{"inputs": {"a": 1}, "source": {"source_type": "TRACE", "source_data": {"trace_id": "' + "t" * 37 + '"}}}]',
        '[{"inputs": {"a": 1}, "source": {"source_type": "TRACE", "source_data": {"trace_id": 1}}}]',
        '[{"inputs": {"a": 1}}, {"inputs": 1}]',
        "[" * 100_000,
    ],
)
async def test_what_cannot_be_stored_is_rejected_and_nothing_of_the_request_is_stored(
    client: Client, db: Db, dataset: str, records: str
) -> None:
    response = await client.post(f"{dataset}/records", {"records": records})
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), response.text[:500]
    assert await db.fetch_value("SELECT COUNT(*) FROM evaluation_dataset_records") == 0


async def test_records_that_mlflow_stored_are_shown_and_merged(client: Client, db: Db, dataset: str) -> None:
    await upsert(client, dataset, {"inputs": {"q": 1}})
    await db.execute(
        "UPDATE evaluation_dataset_records SET expectations = $1, tags = $1, outputs = $2",
        "null",
        '{"mlflow_wrapped":  {"text": "spaces"}}',
    )
    [record] = await stored(client, dataset)
    assert record["outputs"] == {"text": "spaces"}
    assert "expectations" not in record
    await upsert(client, dataset, {"inputs": {"q": 1}, "expectations": {"e": 1}, "tags": {"t": "1"}})
    [record] = await stored(client, dataset)
    assert (record["expectations"], record["tags"]) == ({"e": 1}, {"t": "1"})


async def test_large_whole_numbers_and_fractions_keep_their_digits(client: Client, dataset: str) -> None:
    numbers = {"large": 12345678901234567890, "fraction": 0.1 + 0.2, "small": 5e-324}
    await upsert(client, dataset, {"inputs": numbers})
    [record] = await stored(client, dataset)
    assert record["inputs"] == numbers
    assert await upsert(client, dataset, {"inputs": numbers}) == {"inserted_count": 0, "updated_count": 1}
