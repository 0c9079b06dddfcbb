"""The list of steps, and what the steps share: an experiment of their own and a way to expect a refusal."""

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
    """Register a step; clients older than `since` do not have what it uses and report it as left out."""

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
    """A finished run in an experiment of its own; gives its id while it is active."""
    with mlflow.start_run(experiment_id=new_experiment(prefix)) as run:
        yield run.info.run_id


@contextlib.contextmanager
def refused(error_code: str, text: str = "") -> Iterator[None]:
    """The block must raise MLflow's exception with this error code, its message containing `text`."""
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
    """The block must raise with `text` in the message; of which class, clients differ."""
    error = None
    try:
        yield
    except Exception as raised:
        error = raised
    assert error is not None, f"expected an error with {text!r}"
    assert text in str(error), str(error)
