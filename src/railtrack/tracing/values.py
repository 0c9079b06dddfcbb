"""Rules for values of traces and spans: lengths, and what a column can hold."""

from typing import Any

from railtrack.mlflow.validation import check_length

PREVIEW_LIMIT = 1000
TRACE_NAME_LIMIT = 4096
SESSION_ID_LIMIT = 250
TAG_VALUE_LIMIT = 8000


def check_session_id(session_id: str | None) -> None:
    if session_id is not None:
        check_length("Session ID", session_id, SESSION_ID_LIMIT)


def check_trace_name(name: str | None) -> None:
    if name is not None:
        check_length("Trace name", name, TRACE_NAME_LIMIT)


def storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def finite(value: Any) -> float | None:
    """Return the value as a finite number, or None if it is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def whole(value: Any) -> int | None:
    """Return the value as an integer that a column can hold, or None if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else None
    number = finite(value)
    if number is None or not number.is_integer() or abs(number) >= 2.0**63:
        return None
    return int(number)
