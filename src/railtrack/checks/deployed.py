"""The steps of `railtrack verify`: what a client does with a deployed server, from the health check to taking away all
that was made on the way. Works with MLflow's own server too.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from railtrack.checks import Finding, Status, ok, problem, skipped, warning
from railtrack.checks.artifact_trip import ArtifactTrip
from railtrack.checks.client import Client, Unexpected
from railtrack.clock import now_ms
from railtrack.config.settings import Settings
from railtrack.errors import ApiError

HEALTHY = {b'{"status": "ok"}': "Railtrack", b"OK": "MLflow's own server"}
STEPS_OF_METRIC = 20
CLEAN_UP_LIMIT_S = 20.0
PAGE_SCRIPT = re.compile(r"""<script[^>]*\ssrc=["']?([^"'\s>]*main[^"'\s>]*\.js)""")

UNREACHABLE = (
    "Check that the service runs, the URL, and that the platform sends requests to the port that the server listens on "
    "(MLFLOW_PORT, PORT)."
)


class Step(NamedTuple):
    name: str
    needs: str
    """The step without which it cannot be taken; "" for none."""
    run: "Callable[[Visit], Awaitable[Finding]]"


@dataclass
class Visit:
    """One run through the steps: what was made so far, and must be taken away again."""

    client: Client
    settings: Settings
    """Of which those of S3 are used: the keys that a client has."""
    name: str = field(default_factory=lambda: f"railtrack-verify-{secrets.token_hex(6)}")
    begun: bool = False
    """The creation of the experiment was asked for, so it may exist."""
    experiment_id: str = ""
    run_id: str = ""
    trip: ArtifactTrip | None = None


async def verify(visit: Visit, limit_s: float, tell: Callable[[Finding], None]) -> list[Finding]:
    """The findings, each told as soon as there is one. Cleans up whatever happens, being cancelled too."""
    found: list[Finding] = []

    def add(finding: Finding) -> None:
        found.append(finding)
        tell(finding)

    try:
        async with asyncio.timeout(limit_s):
            for step in STEPS:
                add(await _take(visit, step, found))
    except TimeoutError:
        add(problem("time", f"The steps did not end within {limit_s:g} s.", "--timeout gives them more."))
    finally:
        began = time.monotonic()
        finding = await _clean_up(visit)
        add(replace(finding, seconds=time.monotonic() - began))
        visit.client.close()
    return found


async def _take(visit: Visit, step: Step, found: list[Finding]) -> Finding:
    if step.needs and not any(one.check == step.needs and one.status == Status.OK for one in found):
        return skipped(step.name, f"Needs the step '{step.needs}'.")
    began = time.monotonic()
    try:
        finding = await step.run(visit)
    except Unexpected as error:
        finding = problem(step.name, error.fault, error.advice)
    except ApiError as error:
        finding = problem(step.name, error.message)
    except (KeyError, TypeError, IndexError) as error:
        finding = problem(step.name, f"The answer lacks what it should have ({error!r}).", "Is this MLflow's API?")
    return replace(finding, seconds=time.monotonic() - began)


async def _health(visit: Visit) -> Finding:
    try:
        answer = await visit.client.send("GET", "health")
    except Unexpected as error:
        raise Unexpected(error.fault, UNREACHABLE) from None
    if answer.status in (301, 302, 307, 308):
        raise Unexpected(f"/health redirects to {answer.headers.get('location', '')}", "Use the URL that it leads to.")
    if answer.status in (401, 403):
        raise Unexpected(f"/health answers {answer}", "Give the login: --token, or user:password@ in the URL.")
    if answer.status != 200 or answer.body not in HEALTHY:
        raise Unexpected(f"/health answers {answer}", UNREACHABLE)
    return ok("health", f"{answer.body.decode()}, as {HEALTHY[answer.body]} answers")


async def _page(visit: Visit) -> Finding:
    page = await visit.client.send("GET", "")
    if page.status != 200 or "text/html" not in page.headers.get("content-type", ""):
        raise Unexpected(f"The page answers {page}")
    script = PAGE_SCRIPT.search(page.body.decode(errors="replace"))
    target = visit.client.target_of(script[1]) if script else None
    if script is None or target is None:
        raise Unexpected("The page has no script of its own: the server may have been built without the interface.")
    answer = await visit.client.send("GET", target)
    kind = answer.headers.get("content-type", "")
    if answer.status != 200 or "javascript" not in kind or not answer.body:
        raise Unexpected(f"The page's script {script[1]} answers {answer.status}, {kind}, {len(answer.body)} bytes")
    return ok("page", f"with its main script, {len(answer.body):,} bytes")


async def _version(visit: Visit) -> Finding:
    answer = await visit.client.send("GET", "version")
    version = answer.body.decode(errors="replace")
    if answer.status != 200 or not re.fullmatch(r"[0-9][\w.+-]{0,40}", version):
        raise Unexpected(f"/version answers {answer}")
    info = await visit.client.send("GET", "api/3.0/mlflow/server-info")
    if info.status not in (200, 404):  # older servers have none
        raise Unexpected(f"server-info answers {info}")
    return ok("version", f"MLflow {version}")


async def _experiment(visit: Visit) -> Finding:
    visit.begun = True
    made = await visit.client.ask("POST", "experiments/create", body={"name": visit.name})
    visit.experiment_id = made["experiment_id"]
    found = await visit.client.ask("GET", "experiments/get", {"experiment_id": visit.experiment_id})
    if found["experiment"]["name"] != visit.name:
        raise Unexpected(f"experiments/get answers another experiment than {visit.name}")
    return ok("experiment", f"{visit.name}, artifacts at {found['experiment']['artifact_location']}")


def _points() -> list[dict[str, object]]:
    now = now_ms()
    return [{"key": "loss", "value": 1 / (step + 1), "timestamp": now, "step": step} for step in range(STEPS_OF_METRIC)]


async def _run(visit: Visit) -> Finding:
    now = now_ms()
    made = await visit.client.ask("POST", "runs/create", body={"experiment_id": visit.experiment_id, "start_time": now})
    visit.run_id = made["run"]["info"]["run_id"]
    parameter = {"run_id": visit.run_id, "key": "rate", "value": "0.1"}
    await visit.client.ask("POST", "runs/log-parameter", body=parameter)
    last = {"run_id": visit.run_id, "key": "accuracy", "value": 0.75, "timestamp": now, "step": 3}
    await visit.client.ask("POST", "runs/log-metric", body=last)
    batch = {"run_id": visit.run_id, "metrics": _points(), "params": [{"key": "depth", "value": "3"}]}
    await visit.client.ask("POST", "runs/log-batch", body=batch)
    data = (await visit.client.ask("GET", "runs/get", {"run_id": visit.run_id}))["run"]["data"]
    params = {one["key"]: one["value"] for one in data["params"]}
    metrics = {one["key"]: one["value"] for one in data["metrics"]}
    if params != {"rate": "0.1", "depth": "3"} or metrics != {"accuracy": 0.75, "loss": 1 / STEPS_OF_METRIC}:
        raise Unexpected(f"runs/get answers other values than were logged: {params}, {metrics}")
    return ok("run", f"{visit.run_id}: 2 params and 2 metrics, as they were logged")


async def _history(visit: Visit) -> Finding:
    asked = {"run_id": visit.run_id, "metric_key": "loss", "max_results": "1000"}
    found = (await visit.client.ask("GET", "metrics/get-history", asked))["metrics"]
    got = {int(point.get("step", 0)): point["value"] for point in found}
    if len(found) != STEPS_OF_METRIC or got != {step: 1 / (step + 1) for step in range(STEPS_OF_METRIC)}:
        raise Unexpected(f"metrics/get-history answers {len(found)} other points than the {STEPS_OF_METRIC} logged")
    return ok("metric history", f"{STEPS_OF_METRIC} points, as they were logged")


async def _artifact(visit: Visit) -> Finding:
    run = (await visit.client.ask("GET", "runs/get", {"run_id": visit.run_id}))["run"]["info"]
    visit.trip = trip = ArtifactTrip(visit.client, visit.settings, visit.run_id, run["artifact_uri"])
    if reason := trip.lacks():
        advice = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_S3_ENDPOINT_URL) as your clients have them."
        return warning("artifact", f"Not sent: clients send artifacts to {run['artifact_uri']}. {reason}", advice)
    await trip.upload()
    return ok("artifact", f"{len(trip.content):,} bytes {trip.way}")


async def _store(visit: Visit) -> Finding:
    assert visit.trip is not None
    stored = await visit.trip.look_into_store()
    if stored is None:
        return skipped("store", "Only with keys of the store in AWS_ variables can it be looked into.")
    place, content = stored
    if content != visit.trip.content:
        raise Unexpected(f"{place} has other bytes than were sent")
    return ok("store", f"{place} has the same bytes")


async def _read_back(visit: Visit) -> Finding:
    assert visit.trip is not None
    listed = await visit.client.ask("GET", "artifacts/list", {"run_id": visit.run_id, "path": visit.trip.folder})
    sizes = {one["path"]: int(one.get("file_size", 0)) for one in listed.get("files", ())}
    if sizes != {visit.trip.path: len(visit.trip.content)}:
        raise Unexpected(f"artifacts/list answers {sizes}, not the file that was sent")
    answer = await visit.client.send("GET", "get-artifact", {"run_uuid": visit.run_id, "path": visit.trip.path})
    if answer.status != 200:
        raise Unexpected(f"get-artifact answers {answer}", "Check the server's rights to read the store.")
    digest = hashlib.sha256(answer.body).hexdigest()
    if digest != hashlib.sha256(visit.trip.content).hexdigest():
        raise Unexpected("get-artifact answers other bytes than were sent")
    return ok("read back", f"through the server, sha256 {digest[:16]}...")


STEPS = (
    Step("health", "", _health),
    Step("page", "health", _page),
    Step("version", "health", _version),
    Step("experiment", "health", _experiment),
    Step("run", "experiment", _run),
    Step("metric history", "run", _history),
    Step("artifact", "run", _artifact),
    Step("store", "artifact", _store),
    Step("read back", "artifact", _read_back),
)


async def _clean_up(visit: Visit) -> Finding:
    """Take away what was made, each thing for itself, and say what is left."""
    if not visit.begun:
        return ok("clean up", "Nothing was made.")
    left: list[str] = []
    try:
        async with asyncio.timeout(CLEAN_UP_LIMIT_S):
            if visit.trip is not None:
                left += await visit.trip.remove()
            left += await _delete_run_and_experiment(visit)
    except TimeoutError:
        left.append(f"perhaps more of the experiment {visit.name}: the server did not answer in time")
    if left:
        return warning("clean up", f"Left behind: {'; '.join(left)}.", "Remove it by hand.")
    return ok(
        "clean up", "Run and experiment are deleted (they stay in the trash until `mlflow gc`), the artifact is gone"
    )


async def _delete_run_and_experiment(visit: Visit) -> list[str]:
    left = []
    try:
        if visit.run_id:
            await visit.client.ask("POST", "runs/delete", body={"run_id": visit.run_id})
    except Unexpected as error:
        left.append(f"the run {visit.run_id} ({error.fault})")
    try:
        if not visit.experiment_id:  # its creation was broken off, or refused
            with suppress(Unexpected):
                asked = {"experiment_name": visit.name}
                found = await visit.client.ask("GET", "experiments/get-by-name", asked)
                visit.experiment_id = found["experiment"]["experiment_id"]
        if visit.experiment_id:
            await visit.client.ask("POST", "experiments/delete", body={"experiment_id": visit.experiment_id})
    except Unexpected as error:
        left.append(f"the experiment {visit.name} ({error.fault})")
    return left
