"""Ids as requests spell them: text on the wire, numbers in the database."""

from collections.abc import Sequence

from railtrack.errors import invalid, not_found

INT32 = range(-(2**31), 2**31)
DEFAULT_WORKSPACE = "default"
"""The workspace of everything, unless MLflow's workspaces are enabled, which this server doesn't serve."""


def experiment_number(experiment_id: str) -> int:
    """The number of an experiment. Refuses what is none; one that no column holds names no experiment."""
    number = _number(experiment_id)
    if number not in INT32:
        raise not_found(f"No Experiment with id={experiment_id[:250]} exists")
    return number


def experiment_numbers(experiment_ids: Sequence[str]) -> list[int]:
    """The numbers to search by, without those that no column holds. Refuses what is no number."""
    return [number for number in map(_number, experiment_ids) if number in INT32]


def _number(experiment_id: str) -> int:
    digits = experiment_id.removeprefix("-")
    if not digits.isascii() or not digits.isdigit():
        raise invalid(f"Invalid experiment ID '{experiment_id[:250]}'. Experiment ID must be a valid integer.")
    return int(experiment_id[:20])
