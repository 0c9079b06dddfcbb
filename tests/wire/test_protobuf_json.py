"""The JSON rules of protobuf and MLflow's complaints, on a struct that has a field of every kind."""

import math
from enum import Enum
from typing import Any, ClassVar

import msgspec
import pytest

from railtrack.errors import ApiError
from railtrack.wire.protobuf_json import convert, convert_query, json_object, reject_nul
from railtrack.wire.request import Int32, Int64, Request, RequiredStr


class Colour(Enum):
    RED = "RED"
    BLUE = "BLUE"


class Part(msgspec.Struct):
    key: RequiredStr
    size: float = 0.0


class Thing(Request):
    ALIASES: ClassVar = {"title": "name"}

    name: RequiredStr
    amount: Int64 = 0
    small: Int32 = 0
    ratio: float = 0.0
    fresh: bool = False
    colour: Colour | None = None
    note: str | None = None
    parts: list[Part] = []
    labels: list[str] = []


def made(**fields: Any) -> Thing:
    return convert({"name": "n", **fields}, Thing)


def complaint(**fields: Any) -> str:
    with pytest.raises(ApiError) as caught:
        made(**fields)
    assert caught.value.code == "INVALID_PARAMETER_VALUE"
    return caught.value.message


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (5, 5),
        ("5", 5),
        ("-7", -7),
        (5.0, 5),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
        ("1e+05", 100_000),
        ("1.7e+12", 1_700_000_000_000),
        ("1E5", 100_000),
        ("100.0", 100),
        ("5.", 5),
        ("-1e3", -1000),
        (1e5, 100_000),
    ],
)
def test_int64_is_a_number_or_its_text(given: Any, number: int) -> None:
    assert made(amount=given).amount == number


@pytest.mark.parametrize(
    "given",
    [
        1.5,
        "x",
        "",
        " 5",
        "1.5",
        "1e-3",
        "1e19",
        "1e999",
        "nan",
        "0x5",
        True,
        [5],
        {},
        2**63,
        str(2**63),
        "9" * 5000,
        math.inf,
    ],
)
def test_an_invalid_int64_is_rejected(given: Any) -> None:
    assert "for parameter 'amount' supplied:" in complaint(amount=given)


def test_int32_has_its_own_bounds() -> None:
    assert made(small=2**31 - 1).small == 2**31 - 1
    assert made(small="2.147483647e9").small == 2**31 - 1
    assert "for parameter 'small'" in complaint(small="2.147483648e9")
    assert "for parameter 'small'" in complaint(small=2**31)


@pytest.mark.parametrize(
    ("given", "number"),
    [(1, 1.0), ("1.5", 1.5), ("-2e3", -2000.0), ("Infinity", math.inf), ("-Infinity", -math.inf), ("-inf", -math.inf)],
)
def test_a_double_is_a_number_or_its_text(given: Any, number: float) -> None:
    assert made(ratio=given).ratio == number


def test_nan_is_written_as_a_word() -> None:
    assert math.isnan(made(ratio="NaN").ratio)


@pytest.mark.parametrize("given", ["x", "", "1_000", "\u0661", [1], {"a": 1}])
def test_an_invalid_double_is_rejected(given: Any) -> None:
    assert "for parameter 'ratio' supplied:" in complaint(ratio=given)


def test_null_is_absence() -> None:
    thing = made(amount=None, colour=None, note=None, parts=None)
    assert (thing.amount, thing.colour, thing.note, thing.parts) == (0, None, None, [])


def test_unknown_fields_are_ignored() -> None:
    assert made(surprise=1).name == "n"


def test_an_alias_stands_for_its_field() -> None:
    assert convert({"title": "t"}, Thing).name == "t"


@pytest.mark.parametrize("data", [{}, {"name": None}, {"name": ""}])
def test_a_required_field_that_is_missing_null_or_empty_is_named(data: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match=r"^Missing value for required parameter 'name'\. See the API docs"):
        convert(data, Thing)


@pytest.mark.parametrize(("given", "colour"), [("BLUE", Colour.BLUE), (1, Colour.RED), ("2", Colour.BLUE)])
def test_an_enum_is_a_name_or_its_number(given: Any, colour: Colour) -> None:
    assert made(colour=given).colour is colour


@pytest.mark.parametrize("given", ["GREEN", 0, 3, True, 1.5])
def test_an_invalid_enum_value_is_rejected(given: Any) -> None:
    assert "for parameter 'colour'" in complaint(colour=given)


def test_a_wrong_type_gets_mlflows_message() -> None:
    assert complaint(name=3) == (
        "Invalid value 3 for parameter 'name' supplied:  Hint: Value was of type 'int'. "
        "See the API docs for more information about request parameters."
    )


def test_an_error_in_a_list_names_its_field_path() -> None:
    assert "required parameter 'parts[1].key'" in complaint(parts=[{"key": "a"}, {"size": 1}])
    assert "for parameter 'parts[0].size'" in complaint(parts=[{"key": "a", "size": "x"}])
    assert "for parameter 'parts'" in complaint(parts=[3])
    assert "for parameter 'labels'" in complaint(labels=["a", 3])
    assert "for parameter 'parts'" in complaint(parts={"key": "a"})


def test_a_lone_surrogate_is_no_text() -> None:
    assert "for parameter 'note'" in complaint(note="\ud800")


def test_query_values_take_the_type_of_their_field() -> None:
    query = {"name": ["a", "b"], "amount": ["5"], "fresh": ["true"], "labels": ["x", "y"], "colour": ["2"]}
    thing = convert_query(query, Thing)
    assert (thing.name, thing.amount, thing.fresh, thing.labels) == ("a", 5, True, ["x", "y"])
    assert thing.colour is Colour.BLUE


@pytest.mark.parametrize("body", [b"[1]", b"3", b"{", b"\xff", b"nul", b'"x"', b"[" * 100_000, b'{"a":' * 2000])
def test_a_body_that_is_not_a_json_object_is_rejected(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        json_object(body)
    assert caught.value.status == 400


def test_an_empty_body_is_an_empty_object() -> None:
    assert json_object(b"") == {}


def test_a_nul_is_found_wherever_it_hides() -> None:
    for value in ("a\0", ["a", {"b": "\0"}], {"k\0": 1}):
        with pytest.raises(ApiError, match="NUL"):
            reject_nul(value)
    reject_nul({"a": ["\\u0000", 0, None]})
