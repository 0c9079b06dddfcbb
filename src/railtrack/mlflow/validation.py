"""What a metric, param, tag or run may be called, and how long it may be; MLflow's rules and words."""

import posixpath
import re
from functools import lru_cache

from railtrack.errors import ApiError, invalid, shown

KEY_LIMIT = 250
PARAM_VALUE_LIMIT = 6000
TAG_VALUE_LIMIT = 8000
RUN_NAME_LIMIT = 250

_ALLOWED = re.compile(r"[/\w.\- :]*")


def check_metric_key(key: str, place: str) -> None:
    """`place`: the field as the complaint names it (`name`, `metrics[3].name`)."""
    _check(key, place, "Metric name")


def check_param_key(key: str, place: str) -> None:
    _check(key, place, "Param key")


def check_tag_key(key: str, place: str) -> None:
    _check(key, place, place)


def _check(key: str, place: str, noun: str) -> None:
    if fault := _fault(key):
        raise _complaint(key, place, fault)
    if len(key) > KEY_LIMIT:
        raise invalid(f"'{noun}' exceeds the maximum length of {KEY_LIMIT} characters")


def _complaint(key: str, place: str, fault: str) -> ApiError:
    return invalid(f"Invalid value {shown(key)} for parameter '{place}' supplied: {fault}")


@lru_cache(maxsize=4096)
def _fault(key: str) -> str:
    """What is wrong with a name, "" for nothing; the same few names come again and again."""
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


def check_run_name(name: str) -> None:
    """The column holds 250 characters; PostgreSQL refuses more, SQLite would not."""
    if len(name) > RUN_NAME_LIMIT:
        raise invalid(f"'run_name' exceeds the maximum length of {RUN_NAME_LIMIT} characters")


def check_length(field: str, value: str, limit: int) -> None:
    """Enforce a column's length on both engines: PostgreSQL would reject the value, SQLite would store it."""
    if len(value) > limit:
        raise invalid(f"'{field}' exceeds the maximum length of {limit} characters")
