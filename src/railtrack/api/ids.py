"""Ids as requests spell them: text on the wire, numbers in the database."""

from railtrack.errors import invalid, not_found

INT32_MOST = 2**31 - 1


def experiment_number(experiment_id: str) -> int:
    """The number of an experiment. Refuses what is none; one that no column holds names no experiment."""
    if not experiment_id.isascii() or not experiment_id.isdigit():
        raise invalid(f"Invalid experiment ID '{experiment_id[:250]}'. Experiment ID must be a valid integer.")
    number = int(experiment_id[:20])
    if number > INT32_MOST:
        raise not_found(f"No Experiment with id={experiment_id[:250]} exists")
    return number
