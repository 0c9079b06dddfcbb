"""The demo: a small vision training, made up and logged by MLflow's API as a client would do it.

Nothing is trained. Used by `railtrack demo` over HTTP, and by the web interface's "Start Demo" inside the server.
"""

import json
import math
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from railtrack.clock import now_ms
from railtrack.errors import ApiError
from railtrack.mlflow.prompts import IS_PROMPT_TAG, PROMPT_SOURCES, PROMPT_TEXT_TAG, PROMPT_TYPE_TAG

EXPERIMENT = "Demo: surface defects"
MODEL = "demo-defect-detector"
PROMPT = "demo-describe-defect"
CLASSES = ("scratch", "dent", "stain")
EPOCHS = 30
EPOCH_MS = 20_000
IMAGE_STEPS = (0, 4, 9, 19, 29)
WIDTH, HEIGHT = 160, 120

DESCRIPTION = """Made-up trainings of three models that find defects on metal surfaces, to look around in.

`railtrack demo --delete` removes them."""
PROMPTS = (
    "Describe the defect in this image: {{image}}",
    "You inspect metal surfaces. Name the kind of defect (scratch, dent or stain), and describe in one sentence where "
    "it is: {{image}}",
)


class Training(NamedTuple):
    name: str
    backbone: str
    learning_rate: float
    final_loss: float
    final_map: float


TRAININGS = (
    Training("resnet18-baseline", "resnet18", 0.01, 0.41, 0.71),
    Training("resnet50-longer-warmup", "resnet50", 0.003, 0.27, 0.83),
    Training("convnext-tiny-mixup", "convnext_tiny", 0.001, 0.19, 0.89),
)


class DemoClient(Protocol):
    """Sends requests to a server. Both methods raise ApiError for an error response."""

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send JSON, or the query of a GET, to a path below `/api/2.0/mlflow/`, and return the JSON of the response."""

    async def upload(self, run_id: str, path: str, data: bytes) -> None:
        """Store an artifact of a run."""


async def create_demo(client: DemoClient) -> str:
    """Return the id of the demo's experiment. Create what is missing; a complete demo is left unchanged."""
    experiment = await _experiment(client)
    if experiment is None:
        created = await client.call(
            "POST",
            "experiments/create",
            {"name": EXPERIMENT, "tags": [{"key": "mlflow.note.content", "value": DESCRIPTION}]},
        )
        experiment_id = str(created["experiment_id"])
    else:
        experiment_id = str(experiment["experiment_id"])
        if experiment["lifecycle_stage"] == "deleted":
            await client.call("POST", "experiments/restore", {"experiment_id": experiment_id})
    names = {
        run["info"]["run_name"] for run in await _runs(client, experiment_id) if run["info"]["status"] == "FINISHED"
    }
    for number, training in enumerate(TRAININGS):
        if training.name not in names:
            await _create_run(client, experiment_id, training, number)
    if await _is_missing(client, MODEL):
        await _create_model(client, experiment_id)
    if await _is_missing(client, PROMPT):
        await _create_prompt(client)
    return experiment_id


async def delete_demo(client: DemoClient) -> bool:
    """Delete what create_demo() created. Return False if there was nothing.

    As always with MLflow, the experiment and its runs can be restored; models and prompts are gone.
    """
    has_deleted = False
    for name in (MODEL, PROMPT):
        if not await _is_missing(client, name):
            await client.call("DELETE", "registered-models/delete", {"name": name})
            has_deleted = True
    experiment = await _experiment(client)
    if experiment is not None and experiment["lifecycle_stage"] == "active":
        for run in await _runs(client, experiment["experiment_id"]):
            await client.call("POST", "runs/delete", {"run_id": run["info"]["run_id"]})
        await client.call("POST", "experiments/delete", {"experiment_id": experiment["experiment_id"]})
        has_deleted = True
    return has_deleted


async def _experiment(client: DemoClient) -> dict[str, Any] | None:
    try:
        found = await client.call("GET", "experiments/get-by-name", {"experiment_name": EXPERIMENT})
    except ApiError as error:
        if error.code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    experiment: dict[str, Any] = found["experiment"]
    return experiment


async def _runs(client: DemoClient, experiment_id: str) -> list[dict[str, Any]]:
    body = {"experiment_ids": [experiment_id], "max_results": 100}
    runs: list[dict[str, Any]] = (await client.call("POST", "runs/search", body)).get("runs", [])
    return runs


async def _is_missing(client: DemoClient, model: str) -> bool:
    try:
        await client.call("GET", "registered-models/get", {"name": model})
    except ApiError as error:
        if error.code == "RESOURCE_DOES_NOT_EXIST":
            return True
        raise
    return False


async def _create_run(client: DemoClient, experiment_id: str, training: Training, number: int) -> None:
    """Log a training that ended some hours ago. It is finished last: a run that is not is created again."""
    numbers = random.Random(training.name)  # noqa: S311 (no secret)
    started = now_ms() - (len(TRAININGS) - number) * 3_600_000
    run = await client.call(
        "POST",
        "runs/create",
        {
            "experiment_id": experiment_id,
            "run_name": training.name,
            "start_time": started,
            "tags": [
                {"key": "mlflow.source.name", "value": "train.py"},
                {"key": "mlflow.source.type", "value": "LOCAL"},
                {"key": "mlflow.loggedArtifacts", "value": json.dumps([{"path": "confusion.json", "type": "table"}])},
                {"key": "task", "value": "detection"},
            ],
        },
    )
    run_id = str(run["run"]["info"]["run_id"])
    params = {
        "backbone": training.backbone,
        "epochs": str(EPOCHS),
        "batch_size": "32",
        "image_size": "640",
        "optimizer": "AdamW",
        "learning_rate": str(training.learning_rate),
        "seed": str(number),
    }
    await client.call(
        "POST",
        "runs/log-batch",
        {
            "run_id": run_id,
            "params": [{"key": key, "value": value} for key, value in params.items()],
            "metrics": list(_metrics(training, numbers, started)),
        },
    )
    await client.call("POST", "runs/log-inputs", {"run_id": run_id, "datasets": _datasets()})
    for step in IMAGE_STEPS:
        await _upload_image(client, run_id, training, step, started)
    table = {"columns": ["actual", "predicted", "images"], "data": list(_confusion(training, numbers))}
    await client.upload(run_id, "confusion.json", json.dumps(table).encode())
    await client.upload(run_id, "training.log", "".join(_log_lines(training)).encode())
    await client.upload(run_id, "model/MLmodel", _mlmodel(run_id).encode())
    await client.call(
        "POST",
        "runs/update",
        {"run_id": run_id, "status": "FINISHED", "end_time": started + EPOCHS * EPOCH_MS},
    )


def _metrics(training: Training, numbers: random.Random, started: int) -> Iterator[dict[str, Any]]:
    for step in range(EPOCHS):
        progress = 1 - math.exp(-step / 6)
        loss = training.final_loss + (2.3 - training.final_loss) * (1 - progress)
        values = {
            "train/loss": loss * numbers.uniform(0.94, 1.04),
            "val/loss": (loss + 0.06 * progress) * numbers.uniform(0.95, 1.08),
            "val/mAP50": training.final_map * progress * numbers.uniform(0.97, 1.0),
            "val/recall": min(1.0, (training.final_map + 0.05) * progress * numbers.uniform(0.96, 1.0)),
            "learning_rate": training.learning_rate * (1 + math.cos(math.pi * step / EPOCHS)) / 2,
            "system/cpu_utilization_percentage": numbers.uniform(55, 80),
            "system/system_memory_usage_megabytes": 5200 + 30 * step + numbers.uniform(-40, 40),
        }
        for key, value in values.items():
            yield {"key": key, "value": value, "step": step, "timestamp": started + (step + 1) * EPOCH_MS}


def _datasets() -> list[dict[str, Any]]:
    schema = json.dumps({"mlflow_colspec": [{"name": "image", "type": "binary"}, {"name": "defect", "type": "string"}]})
    return [
        {
            "dataset": {
                "name": f"surfaces-{context}",
                "digest": f"{zlib.crc32(context.encode()):08x}",
                "source_type": "local",
                "source": json.dumps({"uri": f"data/{context}"}),
                "schema": schema,
                "profile": json.dumps({"num_rows": images}),
            },
            "tags": [{"key": "mlflow.data.context", "value": context}],
        }
        for context, images in (("train", 1800), ("validation", 300))
    ]


def _confusion(training: Training, numbers: random.Random) -> Iterator[list[Any]]:
    for actual in CLASSES:
        correct = round(100 * training.final_map)
        first = numbers.randint(0, 100 - correct)
        wrong = iter((first, 100 - correct - first))
        for predicted in CLASSES:
            yield [actual, predicted, correct if predicted == actual else next(wrong)]


def _log_lines(training: Training) -> Iterator[str]:
    yield f"backbone {training.backbone}, {EPOCHS} epochs, learning rate {training.learning_rate}\n"
    for step in range(EPOCHS):
        yield f"epoch {step + 1}/{EPOCHS}: checkpoint saved\n"


def _mlmodel(run_id: str) -> str:
    return f"artifact_path: model\nflavors: {{}}\nrun_id: {run_id}\n"


async def _create_model(client: DemoClient, experiment_id: str) -> None:
    """Register the model of each run, the best one as champion."""
    description = "Finds scratches, dents and stains. Made up for the demo."
    await client.call("POST", "registered-models/create", {"name": MODEL, "description": description})
    runs = {run["info"]["run_name"]: run["info"] for run in await _runs(client, experiment_id)}
    for training in TRAININGS:
        run = runs[training.name]
        version = await client.call(
            "POST",
            "model-versions/create",
            {
                "name": MODEL,
                "source": f"{run['artifact_uri']}/model",
                "run_id": run["run_id"],
                "tags": [{"key": "val_mAP50", "value": str(training.final_map)}],
            },
        )
    champion = version["model_version"]["version"]
    for alias, number in (("champion", champion), ("previous", str(int(champion) - 1))):
        await client.call("POST", "registered-models/alias", {"name": MODEL, "alias": alias, "version": number})


async def _create_prompt(client: DemoClient) -> None:
    is_prompt = {"key": IS_PROMPT_TAG, "value": "true"}
    await client.call("POST", "registered-models/create", {"name": PROMPT, "tags": [is_prompt]})
    for number, text in enumerate(PROMPTS):
        tags = [is_prompt, {"key": PROMPT_TEXT_TAG, "value": text}, {"key": PROMPT_TYPE_TAG, "value": "text"}]
        description = ("First version", "Name the kind of the defect")[number]
        body = {"name": PROMPT, "source": min(PROMPT_SOURCES), "description": description, "tags": tags}
        await client.call("POST", "model-versions/create", body)


async def _upload_image(client: DemoClient, run_id: str, training: Training, step: int, started: int) -> None:
    """Upload an image under the two names that `mlflow.log_image` gives it.

    The second one is a smaller copy for the grid of images. It is the same PNG here: browsers detect the format of an
    image by its first bytes, and an encoder for WebP would be a dependency for this alone.
    """
    image = _png(_surface(training, step))
    identifier = f"{zlib.crc32(f'{training.name} {step}'.encode()):08x}"
    name = f"predictions+step+{step}+timestamp+{started + (step + 1) * EPOCH_MS}+{identifier}"
    for suffix in (".png", "+compressed.webp"):
        await client.upload(run_id, f"images/{name}{suffix}", image)


def _surface(training: Training, step: int) -> list[bytearray]:
    """Return the RGB rows of a metal surface with a scratch, and a box where the model suspects it at this step."""
    numbers = random.Random(step)  # noqa: S311 (no secret)
    rows = [
        bytearray(
            channel
            for x in range(WIDTH)
            for channel in [min(255, 120 + numbers.randrange(24) + int(18 * math.sin(x / 9 + y / 40)))] * 3
        )
        for y in range(HEIGHT)
    ]
    left, top, length = numbers.randrange(25, 60), numbers.randrange(20, 50), 50
    for offset in range(length):
        for thickness in (0, 1):
            _paint(rows, left + offset, top + offset // 2 + thickness, (235, 235, 240))
    # The box comes closer to the defect as the training proceeds.
    error = int(40 * math.exp(-step / 6) * (1.4 - training.final_map))
    box = (left - 6 + error, top - 6 - error // 2, left + length + 6 + error, top + length // 2 + 8 - error // 2)
    for x in range(box[0], box[2] + 1):
        for y in (box[1], box[1] + 1, box[3], box[3] + 1):
            _paint(rows, x, y, (255, 80, 40))
    for y in range(box[1], box[3] + 1):
        for x in (box[0], box[0] + 1, box[2], box[2] + 1):
            _paint(rows, x, y, (255, 80, 40))
    return rows


def _paint(rows: list[bytearray], x: int, y: int, color: tuple[int, int, int]) -> None:
    if 0 <= x < WIDTH and 0 <= y < HEIGHT:
        rows[y][3 * x : 3 * x + 3] = bytes(color)


def _png(rows: list[bytearray]) -> bytes:
    """Encode 8-bit RGB rows (PNG specification, 5: each chunk has a length, a type and a checksum)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    pixels = b"".join(b"\0" + row for row in rows)  # each row begins with the number of its filter: none
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
