"""The runs table of large experiments on PostgreSQL: 20,000 runs, and 2,000 metric names."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from playwright.sync_api import Browser, Request, expect
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.ui.browser import Tab, new_tab

pytestmark = pytest.mark.alone

RUNS, WIDE_RUNS, NAMES = 20_000, 50, 2_000
FIRST_PAGE_SECONDS = 60
"""Much more than the 2 s on an idle machine, because other tests may run concurrently."""
MEMORY_MB = 150
"""Memory of the master and two workers after each test."""

MANY_RUNS = f"""
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
    VALUES (100, 'many runs', 'mlflow-artifacts:/100', 'active', 0, 0),
           (101, 'many metrics', 'mlflow-artifacts:/101', 'active', 0, 0);
INSERT INTO runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)
    SELECT lpad(n::text, 32, '0'), 'run-' || n, 'an', 'FINISHED', 1760000000000 + n * 1000, 1760000000500 + n * 1000,
        'active', 'mlflow-artifacts:/100/' || n, 100
    FROM generate_series(1, {RUNS}) n;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'metric ' || k, (n * 7919 % {RUNS}) / {RUNS}.0, 1760000000000, 9, FALSE, lpad(n::text, 32, '0')
    FROM generate_series(1, {RUNS}) n, generate_series(1, 5) k;
INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'metric 1', s / 10.0, 1760000000000 + s, s, FALSE, lpad(n::text, 32, '0')
    FROM generate_series(1, {RUNS}) n, generate_series(5, 9) s;
INSERT INTO params (key, value, run_uuid)
    SELECT 'param ' || k, (n % 100)::text, lpad(n::text, 32, '0')
    FROM generate_series(1, {RUNS}) n, generate_series(1, 5) k;
INSERT INTO tags (key, value, run_uuid)
    SELECT key, value, lpad(n::text, 32, '0') FROM generate_series(1, {RUNS}) n,
        (VALUES ('mlflow.user', 'an'), ('mlflow.source.name', 'train.py'), ('team', 'vision')) t (key, value);
"""
MANY_METRICS = f"""
INSERT INTO runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)
    SELECT lpad('w' || n, 32, '0'), 'wide-' || n, 'an', 'FINISHED', 1760000000000 + n * 1000,
        1760000000500 + n * 1000, 'active', 'mlflow-artifacts:/101/' || n, 101
    FROM generate_series(1, {WIDE_RUNS}) n;
INSERT INTO tags (key, value, run_uuid)
    SELECT 'mlflow.runName', 'wide-' || n, lpad('w' || n, 32, '0') FROM generate_series(1, {WIDE_RUNS}) n;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'class ' || k || '/precision', n / 100.0, 1760000000000, 0, FALSE, lpad('w' || n, 32, '0')
    FROM generate_series(1, {WIDE_RUNS}) n, generate_series(1, {NAMES}) k;
INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT key, value, timestamp, step, is_nan, run_uuid FROM latest_metrics WHERE key LIKE 'class%';
"""


@pytest.fixture(scope="module")
def large(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    """Yield a server with both experiments."""
    folder = tmp_path_factory.mktemp("large")
    # Playwright's event loop runs in this thread while its browser is open.
    with ThreadPoolExecutor(1) as thread, contextlib.ExitStack() as stack:
        database = thread.submit(stack.enter_context, scratch_database("postgresql", folder, postgres)).result()
        try:
            with railtrack_server(folder, database) as server:
                thread.submit(asyncio.run, _fill(database)).result()
                yield server
                assert server.logged_errors() == []
        finally:
            thread.submit(stack.close).result()


async def _fill(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        for statements in (MANY_RUNS, MANY_METRICS, "ANALYZE"):
            await connection.execute(statements)
    finally:
        await connection.close()


@pytest.fixture
def large_tab(browser: Browser, large: RailtrackServer) -> Iterator[Tab]:
    with new_tab(browser, large.url) as tab:
        yield tab


class Watch:
    """Print durations of pages and of their requests, for `pytest -s`."""

    def __init__(self, tab: Tab) -> None:
        self._tab = tab
        self._began = time.monotonic()
        tab.page.on("requestfinished", self._print_request)

    def show(self, what: str) -> float:
        """Print and return the seconds since the start or the last call."""
        seconds = time.monotonic() - self._began
        print(f"\n{what}: {seconds:.2f} s")
        self._began = time.monotonic()
        return seconds

    def _print_request(self, request: Request) -> None:
        if "/static-files/" not in request.url:
            took = request.timing["responseEnd"] - request.timing["requestStart"]
            print(f"  {took:6.0f} ms {request.method} {request.url.partition('?')[0].removeprefix(self._tab.url)}")


def first_row(tab: Tab, name: str) -> None:
    row = tab.page.locator(".ag-pinned-left-cols-container .ag-row[row-index='0']")
    expect(row).to_contain_text(name)


def test_pages_of_twenty_thousand_runs_load_soon(large: RailtrackServer, large_tab: Tab) -> None:
    large_tab.open("/experiments")
    large_tab.see("many runs")
    watch = Watch(large_tab)
    large_tab.open("/experiments/100/runs")
    first_row(large_tab, f"run-{RUNS}")
    assert watch.show("first page of 20,000 runs") < FIRST_PAGE_SECONDS
    large_tab.see("Load more")
    large_tab.page.get_by_text("Load more").click()
    large_tab.see("200 matching runs")
    assert watch.show("second page") < FIRST_PAGE_SECONDS
    large_tab.open("/experiments/100/runs?orderByKey=metrics.%60metric%201%60&orderByAsc=false")
    first_row(large_tab, "run-")
    assert watch.show("sorted by a metric") < FIRST_PAGE_SECONDS
    search = large_tab.page.get_by_test_id("search-box").last
    search.fill("metrics.`metric 2` > 0.99 and params.`param 1` = '7'")
    search.press("Enter")
    large_tab.see("2 matching runs")
    assert watch.show("filtered") < FIRST_PAGE_SECONDS
    large_tab.open("/experiments/100/runs?compareRunsMode=CHART")
    expect(large_tab.page.locator(".js-plotly-plot").first).to_be_visible()
    assert watch.show("charts") < FIRST_PAGE_SECONDS
    large_tab.check()
    print(f"memory: {large.pss_mb():.0f} MB")
    assert large.pss_mb() < MEMORY_MB


def test_an_experiment_with_two_thousand_metrics_is_shown(large: RailtrackServer, large_tab: Tab) -> None:
    large_tab.open("/experiments")
    large_tab.see("many metrics")
    watch = Watch(large_tab)
    large_tab.open("/experiments/101/runs")
    first_row(large_tab, f"wide-{WIDE_RUNS}")
    assert watch.show("50 runs of 2,000 metrics") < FIRST_PAGE_SECONDS
    large_tab.check()
    large_tab.keep_screenshot("size-metrics")
    print(f"memory: {large.pss_mb():.0f} MB")
    assert large.pss_mb() < MEMORY_MB
