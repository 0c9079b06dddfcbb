"""Page tokens: the sort values of the last row sent, and a fingerprint of the query that they belong to.

In another order the same values would mean another position, so a token is valid for its own query only.
"""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from railtrack.errors import ApiError, invalid
from railtrack.search.conditions import INT64
from railtrack.search.fields import SortKey, ValueType

TOKEN_LIMIT = 1_000_000
"""Characters; twenty sort values of 8,000 characters each fit in."""

PART_BYTES = 4
"""A fingerprint begins with digests of the filter and of order_by, to name what differs, and then has one of it all."""

SortValue = str | int | float | None

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, list[SortValue]]).decode


def encode_token(fingerprint: bytes, values: Sequence[SortValue]) -> str:
    """Return the token for the rows after the one with these sort values."""
    return base64.urlsafe_b64encode(_encode((fingerprint, list(values)))).rstrip(b"=").decode()


def decode_token(token: str, fingerprint: bytes, keys: Sequence[SortKey]) -> list[SortValue]:
    """Return the sort values in a token. Raise INVALID_PARAMETER_VALUE for one that was not made for this query."""
    if len(token) > TOKEN_LIMIT:
        raise invalid(f"Invalid page token, it has {len(token)} characters, more than {TOKEN_LIMIT}")
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Invalid page token, could not base64-decode") from None
    try:
        made_for, values = _decode(content)
    except (msgspec.DecodeError, ValueError):
        raise _forged(token) from None
    if made_for != fingerprint:
        raise invalid(f"Invalid page token, it was made for a search with {_difference(made_for, fingerprint)}")
    if len(values) != len(keys) or not all(map(_is_of_type, values, keys)):
        raise _forged(token)
    return values


def _difference(made_for: bytes, fingerprint: bytes) -> str:
    """Name the parameters whose digests differ."""
    differ = [
        name
        for at, name in enumerate(("filter", "order_by"))
        if made_for[at * PART_BYTES : (at + 1) * PART_BYTES] != fingerprint[at * PART_BYTES : (at + 1) * PART_BYTES]
    ]
    return f"another {' and another '.join(differ)}" if differ else "other parameters"


def _forged(token: str) -> ApiError:
    return invalid(f"Invalid page token, it is not one that this server made: '{token[:100]}'")


def _is_of_type(value: SortValue, key: SortKey) -> bool:
    """Return whether the key can have this value; a token can be forged."""
    match value:
        case None:
            return key.nullable
        case str():
            return key.type is ValueType.TEXT and "\0" not in value
        case float():
            return key.type is ValueType.DOUBLE and value == value
        case int():
            return key.type not in (ValueType.TEXT, ValueType.DOUBLE) and value in INT64
