"""The steps of `railtrack verify`: use a deployed server as a client does, and delete what was created.

Works with MLflow's server, too.
"""

import asyncio
import hashlib
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from railtrack.checks import CheckStatus, Finding, ok, problem, skipped, warning
from railtrack.checks.artifact_round_trip import ArtifactRoundTrip
from railtrack.checks.client import UnexpectedResponse, VerifyClient
from railtrack.clock import now_ms
from railtrack.config.settings import Settings
from railtrack.errors import ApiError
from railtrack.http_client.client import UntrustedError

HEALTH_RESPONSES = {b'{"status": "ok"}': "Railtrack", b"OK": "MLflow's server"}
STEPS_OF_METRIC = 20
CLEAN_UP_TIMEOUT_S = 20.0
PAGE_SCRIPT = re.compile(r"""<script[^>]*\ssrc=["']?([^"'\s>]*main[^"'\s>]*\.js)""")

LOGIN_ADVICE = (
    "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. Where the server runs, "
    "`railtrack tokens create admin verify --days 1` creates a token."
)
UNREACHABLE = (
    "Check that the service runs, the URL, and that the platform sends requests to the port that the server listens on "
    "(MLFLOW_PORT, PORT)."
)
BLOCKED = (
    "The page can change nothing. Have the proxy forward the browser's Host with its port, or add the URL's origin to "
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS (--cors-allowed-origins)."
)
UNTRUSTED = "If its CA is a private one, set MLFLOW_TRACKING_SERVER_CERT_PATH to the file of the CA."


class Step(NamedTuple):
    name: str
    needs: str
    """The step that must have succeeded before, "" for none."""
    run: "Callable[[VerifySession], Awaitable[Finding]]"
    advice: str = ""
    """What to do if the step fails and the failure has no advice."""


@dataclass
class VerifySession:
    """One run of the steps, with what was created so far and must be deleted."""

    client: VerifyClient
    settings: Settings
    """The settings of a client, of which those of S3 are used."""
    name: str = field(default_factory=lambda: f"railtrack-verify-{secrets.token_hex(6)}")
    may_have_created: bool = False
    """The creation of the experiment was requested, so it may exist."""
    experiment_id: str = ""
    run_id: str = ""
    artifact: ArtifactRoundTrip | None = None
    keep: bool = False
    """Do not delete the run, for a look at its page."""


async def verify(
    session: VerifySession, timeout_s: float, report: Callable[[Finding], None], steps: Sequence[Step]
) -> list[Finding]:
    """Run the steps, and report each finding at once. Clean up in any case, even if cancelled."""
    findings: list[Finding] = []

    def add(finding: Finding) -> None:
        findings.append(finding)
        report(finding)

    try:
        async with asyncio.timeout(timeout_s):
            for step in steps:
                add(await _run_step(session, step, findings))
    except TimeoutError:
        add(problem("time", f"The steps timed out after {timeout_s:g} s.", "Increase --timeout."))
    finally:
        started = time.monotonic()
        finding = await _clean_up(session)
        add(replace(finding, seconds=time.monotonic() - started))
        session.client.close()
    return findings


async def _run_step(session: VerifySession, step: Step, findings: list[Finding]) -> Finding:
    if step.needs and not any(one.check == step.needs and one.status == CheckStatus.OK for one in findings):
        return skipped(step.name, f"Requires the step '{step.needs}'.")
    started = time.monotonic()
    try:
        finding = await step.run(session)
    except UnexpectedResponse as error:
        finding = problem(step.name, error.fault, error.advice or step.advice)
    except ApiError as error:
        finding = problem(step.name, error.message, step.advice)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        finding = problem(step.name, f"The response lacks a field ({error!r}).", "Check that this is MLflow's API.")
    return replace(finding, seconds=time.monotonic() - started)


async def check_health(session: VerifySession) -> Finding:
    try:
        response = await session.client.send("GET", "health")
    except UnexpectedResponse as error:
        advice = UNTRUSTED if isinstance(error.__cause__, UntrustedError) else UNREACHABLE
        raise UnexpectedResponse(error.fault, advice) from None
    if response.status in (301, 302, 307, 308):
        raise UnexpectedResponse(
            f"/health redirects to {response.headers.get('location', '')}", "Use the URL that it redirects to."
        )
    if response.status in (401, 403):
        raise UnexpectedResponse(f"/health returned {response}", "Add a login: --token, or user:password@ in the URL.")
    if response.status != 200 or response.body not in HEALTH_RESPONSES:
        raise UnexpectedResponse(f"/health returned {response}", UNREACHABLE)
    return ok("health", f"{response.body.decode()}, the response of {HEALTH_RESPONSES[response.body]}")


async def check_login(session: VerifySession) -> Finding:
    response = await session.client.send("GET", "api/2.0/mlflow/users/current")
    if response.status in (401, 403):
        raise UnexpectedResponse(f"users/current returned {response}", LOGIN_ADVICE)
    if response.status == 200:
        return ok("login", f"as {json.loads(response.body)['user']['username']}")
    # Servers without login, and older ones, do not have it.
    return ok("login", "sent, and not rejected" if session.client.sends_login else "not required")


async def check_page(session: VerifySession) -> Finding:
    page = await session.client.send("GET", "")
    if page.status != 200 or "text/html" not in page.headers.get("content-type", ""):
        raise UnexpectedResponse(f"The page returned {page}")
    script = PAGE_SCRIPT.search(page.body.decode(errors="replace"))
    path = session.client.path_of(script[1]) if script else None
    if script is None or path is None:
        raise UnexpectedResponse("The page has no script: the server may have been built without the web interface.")
    response = await session.client.send("GET", path)
    content_type = response.headers.get("content-type", "")
    if response.status != 200 or "javascript" not in content_type or not response.body:
        raise UnexpectedResponse(
            f"The page's script {script[1]} returned {response.status}, {content_type}, {len(response.body)} bytes"
        )
    return ok("page", f"with its main script, {len(response.body):,} bytes")


async def check_browser(session: VerifySession) -> Finding:
    """Send a request as the page does: with a browser's Origin, which a proxy may keep from matching the Host."""
    path = "ajax-api/2.0/mlflow/experiments/search"
    body = b'{"max_results": 1}'
    response = await session.client.send("POST", path, None, body, "application/json", from_page=True)
    if response.status != 200:
        advice = BLOCKED if response.status == 403 else ""
        raise UnexpectedResponse(f"A request of the page to {path} returned {response}", advice)
    return ok("browser", "A request with the Origin of the page is accepted")


async def _version(session: VerifySession) -> Finding:
    response = await session.client.send("GET", "version")
    version = response.body.decode(errors="replace")
    if response.status != 200 or not re.fullmatch(r"[0-9][\w.+-]{0,40}", version):
        raise UnexpectedResponse(f"/version returned {response}")
    info = await session.client.send("GET", "api/3.0/mlflow/server-info")
    if info.status not in (200, 404):  # older servers do not have it
        raise UnexpectedResponse(f"server-info returned {info}")
    return ok("version", f"MLflow {version}")


async def _experiment(session: VerifySession) -> Finding:
    session.may_have_created = True
    created = await session.client.call("POST", "experiments/create", body={"name": session.name})
    session.experiment_id = created["experiment_id"]
    fetched = await session.client.call("GET", "experiments/get", {"experiment_id": session.experiment_id})
    if fetched["experiment"]["name"] != session.name:
        raise UnexpectedResponse(f"experiments/get returned another experiment than {session.name}")
    return ok("experiment", f"{session.name}, artifacts at {fetched['experiment']['artifact_location']}")


async def _run(session: VerifySession) -> Finding:
    now = now_ms()
    created = await session.client.call(
        "POST", "runs/create", body={"experiment_id": session.experiment_id, "start_time": now}
    )
    session.run_id = created["run"]["info"]["run_id"]
    parameter = {"run_id": session.run_id, "key": "rate", "value": "0.1"}
    await session.client.call("POST", "runs/log-parameter", body=parameter)
    last = {"run_id": session.run_id, "key": "accuracy", "value": 0.75, "timestamp": now, "step": 3}
    await session.client.call("POST", "runs/log-metric", body=last)
    points = [
        {"key": "loss", "value": 1 / (step + 1), "timestamp": now, "step": step} for step in range(STEPS_OF_METRIC)
    ]
    batch = {"run_id": session.run_id, "metrics": points, "params": [{"key": "depth", "value": "3"}]}
    await session.client.call("POST", "runs/log-batch", body=batch)
    data = (await session.client.call("GET", "runs/get", {"run_id": session.run_id}))["run"]["data"]
    params = {one["key"]: one["value"] for one in data["params"]}
    metrics = {one["key"]: one["value"] for one in data["metrics"]}
    if params != {"rate": "0.1", "depth": "3"} or metrics != {"accuracy": 0.75, "loss": 1 / STEPS_OF_METRIC}:
        raise UnexpectedResponse(f"runs/get returned other values than logged: {params}, {metrics}")
    return ok("run", f"{session.run_id}: 2 params and 2 metrics, as logged")


async def _history(session: VerifySession) -> Finding:
    query = {"run_id": session.run_id, "metric_key": "loss", "max_results": "1000"}
    points = (await session.client.call("GET", "metrics/get-history", query))["metrics"]
    values = {int(point.get("step", 0)): point["value"] for point in points}
    if len(points) != STEPS_OF_METRIC or values != {step: 1 / (step + 1) for step in range(STEPS_OF_METRIC)}:
        raise UnexpectedResponse(f"metrics/get-history returned {len(points)} points, not the {STEPS_OF_METRIC} logged")
    return ok("metric history", f"{STEPS_OF_METRIC} points, as logged")


async def _artifact(session: VerifySession) -> Finding:
    run = (await session.client.call("GET", "runs/get", {"run_id": session.run_id}))["run"]["info"]
    session.artifact = artifact = ArtifactRoundTrip(session.client, session.settings, run["artifact_uri"])
    if obstacle := artifact.obstacle():
        finding = f"Not uploaded: clients upload artifacts to {run['artifact_uri']}. {obstacle.reason}"
        return warning("artifact", finding, obstacle.advice)
    await artifact.upload()
    return ok("artifact", f"{len(artifact.content):,} bytes {artifact.transfer}")


async def _store(session: VerifySession) -> Finding:
    assert session.artifact is not None
    stored = await session.artifact.read_from_store()
    if stored is None:
        return skipped("store", "Requires credentials of the store in AWS_ variables.")
    if stored.content != session.artifact.content:
        raise UnexpectedResponse(f"{stored.uri} has other bytes than uploaded")
    return ok("store", f"{stored.uri} has the same bytes")


async def check_read_back(session: VerifySession) -> Finding:
    assert session.artifact is not None
    try:
        query = {"run_id": session.run_id, "path": session.artifact.folder}
        listed = await session.client.call("GET", "artifacts/list", query)
    except UnexpectedResponse as error:
        raise UnexpectedResponse(error.fault, session.artifact.advice) from None
    sizes = {one["path"]: int(one.get("file_size", 0)) for one in listed.get("files", ())}
    if sizes != {session.artifact.path: len(session.artifact.content)}:
        raise UnexpectedResponse(f"artifacts/list returned {sizes}, not the uploaded file", session.artifact.advice)
    response = await session.client.send(
        "GET", "get-artifact", {"run_uuid": session.run_id, "path": session.artifact.path}
    )
    if response.status != 200:
        raise UnexpectedResponse(f"get-artifact returned {response}", "Check that the server may read from the store.")
    digest = hashlib.sha256(response.body).hexdigest()
    if digest != hashlib.sha256(session.artifact.content).hexdigest():
        raise UnexpectedResponse("get-artifact returned other bytes than uploaded")
    return ok("read back", f"through the server, sha256 {digest[:16]}...")


STEPS = (
    Step("health", "", check_health),
    Step("login", "health", check_login),
    Step("page", "login", check_page),
    Step("browser", "login", check_browser),
    Step("version", "health", _version),
    Step("experiment", "login", _experiment),
    Step("run", "experiment", _run),
    Step("metric history", "run", _history),
    Step("artifact", "run", _artifact),
    Step("store", "artifact", _store),
    Step("read back", "artifact", check_read_back),
)


async def _clean_up(session: VerifySession) -> Finding:
    """Delete what was created, each thing on its own, and report what is left."""
    if not session.may_have_created:
        return ok("clean up", "Nothing was created.")
    if session.keep and session.experiment_id:
        return ok("clean up", f"Kept, as --keep requests: the experiment {session.name}. Delete it on its page.")
    left: list[str] = []
    try:
        async with asyncio.timeout(CLEAN_UP_TIMEOUT_S):
            if session.artifact is not None:
                left += await session.artifact.delete()
            left += await _delete_run_and_experiment(session)
            if not session.experiment_id and not left:
                return ok("clean up", "Nothing was created.")
    except TimeoutError:
        left.append(f"perhaps more of the experiment {session.name}: the server timed out")
    if left:
        return warning("clean up", f"Left behind: {'; '.join(left)}.", "Delete it manually.")
    return ok("clean up", "Run and experiment are deleted (in the trash until `mlflow gc`), the artifact is deleted")


async def _delete_run_and_experiment(session: VerifySession) -> list[str]:
    left = []
    try:
        if session.run_id:
            await session.client.call("POST", "runs/delete", body={"run_id": session.run_id})
    except UnexpectedResponse as error:
        left.append(f"the run {session.run_id} ({error.fault})")
    try:
        if not session.experiment_id:  # its creation failed, or was interrupted
            with suppress(UnexpectedResponse):
                query = {"experiment_name": session.name}
                fetched = await session.client.call("GET", "experiments/get-by-name", query)
                session.experiment_id = fetched["experiment"]["experiment_id"]
        if session.experiment_id:
            await session.client.call("POST", "experiments/delete", body={"experiment_id": session.experiment_id})
    except UnexpectedResponse as error:
        left.append(f"the experiment {session.name} ({error.fault})")
    return left
