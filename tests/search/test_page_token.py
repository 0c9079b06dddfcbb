"""Page tokens: they preserve sort values, and reject what this server did not encode for the same query."""

import base64
from typing import Any

import msgspec
import pytest

from railtrack.errors import ApiError
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page_token import SortValue, decode_token, encode_token

QUERY = b"filtorde8 bytes."
KEYS = (
    SortKey("t.name", ValueType.TEXT, nullable=True),
    SortKey("t.weight", ValueType.DOUBLE, descending=True),
    SortKey("t.id", ValueType.BIGINT),
)


@pytest.mark.parametrize(
    "values",
    [["a", 1.5, 3], [None, -1.7976931348623157e308, 2**63 - 1], ["", float("inf"), -(2**63)], ["é' \" %$1", 0.1, 0]],
)
def test_a_token_preserves_the_exact_values(values: list[SortValue]) -> None:
    assert decode_token(encode_token(QUERY, values), QUERY, KEYS) == values


def test_a_token_is_safe_in_a_url() -> None:
    token = encode_token(QUERY, ["?&=/+ ü" * 20, 1.0, 1])
    assert token.isascii()
    assert set(token) & set("+/=&? %") == set()


def error_message(token: str, keys: tuple[SortKey, ...] = KEYS) -> str:
    with pytest.raises(ApiError) as caught:
        decode_token(token, QUERY, keys)
    assert (caught.value.code, caught.value.status) == ("INVALID_PARAMETER_VALUE", 400)
    assert caught.value.message.startswith("Invalid page token, ")
    return caught.value.message


def test_a_token_of_another_query_is_rejected() -> None:
    for other, difference in (
        (b"filtorde8 others", "other parameters"),
        (b"FILTorde8 bytes.", "another filter"),
        (b"filtORDE8 others", "another order_by"),
        (b"FILTORDE8 others", "another filter and another order_by"),
        (b"8 bytes.", "another filter and another order_by"),
    ):
        message = error_message(encode_token(other, ["a", 1.0, 1]))
        assert message == f"Invalid page token, it was made for a search with {difference}"


@pytest.mark.parametrize("token", ["x", "!!!", "é", "a b", "====", "\ud800"])
def test_a_token_that_is_not_base64_is_rejected(token: str) -> None:
    assert error_message(token) == "Invalid page token, could not base64-decode"


def _token(content: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(content)).decode()


@pytest.mark.parametrize(
    "token",
    [
        "eyJvZmZzZXQiOiAxfQ==",  # MLflow's own, {"offset": 1}
        _token([]),
        _token([QUERY]),
        _token([QUERY, ["a", 1.0]]),
        _token([QUERY, ["a", 1.0, 1, 1]]),
        _token([QUERY, ["a", None, 1]]),
        _token([QUERY, ["a", 1, 1]]),
        _token([QUERY, ["a", float("nan"), 1]]),
        _token([QUERY, ["a", 1.0, "1"]]),
        _token([QUERY, ["a", 1.0, 2**63]]),
        _token([QUERY, [1, 1.0, 1]]),
        _token([QUERY, ["a\0", 1.0, 1]]),
        _token([QUERY, [["a"], 1.0, 1]]),
        _token([QUERY, ["a", 1.0, True]]),
    ],
)
def test_a_forged_token_is_rejected(token: str) -> None:
    assert "not one that this server made" in error_message(token)


def test_a_truncated_token_is_rejected() -> None:
    token = encode_token(QUERY, ["abc", 1.5, 3])
    for length in range(1, len(token)):
        error_message(token[:length])


def test_a_giant_token_is_rejected_without_decoding() -> None:
    assert "more than 1000000" in error_message("A" * 1_000_001)


def test_the_longest_order_fits_into_a_token() -> None:
    keys = (SortKey("t.x", ValueType.TEXT),) * 20
    values: list[SortValue] = ["\U0001f600" * 8000] * 20
    assert decode_token(encode_token(QUERY, values), QUERY, keys) == values
