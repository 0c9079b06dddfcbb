"""Limits of a JSON text, checked before it is decoded: its depth and its number of values.

The check only calls functions of bytes, which take 1.5 ns a byte. Python's recursion limit, which decoders rely on,
stops at about 990 levels, and too late: what is decoded within it fails when it is walked or encoded.
"""

import json
import re
from typing import Any

DEPTH_LIMIT = 100
"""Nested arrays and objects, as in protobuf's parsers. A text with so many levels is invalid."""
VALUES_LIMIT = 50_000
"""Names and values: an upload of 10,000 parts has 30,000, a batch of 1,000 metrics 8,000 at most."""

TOO_DEEP = f"The JSON is nested {DEPTH_LIMIT} levels deep or deeper."
TOO_MANY = "The JSON has more than {} names and values."

_BRACKETS_COMMAS_QUOTES = b'[]{},"'
_OTHERS = bytes(set(range(256)) - set(_BRACKETS_COMMAS_QUOTES))
_BRACES_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
_BACKSLASH = ord("\\")  # Python finds a number in bytes ten times faster
_STRING = re.compile(rb'"[^"]*"')


class JsonLimitError(ValueError):
    """The text exceeds a limit."""


def check_json_limits(text: bytes, values_limit: int = VALUES_LIMIT) -> None:
    """Raise JsonLimitError if the JSON exceeds a limit. What is not valid JSON may or may not raise it."""
    if len(text) < 2 * DEPTH_LIMIT:
        return
    if _BACKSLASH in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = text.translate(_BRACES_TO_BRACKETS, _OTHERS)
    if len(structure) > values_limit and structure.count(b'"') > 4 * values_limit:  # two for a name, two for its value
        raise JsonLimitError(TOO_MANY.format(values_limit))
    # Of a string without brackets and commas, only its quotes are left. If there is any other string, a quote remains.
    outside_strings = structure.replace(b'""', b"")
    if b'"' in outside_strings:
        outside_strings = _STRING.sub(b"", structure)
    brackets = outside_strings.replace(b",", b"")
    if len(outside_strings) - len(brackets) // 2 > values_limit:  # a comma, or a pair of brackets, for each value
        raise JsonLimitError(TOO_MANY.format(values_limit))
    for _ in range(DEPTH_LIMIT - 1):  # each turn removes the innermost level
        inner = len(brackets)
        brackets = brackets.replace(b"[]", b"")
        if len(brackets) == inner:
            break
    else:
        if brackets:
            raise JsonLimitError(TOO_DEEP)


def load_limited_json(text: str) -> Any:
    """Return the value of a JSON text. Raise ValueError if it is invalid or exceeds a limit."""
    check_json_limits(text.encode())
    try:
        return json.loads(text)
    except RecursionError:  # invalid, or the limits would have rejected it
        raise JsonLimitError(TOO_DEEP) from None
