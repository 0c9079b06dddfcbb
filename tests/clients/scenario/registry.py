"""The list of steps, and their helpers: new experiments and runs, and expected errors."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:3])


@dataclass(frozen=True)
class Step:
    name: str
    run: Callable[[], None]
    since: tuple[int, ...]


STEPS: list[Step] = []


def step(since: tuple[int, ...] = (0,)) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a step. Clients older than `since` lack its API and report it as left out."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        STEPS.append(Step(function.__name__, function, since))
        return function

    return register


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def new_experiment(prefix: str) -> str:
    return MlflowClient().create_experiment(unique(prefix))


@contextlib.contextmanager
def new_run(prefix: str) -> Iterator[str]:
    """Yield the id of an active run in a new experiment, and finish it afterwards."""
    with mlflow.start_run(experiment_id=new_experiment(prefix)) as run:
        yield run.info.run_id


@contextlib.contextmanager
def rejected(error_code: str, text: str = "") -> Iterator[None]:
    """Check that the block raises MLflow's exception with this error code and `text` in its message."""
    error = None
    try:
        yield
    except MlflowException as raised:
        error = raised
    assert error is not None, f"expected {error_code}, but it was accepted"
    assert error.error_code == error_code, f"{error.error_code}: {error}"
    assert text in str(error), str(error)


@contextlib.contextmanager
def failing(text: str) -> Iterator[None]:
    """Check that the block raises an exception with `text` in its message. Its class differs by client."""
    error = None
    try:
        yield
    except Exception as raised:
        error = raised
    assert error is not None, f"expected an error with {text!r}"
    assert text in str(error), str(error)
