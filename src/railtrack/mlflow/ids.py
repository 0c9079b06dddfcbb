"""Ids as requests have them: text on the wire, numbers in the database."""

from collections.abc import Iterable, Sequence

from railtrack.errors import invalid, not_found

INT32 = range(-(2**31), 2**31)
DEFAULT_WORKSPACE = "default"
"""The workspace of everything, unless MLflow's workspaces are enabled, which this server doesn't serve."""


def experiment_number(experiment_id: str) -> int:
    """Return the id as a number. Raise if it is not a number, or one that the column cannot hold."""
    number = _number(experiment_id)
    if number not in INT32:
        raise not_found(f"No Experiment with id={experiment_id[:250]} exists")
    return number


def experiment_numbers(experiment_ids: Sequence[str]) -> list[int]:
    """Return the ids as numbers, without those that the column cannot hold. Raise if one is not a number."""
    return [number for number in map(_number, experiment_ids) if number in INT32]


def known_numbers(experiment_ids: Iterable[str]) -> list[int]:
    """Return those of the ids that an experiment can have, as sorted numbers. Grants may name any text."""
    return sorted(
        number for text in experiment_ids if text.isascii() and text.isdigit() and (number := int(text[:20])) in INT32
    )


def _number(experiment_id: str) -> int:
    text = experiment_id.strip()  # what a script reads from a file or a table may have blanks around it
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit():
        raise invalid(f"Invalid experiment ID '{experiment_id[:250]}'. Experiment ID must be a valid integer.")
    return int(text[:20])
