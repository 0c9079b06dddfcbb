"""Names and lengths of metrics, params, tags and runs: MLflow's rules and messages."""

import posixpath
import re
from collections.abc import Iterable
from functools import lru_cache

from railtrack.errors import invalid, shown

KEY_LIMIT = 250
PARAM_VALUE_LIMIT = 6000
TAG_VALUE_LIMIT = 8000
RUN_NAME_LIMIT = 250
CHECKED_LIMIT = 10_000
"""Characters of a name that is too long which are checked for other faults first, as MLflow does."""

_ALLOWED = re.compile(r"[/\w.\- :]*")


def is_valid_key(key: str) -> bool:
    """Return True for a name that the following functions accept. Error messages take longer to prepare than this."""
    return len(key) <= KEY_LIMIT and not _cached_fault(key)


def check_metric_key(key: str, field_path: str) -> None:
    """`field_path`: the field as the error message names it (`name`, `metrics[3].name`)."""
    _check_key(key, field_path, "Metric name")


def check_param_key(key: str, field_path: str) -> None:
    _check_key(key, field_path, "Param key")


def check_tag_key(key: str, field_path: str) -> None:
    _check_key(key, field_path, field_path)


def _check_key(key: str, field_path: str, noun: str) -> None:
    # A long key is not cached, and what makes it invalid is searched in its beginning.
    if fault := _cached_fault(key) if len(key) <= KEY_LIMIT else _fault(key[:CHECKED_LIMIT]):
        raise invalid(f"Invalid value {shown(key)} for parameter '{field_path}' supplied: {fault}")
    check_length(noun, key, KEY_LIMIT)


def _fault(key: str) -> str:
    """Return what is wrong with a name, or ""."""
    if not _ALLOWED.fullmatch(key):
        return (
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), "
            "colon(:) and slashes (/)."
        )
    resolved = posixpath.normpath(key)
    if resolved != key or resolved == "." or resolved.startswith(("..", "/")):
        return (
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as "
            f"such. This name would resolve to {resolved!r}"
        )
    return ""


_cached_fault = lru_cache(maxsize=4096)(_fault)
"""Most requests use the same few names."""


def check_run_name(name: str) -> None:
    check_length("run_name", name, RUN_NAME_LIMIT)


def check_length(field: str, value: str, limit: int) -> None:
    """Enforce a column's length on both engines: PostgreSQL would reject the value, SQLite would store it."""
    if len(value) > limit:
        raise invalid(f"'{field}' exceeds the maximum length of {limit} characters")


def first_duplicate(keys: Iterable[str]) -> str | None:
    """Return the first key that occurs again, or None."""
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return None
