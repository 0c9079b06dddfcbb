"""The steps of `railtrack verify --training`: run a small training as a training service does, and report the five
points that close the deployment guide. What is created is deleted, as by the other steps.
"""

import json
import math
import random
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from railtrack.checks import Finding, ok, problem, skipped, warning
from railtrack.checks.artifact_round_trip import ArtifactRoundTrip
from railtrack.checks.client import UnexpectedResponse
from railtrack.checks.verify import (
    BLOCKED,
    Step,
    VerifySession,
    check_browser,
    check_health,
    check_login,
    check_page,
    check_read_back,
)
from railtrack.clock import now_ms
from railtrack.config.client_settings import client_s3_endpoint
from railtrack.errors import ApiError

EPOCHS = 20
EXAMPLES = 200
LEARNING_RATE = 0.5

PERMISSION_ADVICE = (
    "Give the user of this login EDIT: MLFLOW_AUTH_DEFAULT_PERMISSION=EDIT on the server is for everyone, `railtrack "
    "grants` for one. A token of the scope read can log nothing."
)
STORE_ADVICE = (
    "Check from where the trainings run: the endpoint (MLFLOW_S3_ENDPOINT_URL, none for Amazon S3), that the bucket "
    "exists, and that the key may put, get, list and delete in it."
)
SERVER_ADVICE = "Read the server's log, and run `railtrack doctor` where the server runs."


class Example(NamedTuple):
    features: tuple[float, float]
    label: int


class LogisticModel(NamedTuple):
    """Coefficients of two features, and the bias."""

    coefficients: tuple[float, float]
    bias: float

    def probability(self, features: tuple[float, float]) -> float:
        total = self.bias + sum(
            coefficient * value for coefficient, value in zip(self.coefficients, features, strict=True)
        )
        return 1 / (1 + math.exp(-total))

    def step(self, examples: list[Example]) -> "LogisticModel":
        """Return the model after one step of gradient descent."""
        errors = [self.probability(one.features) - one.label for one in examples]
        rate = LEARNING_RATE / len(examples)
        gradient = [sum(error * one.features[at] for error, one in zip(errors, examples, strict=True)) for at in (0, 1)]
        coefficients = self.coefficients[0] - rate * gradient[0], self.coefficients[1] - rate * gradient[1]
        return LogisticModel(coefficients, self.bias - rate * sum(errors))

    def loss(self, examples: list[Example]) -> float:
        chances = [abs(1 - one.label - self.probability(one.features)) for one in examples]
        return -sum(math.log(max(chance, 1e-12)) for chance in chances) / len(examples)

    def accuracy(self, examples: list[Example]) -> float:
        return sum((self.probability(one.features) > 0.5) == bool(one.label) for one in examples) / len(examples)

    def as_bytes(self) -> bytes:
        return json.dumps({"coefficients": self.coefficients, "bias": self.bias}).encode()


def make_examples(seed: int) -> list[Example]:
    """Return points of two overlapping clouds."""
    source = random.Random(seed)  # noqa: S311 (data of a training, not a secret)
    return [
        Example((source.gauss(4 * label - 2, 1.5), source.gauss(2 * label - 1, 1.5)), label)
        for label in (index % 2 for index in range(EXAMPLES))
    ]


async def _backend(session: VerifySession) -> Finding:
    """Reach the server as a backend does: with its URL and its login."""
    await check_health(session)
    login = await check_login(session)
    await session.client.call("POST", "experiments/search", body={"max_results": 1})
    return ok("backend", f"MLFLOW_TRACKING_URI={session.client.shown_url} works, login {login.finding}")


async def _training_services(session: VerifySession) -> Finding:
    """Create an experiment, whose location of artifacts decides which variables a training needs."""
    session.may_have_created = True
    try:
        created = await session.client.call("POST", "experiments/create", body={"name": session.name})
    except UnexpectedResponse as error:
        if error.status == HTTPStatus.FORBIDDEN:
            raise UnexpectedResponse(error.fault, PERMISSION_ADVICE) from None
        raise
    session.experiment_id = created["experiment_id"]
    fetched = await session.client.call("GET", "experiments/get", {"experiment_id": session.experiment_id})
    location = fetched["experiment"]["artifact_location"]
    if obstacle := ArtifactRoundTrip(session.client, session.settings, location).obstacle():
        return problem("training services", f"Artifacts go to {location}. {obstacle.reason}", obstacle.advice)
    if urlsplit(location).scheme != "s3":
        return ok("training services", f"A URL and a login are enough: artifacts go to {location}")
    endpoint = session.settings.s3.endpoint
    if endpoint and not client_s3_endpoint():
        finding = "AWS_S3_ENDPOINT_URL names the store, but MLflow's client reads MLFLOW_S3_ENDPOINT_URL only."
        return warning("training services", finding, f"Set MLFLOW_S3_ENDPOINT_URL={endpoint} in the training services.")
    variables = ["credentials of the store (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"]
    variables += [f"MLFLOW_S3_ENDPOINT_URL={endpoint}"] if endpoint else []
    return ok("training services", f"A URL, a login, {' and '.join(variables)}: artifacts go to {location}")


async def _training(session: VerifySession) -> Finding:
    """Train, log each epoch, end the run, and read it back."""
    if not session.experiment_id:
        return skipped("training", "Requires an experiment.")
    call = session.client.call
    created = await call(
        "POST",
        "runs/create",
        body={"experiment_id": session.experiment_id, "start_time": now_ms(), "run_name": session.name},
    )
    session.run_id = created["run"]["info"]["run_id"]
    params = {"epochs": str(EPOCHS), "learning_rate": str(LEARNING_RATE)}
    logged = [{"key": key, "value": value} for key, value in params.items()]
    await call("POST", "runs/log-batch", body={"run_id": session.run_id, "params": logged})
    examples, held_out = make_examples(seed=0), make_examples(seed=1)
    model, losses = LogisticModel((0.0, 0.0), 0.0), []
    for epoch in range(EPOCHS):
        model = model.step(examples)
        losses.append(model.loss(held_out))
        metrics = {"loss": losses[-1], "accuracy": model.accuracy(held_out)}
        points = [{"key": key, "value": value, "timestamp": now_ms(), "step": epoch} for key, value in metrics.items()]
        await call("POST", "runs/log-batch", body={"run_id": session.run_id, "metrics": points})
    await call("POST", "runs/update", body={"run_id": session.run_id, "status": "FINISHED", "end_time": now_ms()})
    run = (await call("GET", "runs/get", {"run_id": session.run_id}))["run"]
    location = run["info"]["artifact_uri"]
    session.artifact = ArtifactRoundTrip(session.client, session.settings, location, model.as_bytes())
    query = {"run_id": session.run_id, "metric_key": "loss", "max_results": "1000"}
    points = (await call("GET", "metrics/get-history", query))["metrics"]
    history = sorted((int(point.get("step", 0)), point["value"]) for point in points)
    if history != list(enumerate(losses)) or {one["key"]: one["value"] for one in run["data"]["params"]} != params:
        raise UnexpectedResponse(f"The server returned other values than logged: {history[:3]}...")
    if run["info"]["status"] != "FINISHED":
        raise UnexpectedResponse(f"The run ended, but has the status {run['info']['status']}")
    accuracy = model.accuracy(held_out)
    learned = f"loss {losses[0]:.3f} to {losses[-1]:.3f}, accuracy {accuracy:.2f}"
    return ok("training", f"{EPOCHS} epochs, {learned}, as logged")


async def _web_interface(session: VerifySession) -> Finding:
    """Load the page, and request what the page of the run shows, with the page's headers."""
    await check_page(session)
    await check_browser(session)
    query = {"run_ids": session.run_id, "metric_key": "loss", "max_results": "320"}
    curve = await session.client.send(
        "GET", "ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", query, from_page=True
    )
    if curve.status != HTTPStatus.OK or len(json.loads(curve.body)["metrics"]) != EPOCHS:
        raise UnexpectedResponse(f"The request of the page for the curve returned {curve}", BLOCKED)
    return ok("web interface", f"It shows the curve at {run_link(session)}")


async def _artifacts(session: VerifySession) -> Finding:
    """Store the model where a training stores it, and read it from the store and through the server."""
    artifact = session.artifact
    assert artifact is not None
    if artifact.obstacle():
        return skipped("artifacts", "Requires the variables of 'training services'.")
    try:
        await artifact.upload()
        stored = await artifact.read_from_store()
    except ApiError as error:
        return problem("artifacts", error.message, STORE_ADVICE)
    if stored is not None and stored.content != artifact.content:
        raise UnexpectedResponse(f"{stored.uri} has other bytes than uploaded", STORE_ADVICE)
    await check_read_back(session)
    where = f"in the bucket: {stored.uri}" if stored else f"stored {artifact.transfer}"
    return ok("artifacts", f"The model is {where}. The server shows it")


def run_link(session: VerifySession) -> str:
    return f"{session.client.shown_url}/#/experiments/{session.experiment_id}/runs/{session.run_id}"


TRAINING_STEPS = (
    Step("backend", "", _backend, SERVER_ADVICE),
    Step("training services", "backend", _training_services, SERVER_ADVICE),
    Step("training", "backend", _training, SERVER_ADVICE),
    Step("web interface", "training", _web_interface, SERVER_ADVICE),
    Step("artifacts", "training", _artifacts, SERVER_ADVICE),
)
"""The guide's closing points, in its order."""
