"""A backend that starts trainings, follows them, and uses their best model, with an MLflow server behind it.

    uvicorn app:app --port 8000

Settings: README.md. Processes are in trainings.py, the best model in champion.py, the page in page.html.
"""

import asyncio
import ipaddress
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import mlflow
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, Field

from champion import Champion, NoChampionError
from trainings import PROGRAMS, LimitReachedError, Trainings, interpreter

TRAINING_ENVIRONMENT = dict(os.environ)
"""Trainings keep MLflow's defaults: they wait four minutes for a server that is away."""

# A person waits for these responses: fail after 12 s instead.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
if endpoint := os.environ.get("AWS_S3_ENDPOINT_URL"):  # the service has this one, MLflow's client reads the other
    os.environ.setdefault("MLFLOW_S3_ENDPOINT_URL", endpoint)

EXPERIMENT = os.environ.get("MLFLOW_EXPERIMENT_NAME", "detector")
MODEL = os.environ.get("MODEL_NAME", "detector")
PASSWORD = os.environ.get("BACKEND_PASSWORD", "")
ENABLED = os.environ.get("TRAININGS", "digits").split(",")
TRAININGS_LIMIT = int(os.environ.get("TRAININGS_LIMIT", "2"))
STREAMS_LIMIT = int(os.environ.get("STREAMS_LIMIT", "20"))
POLL_INTERVAL_S = 1.0
MAX_RUNS = 50
MAX_KEYS = 20
MAX_POINTS = 1000
MAX_BODY_BYTES = 1 << 20

if unknown := [name for name in ENABLED if name not in PROGRAMS]:
    raise SystemExit(f"Unknown training in TRAININGS: {', '.join(unknown)}. Use any of {', '.join(PROGRAMS)}.")

client = MlflowClient()
trainings = Trainings(
    client, TRAINING_ENVIRONMENT | {"MLFLOW_EXPERIMENT_NAME": EXPERIMENT}, interpreter(), TRAININGS_LIMIT
)
champion = Champion(client, MODEL)
streams = 0
login = HTTPBasic(auto_error=False)

RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
MetricKey = Annotated[str, Field(pattern=r"^[\w][\w./ -]{0,99}$")]
Pixel = Annotated[float, Field(ge=0, le=16)]
Image = Annotated[list[Pixel], Field(min_length=64, max_length=64)]


class TrainingOptions(BaseModel):
    training: str = "digits"
    epochs: int = Field(30, ge=1, le=500)
    learning_rate: float = Field(0.0003, gt=0, le=1)


class Images(BaseModel):
    """8 x 8 pixels from 0 to 16, row by row."""

    images: list[Image] = Field(min_length=1, max_length=100)


def authorize(request: Request, given: Annotated[HTTPBasicCredentials | None, Depends(login)]) -> None:
    """Require BACKEND_PASSWORD. Without one, serve this machine only."""
    if not PASSWORD:
        host = request.client.host if request.client else ""
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise HTTPException(403, "Set BACKEND_PASSWORD: without it, only this machine may use the backend.")
    elif given is None or not secrets.compare_digest(given.password.encode(), PASSWORD.encode()):
        raise HTTPException(401, "Wrong password.", {"WWW-Authenticate": 'Basic realm="backend"'})


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    trainings.open()
    yield
    await run_in_threadpool(trainings.close)


app = FastAPI(title="Backend", lifespan=lifespan)
api = APIRouter(dependencies=[Depends(authorize)])


@app.middleware("http")
async def check_request(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Reject large bodies, and changes that a page of another site requests: the browser would add the password."""
    if request.method == "POST":
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return JSONResponse({"detail": "Requests from other sites are not allowed."}, 403)
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return JSONResponse({"detail": f"Send a body of at most {MAX_BODY_BYTES} bytes, with its length."}, 413)
    return await call_next(request)


@app.exception_handler(MlflowException)
async def report_tracking_error(_: Request, error: MlflowException) -> JSONResponse:
    """Pass on what is wrong with the request. Everything else is a failure of the server behind."""
    # A server with login does not reveal whether something exists that the token may not read.
    known = {"RESOURCE_DOES_NOT_EXIST": 404, "PERMISSION_DENIED": 404, "INVALID_PARAMETER_VALUE": 400}
    status = known.get(error.error_code, 502)
    return JSONResponse({"detail": error.message.split("\n")[0][:500]}, status)


@app.exception_handler(NoChampionError)
async def report_no_champion(_: Request, __: NoChampionError) -> JSONResponse:
    return JSONResponse({"detail": f"No version of {MODEL} has the alias champion yet: run a training."}, 404)


@api.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


@app.get("/health", include_in_schema=False)
async def health() -> dict[str, str]:
    return {"status": "ok"}


@api.get("/api/trainings")
def list_trainings() -> list[str]:
    return ENABLED


@api.post("/api/trainings", status_code=201)
def start_training(options: TrainingOptions) -> dict[str, str]:
    if options.training not in ENABLED:
        raise HTTPException(404, f"No such training. Use one of {', '.join(ENABLED)}.")
    given = {"epochs": options.epochs, "learning_rate": options.learning_rate}
    try:
        return {"run_id": trainings.start(options.training, experiment_id(), given)}
    except LimitReachedError:
        raise HTTPException(429, f"{TRAININGS_LIMIT} trainings are running. Wait for one, or stop it.") from None


@api.post("/api/runs/{run_id}/stop", status_code=202)
def stop_training(run_id: RunId) -> dict[str, str]:
    if not trainings.stop(run_id):
        raise HTTPException(404, "This backend has no process of that run.")
    return {"run_id": run_id}


@api.get("/api/runs")
def list_runs(limit: Annotated[int, Query(ge=1, le=MAX_RUNS)] = 20) -> list[dict[str, Any]]:
    return [summary(run) for run in client.search_runs([experiment_id()], max_results=limit)]


@api.get("/api/runs/best")
def find_best_run(metric: MetricKey = "val_accuracy", mode: Literal["max", "min"] = "max") -> dict[str, Any]:
    """Return the finished run with the highest or lowest last value of a metric."""
    order = f"metrics.`{metric}` {'DESC' if mode == 'max' else 'ASC'}"
    runs = client.search_runs([experiment_id()], "status = 'FINISHED'", order_by=[order], max_results=1)
    if not runs or metric not in runs[0].data.metrics:  # runs without the metric come last
        raise HTTPException(404, f"No finished run has the metric {metric}.")
    return summary(runs[0])


@api.get("/api/runs/compare")
def compare_runs(run_id: Annotated[list[RunId], Query(min_length=2, max_length=10)]) -> dict[str, Any]:
    """Return the params that differ, and all metrics, by run."""
    runs = [client.get_run(one) for one in run_id]
    keys = sorted({key for run in runs for key in run.data.params})
    differing = [key for key in keys if len({run.data.params.get(key) for run in runs}) > 1]
    return {
        "params": {key: {run.info.run_id: run.data.params.get(key) for run in runs} for key in differing},
        "metrics": {
            key: {run.info.run_id: run.data.metrics.get(key) for run in runs}
            for key in sorted({key for run in runs for key in run.data.metrics})
        },
    }


@api.get("/api/runs/{run_id}/events")
async def follow_run(run_id: RunId) -> StreamingResponse:
    """Send the metrics of a run as they are logged (server-sent events), and its status at the end."""
    if streams >= STREAMS_LIMIT:
        raise HTTPException(503, f"{STREAMS_LIMIT} pages follow runs already. Close one.")
    await run_in_threadpool(client.get_run, run_id)  # reports an unknown run as 404
    return StreamingResponse(
        events(run_id), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def events(run_id: str) -> AsyncIterator[str]:
    global streams
    streams += 1
    try:
        shown: dict[str, float] = {}
        counts: dict[str, int] = {}
        while True:
            try:
                status, points = await run_in_threadpool(new_points, run_id, shown, counts)
            except MlflowException:
                yield ": the tracking server is away\n\n"
            else:
                yield event("metrics", points) if points else ": nothing new\n\n"
                if status not in ("RUNNING", "SCHEDULED"):
                    yield event("end", {"status": status})
                    return
            await asyncio.sleep(POLL_INTERVAL_S)
    finally:  # also if the page is closed
        streams -= 1


def event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def new_points(run_id: str, shown: dict[str, float], counts: dict[str, int]) -> tuple[str, list[dict[str, Any]]]:
    """Return the status of a run, and its points since the last call, which `shown` and `counts` describe.

    One request reports the latest value of every metric. Only a metric that changed costs another one, and at the end
    all of them, because a value may have been logged twice in a row.
    """
    run = client.get_run(run_id)
    has_ended = run.info.status not in ("RUNNING", "SCHEDULED")
    points = []
    for key in sorted(key for key in run.data.metrics if not key.startswith("system/"))[:MAX_KEYS]:
        if shown.get(key) == run.data.metrics[key] and not has_ended:
            continue
        history = sorted(client.get_metric_history(run_id, key), key=lambda metric: (metric.timestamp, metric.step))
        new = history[counts.get(key, 0) :][-MAX_POINTS:]
        points += [{"key": key, "step": metric.step, "value": finite(metric.value)} for metric in new]
        shown[key], counts[key] = run.data.metrics[key], len(history)
    return run.info.status, points


@api.get("/api/champion")
def get_champion() -> dict[str, Any]:
    """Return the version with the alias champion, and a link to each file of its model."""
    return champion.describe()


@api.get("/api/champion/files/{path:path}", include_in_schema=False)
def download(path: str) -> StreamingResponse:
    """Send a file of the model that is stored behind the tracking server."""
    size, chunks = champion.open(path)
    name = path.rpartition("/")[2]
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"} | (
        {"Content-Length": size} if size else {}
    )
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)


@api.post("/api/champion/predict")
def predict(body: Images) -> dict[str, Any]:
    version, predictions = champion.predict(body.images)
    return {"version": version, "predictions": predictions}


def experiment_id() -> str:
    """Return the id of the experiment, which is created at the first use."""
    return str(mlflow.set_experiment(EXPERIMENT).experiment_id)


def summary(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "started": run.info.start_time,
        "ended": run.info.end_time,
        "training": run.data.tags.get("training"),
        "exit_code": run.data.tags.get("exit_code"),
        "params": run.data.params,
        "metrics": {key: finite(value) for key, value in run.data.metrics.items()},
    }


def finite(value: float) -> float | None:
    """Return None for NaN and infinities, which JSON does not have."""
    return value if abs(value) < float("inf") else None


app.include_router(api)
