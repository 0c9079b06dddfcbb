"""Limits of a JSON text: depth and number of values, whatever its strings contain."""

import json
import random
from typing import Any

import pytest

from railtrack.wire.json_limits import DEPTH_LIMIT, VALUES_LIMIT, JsonLimitError, check_json_limits

TOO_DEEP = f"nested {DEPTH_LIMIT} levels"
TOO_MANY = f"more than {VALUES_LIMIT} names and values"


def nested(levels: int, opening: str, closing: str, innermost: str = "") -> bytes:
    return (opening * levels + innermost + closing * levels).encode()


@pytest.mark.parametrize(
    ("opening", "closing", "innermost"),
    [
        ("[", "]", ""),
        ('{"a":', "}", "1"),
        ('{ "a" :\n', "\t}", "null"),
        ('["]", ', ', "["]', "1"),
        ('{"}": "}", "a":', ', "{": "{"}', "1"),
        (r'["\"]", ', r', "[\""]', "1"),
        (r'["\\", "]", ', r', "[", "\\"]', "1"),
        ('["", "[]", ', "]", "1"),
    ],
)
def test_depth_is_counted_outside_of_strings(opening: str, closing: str, innermost: str) -> None:
    check_json_limits(nested(DEPTH_LIMIT - 1, opening, closing, innermost))
    for levels in (DEPTH_LIMIT, DEPTH_LIMIT + 1, 972, 10_000):
        with pytest.raises(JsonLimitError, match=TOO_DEEP):
            check_json_limits(nested(levels, opening, closing, innermost))


TEXTS = ["", "a", "[", "]", '"', "\\", '\\"', '{"', "}", ",", "[]", '"[', ']"\\', "\\\\"]


def random_value(choose: random.Random, levels: int) -> Any:
    """Return a value of so many levels with texts that look like parts of JSON."""
    if levels == 0:
        return choose.choice(TEXTS)
    values: list[Any] = [choose.choice(TEXTS) for _ in range(choose.randrange(3))]
    values.insert(choose.randrange(len(values) + 1), random_value(choose, levels - 1))
    return values if choose.random() < 0.5 else {f"{choose.choice(TEXTS)}{at}": one for at, one in enumerate(values)}


def test_the_depth_of_any_json_is_exact() -> None:
    choose = random.Random(1)
    for _ in range(500):
        levels = choose.randrange(DEPTH_LIMIT - 5, DEPTH_LIMIT + 5)
        value = random_value(choose, levels)
        text = json.dumps(value, ensure_ascii=choose.random() < 0.5, indent=choose.choice([None, 1])).encode()
        if levels < DEPTH_LIMIT:
            check_json_limits(text)
        else:
            with pytest.raises(JsonLimitError, match=TOO_DEEP):
                check_json_limits(text)


@pytest.mark.parametrize("piece", ["1", '"a"', '""', "[]", "{}", '"["', '","', '{"a":""}', '{"a":{}}', r'"\""'])
def test_values_are_counted(piece: str) -> None:
    names_and_values = 1 + piece.count(":") + piece.count("{}")
    check_json_limits(f"[{', '.join([piece] * (VALUES_LIMIT // names_and_values // 2))}]".encode())
    with pytest.raises(JsonLimitError, match=TOO_MANY):
        check_json_limits(f"[{', '.join([piece] * (VALUES_LIMIT + 1))}]".encode())


def test_a_long_text_counts_as_one_value() -> None:
    profile = json.dumps([{"column": number} for number in range(VALUES_LIMIT)])
    check_json_limits(json.dumps({"datasets": [{"dataset": {"profile": profile}}]}).encode())


@pytest.mark.parametrize("text", ["", "]" * 5000, "[" * 90, '"' * 5001, "\\" * 5001, "nonsense" * 100, '["' * 90])
def test_invalid_json_is_left_to_the_decoder(text: str) -> None:
    check_json_limits(text.encode())
