"""What a complete training has, of each example: steps, params, files, and a champion."""

from typing import Any

from tests.examples.site import Site
from tests.examples.training import MODELS, Training

EPOCHS = {"timm": 8, "ultralytics": 10, "huggingface": 8, "lightning": 8}
BATCHES = 30
"""Batches an epoch. Transformers and Lightning count steps in batches, Lightning from 0."""
STEPS = {
    "timm": {name: list(range(8)) for name in ("train/loss", "val/loss", "val/accuracy")},
    "ultralytics": {name: list(range(10)) for name in ("train/box_loss", "val/box_loss", "lr/pg0")}
    # Ultralytics validates the best weights at the end once more.
    | {"metrics/mAP50B": list(range(11))},
    "huggingface": {name: [BATCHES * (n + 1) for n in range(8)] for name in ("loss", "eval_loss", "eval_accuracy")},
    "lightning": {
        name: [BATCHES * (n + 1) - 1 for n in range(8)] for name in ("train/loss", "val/loss", "val/accuracy")
    },
}
"""The steps of the metrics of a complete training."""
PARAMS = {"timm": "lr", "ultralytics": "imgsz", "huggingface": "learning_rate", "lightning": "lr"}
FILES = {
    "timm": {"confusion_matrix.png", "learning_curves.png", "checkpoints", "images"},
    "ultralytics": {"confusion_matrix.png", "results.png", "weights", "checkpoints", "images"},
    "huggingface": {"confusion_matrix.png", "learning_curves.png", "checkpoints", "images"},
    "lightning": {"confusion_matrix.png", "learning_curves.png", "checkpoints", "images"},
}


def missing_parts(training: Training) -> list[str]:
    """Return what the training lacks, over its run and those that continue it."""
    site, name, runs = training.site, training.name, training.runs
    last = runs[-1]
    found = [] if last["info"]["status"] == "FINISHED" else [f"status {last['info']['status']}"]
    found += wrong_steps(name, [site.steps(run) for run in runs])
    if PARAMS[name] not in {param["key"] for param in last["data"].get("params", ())}:
        found.append("params")
    if not any(metric["key"].startswith("system/") for metric in last["data"]["metrics"]):
        found.append("system metrics")
    files = site.artifacts(last["info"]["run_id"])
    found += sorted(FILES[name] - files.keys())
    for folder in {"images", "checkpoints"} & files.keys():
        if not all(site.artifacts(last["info"]["run_id"], folder).values()):
            found.append(f"files in {folder}")
    return found + missing_champion(site, name, last["info"]["run_id"])


def wrong_steps(name: str, of_each_run: list[dict[str, list[int]]]) -> list[str]:
    """Return the metrics that lack a step, or have one twice, over all runs of the training."""
    logged = {key: sorted(step for run in of_each_run for step in run.get(key, ())) for key in STEPS[name]}
    doubled = [
        f"{key} twice: {steps}" for run in of_each_run for key, steps in run.items() if len(steps) != len(set(steps))
    ]
    return [f"{key}: {steps}" for key, steps in logged.items() if steps != STEPS[name][key]] + doubled


def missing_champion(site: Site, name: str, run_id: str) -> list[str]:
    version: dict[str, Any] = site.get("registered-models/alias", name=MODELS[name], alias="champion")["model_version"]
    return [] if version["run_id"] == run_id else [f"champion is of run {version['run_id']}"]
