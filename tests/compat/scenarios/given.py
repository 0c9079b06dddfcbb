"""Shared setup of scenarios: an experiment, a run, values of every wrong type. Contains no scenario."""

from collections.abc import Iterator
from typing import Any

from tests.compat.play import Script, get, post

STARTED = 1_700_000_000_000
"""A start time in milliseconds that no server generates, so it stays in the record."""

NOWHERE = "0123456789abcdef0123456789abcdef"
"""A run id that no server generates."""

NOT_A_STRING: dict[str, Any] = {
    "a number": 3,
    "a fraction": 1.5,
    "a boolean": True,
    "a list": ["x"],
    "an object": {"a": 1},
}
NOT_AN_INTEGER: dict[str, Any] = {
    "a word": "soon",
    "an empty text": "",
    "a fraction": 1.5,
    "a boolean": True,
    "a list": [1],
    "an object": {"a": 1},
    "a number over 64 bits": 2**63,
    "a fraction as text": "1.5",
}
NOT_A_NUMBER: dict[str, Any] = {
    "a word": "high",
    "an empty text": "",
    "a boolean": True,
    "a list": [1],
    "an object": {"a": 1},
}
NOT_A_LIST: dict[str, Any] = {
    "a text": "x",
    "a number": 3,
    "an object": {"a": 1},
    "a list of numbers": [1, 2],
    "a list of texts": ["a"],
    "a list with null": [None],
}


def with_each(body: dict[str, Any], field: str, values: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a label and the body for each value of one field."""
    for label, value in values.items():
        yield f"{field} is {label}", {**body, field: value}


def without_each(body: dict[str, Any], *fields: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a label and the body with each field absent, null and empty."""
    for field in fields:
        yield f"no {field}", {k: v for k, v in body.items() if k != field}
        yield f"{field} is null", {**body, field: None}
        yield f"{field} is empty", {**body, field: ""}


def experiment(prefix: str, name: str) -> Script:
    """Create an experiment. Return its id."""
    created = yield post(f"given the experiment {name}", "experiments/create", {"name": prefix + name})
    return created.at("experiment_id")


def run(experiment_id: str, name: str, **fields: Any) -> Script:
    """Create a run with a fixed start time. Return its id."""
    body = {"experiment_id": experiment_id, "run_name": name, "start_time": STARTED, **fields}
    created = yield post(f"given the run {name}", "runs/create", body)
    return created.at("run", "info", "run_id")


def shows(run_id: str, when: str) -> Script:
    """Get a run, to record the effect of earlier requests."""
    yield get(f"the run {when}", "runs/get", {"run_id": run_id})
