"""/metrics in one process: its form, what is counted, that labels are bounded, and its absence by default."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.client import Client, running_app
from tests.prometheus.scrape import Scrape

from railtrack.api import endpoints
from railtrack.config.settings import MetricsSettings, Settings, load
from railtrack.db import Conflict, Db
from railtrack.db.retry import retry_on_conflict
from railtrack.errors import ApiError
from railtrack.prometheus.exposition import FAMILIES

LOG_METRIC = "/api/2.0/mlflow/runs/log-metric"


@pytest.fixture
async def watched(db: Db, settings: Settings) -> AsyncIterator[Client]:
    async with running_app(dataclasses.replace(settings, metrics=MetricsSettings(enabled=True))) as client:
        yield client


async def scrape(client: Client) -> Scrape:
    answer = await client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(answer.text)


async def new_run(client: Client) -> str:
    answer = await client.ok("POST", "runs/create", {"experiment_id": "0"})
    run_id: str = answer["run"]["info"]["run_id"]
    return run_id


async def test_metrics_are_not_served_by_default(client: Client) -> None:
    answer = await client.get("/metrics")
    assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert answer.body.replace(b"/metrics", b"/another") == (await client.get("/another")).body


async def test_every_metric_is_exposed_with_its_type_and_help(watched: Client) -> None:
    await new_run(watched)
    found = (await scrape(watched)).families
    # The parser takes a counter's ending for no part of its name.
    assert {name: (family.type, family.documentation) for name, family in found.items()} == {
        family.name.removesuffix("_total"): (family.kind, family.help) for family in FAMILIES
    }
    for family in FAMILIES:
        labels = {frozenset(one.labels) - {"le"} for one in found[family.name.removesuffix("_total")].samples}
        assert labels <= {frozenset(family.labels)}


async def test_requests_are_counted_by_route_and_class_of_status(watched: Client) -> None:
    run_id = await new_run(watched)
    point = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 1}
    for value in (0.1, 0.2, "no number"):
        await watched.post("runs/log-metric", point | {"value": value})
    found = await scrape(watched)
    assert found.values("railtrack_http_requests_total", method="POST", route=LOG_METRIC, status="2xx") == [2]
    assert found.values("railtrack_http_requests_total", method="POST", route=LOG_METRIC, status="4xx") == [1]
    buckets = found.families["railtrack_http_request_duration_seconds"].samples
    of_route = [one for one in buckets if one.labels["route"] == LOG_METRIC]
    durations = {one.labels["le"]: one.value for one in of_route if "le" in one.labels}
    assert list(durations.values()) == sorted(durations.values())
    assert durations["+Inf"] == found.total("railtrack_http_request_duration_seconds_count", route=LOG_METRIC) == 3
    assert 0 < found.total("railtrack_http_request_duration_seconds_sum", route=LOG_METRIC) < 60
    # The scrape itself is the one request under way.
    assert found.total("railtrack_http_requests_in_flight") == 1


async def test_bytes_of_uploads_and_downloads_are_counted(watched: Client) -> None:
    path = "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/a.bin"
    route = "/api/2.0/mlflow-artifacts/artifacts/{path...}"
    await watched.send("PUT", path, body=[b"x" * 70_000, b"y" * 30_000])
    assert len((await watched.get(path)).body) == 100_000
    found = await scrape(watched)
    assert found.values("railtrack_http_received_bytes_total", method="PUT", route=route) == [100_000]
    assert found.values("railtrack_http_sent_bytes_total", method="GET", route=route) == [100_000]


async def test_a_client_that_disconnects_is_counted_as_gone(watched: Client) -> None:
    await watched.hang_up("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/half", body=[b"x" * 1000])
    found = await scrape(watched)
    assert found.total("railtrack_http_requests_total", status="gone") == 1
    assert found.total("railtrack_http_requests_in_flight") == 1


async def test_unknown_paths_add_no_labels(watched: Client) -> None:
    for number in range(50):
        await watched.get(f'/made/up/{number}"\\\n{{x}}')
        await watched.send(f"BREW{number}", "/health")
        await watched.get(f"/static-files/{number}.js")
    found = await scrape(watched)
    seen = {(one.labels["method"], one.labels["route"]) for one in found.samples if "route" in one.labels}
    assert seen <= {*endpoints(), ("other", "unmatched")}
    assert found.total("railtrack_http_requests_total", route="unmatched") == 100
    assert found.total("railtrack_http_requests_total", route="/static-files/{path...}", status="4xx") == 50


async def test_commits_and_the_requests_in_them_are_counted(watched: Client) -> None:
    run_id = await new_run(watched)
    point = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 1}
    answers = await asyncio.gather(*(watched.post("runs/log-metric", point | {"step": step}) for step in range(40)))
    assert {answer.status for answer in answers} == {200}
    found = await scrape(watched)
    commits = found.total("railtrack_write_group_requests_count")
    assert found.total("railtrack_write_group_requests_sum") == 40 + 1  # and the creation of the run
    assert 2 <= commits < 40
    assert found.total("railtrack_write_group_requests_bucket", le="+Inf") == commits
    assert found.total("railtrack_write_queue_requests") == 0
    assert (
        1 <= found.total("railtrack_database_connections_open") <= found.total("railtrack_database_connections_limit")
    )
    assert found.total("railtrack_database_connections_in_use") == 0


async def test_retried_transactions_are_counted(watched: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railtrack.db.retry.FIRST_PAUSE_S", 0.0)
    before = await scrape(watched)

    async def lose() -> None:
        raise Conflict("another transaction was first")

    with pytest.raises(ApiError):
        await retry_on_conflict(lose)
    after = await scrape(watched)

    def grown(name: str) -> float:
        return after.total(name) - before.total(name)

    assert grown("railtrack_transaction_conflicts_total") == 1
    assert grown("railtrack_transaction_retries_total") > 1


@pytest.mark.parametrize(
    "given", [{"RAILTRACK_METRICS": "on"}, {"MLFLOW_EXPOSE_PROMETHEUS": "/tmp/metrics"}, {"RAILTRACK_METRICS": "off"}]
)
def test_mlflows_variable_enables_metrics_too(given: dict[str, Any]) -> None:
    assert load({}, given).metrics.is_exposed is ("off" not in given.values())
