"""docs/architecture.md, "A request, step by step": the files that each request passes."""

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest
from tests.client import Client, running_app
from tests.docs.pages import DOCS
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import s3_server

import railtrack
from railtrack.config.settings import load
from railtrack.db.open import open_database, prepare
from railtrack.db.url import parse_database_url

PACKAGE = Path(railtrack.__file__).parent
PAGE = (DOCS / "architecture.md").read_text()
MOST_OWN_FILES = 4


class Steps(NamedTuple):
    kernel: set[str]
    own: set[str]


def files(text: str) -> set[str]:
    return set(re.findall(r"`([\w/]+\.py)`", text))


EVERY_REQUEST = files(re.search(r"^Every request, .*?\n\n", PAGE, re.M | re.S)[0])  # type: ignore[index]
STEPS = {
    request: Steps(files(kernel) | EVERY_REQUEST - {"context.py"}, files(own))
    for request, kernel, own in re.findall(r"^\| `((?:GET|POST|PUT) [^`]+)` \|([^|]*)\|([^|]*)\|$", PAGE, re.M)
}


@pytest.fixture(scope="module")
async def client(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """Return a client of an application on PostgreSQL, with artifacts in S3."""
    with s3_server() as s3:
        s3.new_bucket("artifacts")
        async with postgres.scratch_database() as database:
            variables = {
                "MLFLOW_BACKEND_STORE_URI": database,
                "MLFLOW_ARTIFACTS_DESTINATION": "s3://artifacts/runs",
                "RAILTRACK_DATA": str(tmp_path_factory.mktemp("data")),
                **s3.environment,
            }
            settings = load({}, variables)
            url = parse_database_url(database)
            db = open_database(url, connections=1)
            await prepare(db, url, default_location=settings.artifacts.experiment_location(0))
            await db.close()
            async with running_app(settings) as client:
                yield client


@pytest.fixture(scope="module")
async def requests(client: Client) -> dict[str, Callable[[int], Awaitable[object]]]:
    """Return a function for each request of the page. A different number makes a different request."""
    run = (await client.ok("POST", "runs/create", {"experiment_id": "0"}))["run"]["info"]
    run_id, artifacts = run["run_id"], run["artifact_uri"]
    await client.ok("POST", "registered-models/create", {"name": "model"})

    def log_batch(number: int) -> Awaitable[object]:
        metric = {"key": "loss", "value": number, "timestamp": number, "step": number}
        param = {"key": f"param_{number}", "value": "1"}
        return client.ok("POST", "runs/log-batch", {"run_id": run_id, "metrics": [metric], "params": [param]})

    def search(number: int) -> Awaitable[object]:
        query = {"experiment_ids": ["0"], "filter": f"metrics.loss > {-number}", "order_by": ["metrics.loss"]}
        return client.ok("POST", "runs/search", query)

    def create_version(number: int) -> Awaitable[object]:
        version = {"name": "model", "source": f"{artifacts}/model-{number}", "run_id": run_id}
        return client.ok("POST", "model-versions/create", version)

    def upload(number: int) -> Awaitable[object]:
        path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/{number}.bin"
        return client.send("PUT", path, body=[bytes(1 << 20)] * 12)

    def front_page(_number: int) -> Awaitable[object]:
        return client.send("GET", "/")

    await log_batch(0)
    return {
        "POST runs/log-batch": log_batch,
        "POST runs/search": search,
        "POST model-versions/create": create_version,
        "PUT mlflow-artifacts/artifacts/...": upload,
        "GET /": front_page,
    }


async def files_passed(request: Awaitable[object]) -> set[str]:
    """Return the modules of the package whose functions are called during a request."""
    passed = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            passed.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        await request
    finally:
        sys.setprofile(None)
    return {str(Path(name).relative_to(PACKAGE)) for name in passed if name.startswith(str(PACKAGE))}


@pytest.mark.parametrize("request_line", STEPS)
async def test_a_request_passes_the_files_of_the_page(
    requests: dict[str, Callable[[int], Awaitable[object]]], request_line: str
) -> None:
    send = requests[request_line]
    await send(1)  # imports, connections and caches
    passed = await files_passed(send(2))
    steps = STEPS[request_line]
    assert {name for name in passed if name.startswith("api/")} == steps.own
    assert steps.kernel <= passed


def test_the_page_walks_five_requests_with_few_files_of_a_resource() -> None:
    assert len(STEPS) == 5
    assert EVERY_REQUEST
    assert all(1 <= len(steps.own) <= MOST_OWN_FILES for steps in STEPS.values())
