"""Objects that are read at once: the answer, and each complaint, is what the library makes of them field by field."""

from types import SimpleNamespace
from typing import Any

import pytest
from graphql import ExecutionContext

from railtrack.wire import graphql
from railtrack.wire.graphql import Answer, Engine
from railtrack.wire.graphql_data import DataAtOnce

SCHEMA = """
scalar LongString
enum State { NEW OLD }
type Query { thing: Thing things: [Thing!] loose: [Thing] broken: Thing }
type Thing {
    name: String endTime: LongString ratio: Float size: Int isNew: Boolean state: State words: [String]
    parts: [Part!] first: Part owner: Owner
}
type Part { key: String! value: Float }
type Owner { name: String thing: Thing }
"""


def thing(**more: Any) -> SimpleNamespace:
    parts = [SimpleNamespace(key="a", value=0.5), SimpleNamespace(key="b", value="NaN")]
    known = {"name": "größe", "end_time": 2**53 + 1, "ratio": 1e22, "size": 3, "is_new": True, "state": "OLD"}
    return SimpleNamespace(**known | {"words": ["x", None], "parts": parts, "first": parts[0]} | more)


SOURCES = {
    "full": thing(),
    "unset": SimpleNamespace(),
    "null": thing(name=None, end_time=None, ratio=None, words=None, parts=None, first=None, state=None),
    "no number": thing(ratio="NaN", parts=[SimpleNamespace(key="a", value=float("inf"))]),
    "of other types": thing(name=5, size=True, is_new=1),
    "an unknown state": thing(state="LOST"),
    "a number too large": thing(size=2**40),
    "a word that is a list": thing(words=["x", []]),
    "nothing among the parts": thing(parts=[SimpleNamespace(key="a", value=1.0), None]),
    "a part without its key": thing(parts=[SimpleNamespace(key=None, value=1.0)]),
    "parts that are no list": thing(parts=7),
}
ALL = "name endTime ratio size isNew state words parts { key value } first { key value }"
QUERIES = [
    f"{{ thing {{ {ALL} }} }}",
    f"{{ things {{ {ALL} }} }}",
    f"{{ loose {{ {ALL} }} }}",
    f"{{ things {{ {ALL} owner {{ name thing {{ {ALL} }} }} }} }}",
    f"{{ thing {{ owner {{ name }} {ALL} }} }}",
    "{ thing { __typename name parts { __typename key } } }",
    "{ thing { other: name name parts { k: key } } again: thing { words } }",
    "query ($y: Boolean = true) { thing { name @skip(if: $y) size @include(if: $y) parts { key @skip(if: $y) } } }",
    "fragment some on Thing { name parts { key } } { thing { ...some ... on Thing { size parts { value } } } }",
    "{ broken { name } thing { name } }",
]


@pytest.mark.parametrize("source", SOURCES)
async def test_objects_are_read_as_the_library_reads_them(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for query in QUERIES:
        at_once = await answered(query, SOURCES[source], DataAtOnce, monkeypatch)
        by_field = await answered(query, SOURCES[source], ExecutionContext, monkeypatch)
        assert (at_once.data, at_once.errors) == (by_field.data, by_field.errors)


async def answered(query: str, source: Any, execution: type, monkeypatch: pytest.MonkeyPatch) -> Answer:
    async def one(_context: None, _source: None) -> Any:
        return source

    async def two(_context: None, _source: None) -> Any:
        return [source, thing()]

    async def owner(_context: None, _source: Any) -> Any:
        return SimpleNamespace(name="somebody", thing=source)

    async def broken(_context: None, _source: None) -> Any:
        return ValueError("as a value")

    resolvers = {"Query.thing": one, "Query.things": two, "Query.loose": two, "Query.broken": broken}
    monkeypatch.setattr(graphql, "DataAtOnce", execution)
    return await Engine(SCHEMA, {**resolvers, "Thing.owner": owner}).answer(None, query, {}, None)


async def test_a_full_object_is_answered_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await answered(QUERIES[0], SOURCES["full"], DataAtOnce, monkeypatch)
    parts = [{"key": "a", "value": 0.5}, {"key": "b", "value": None}]
    shown = {"name": "größe", "endTime": "9007199254740993", "ratio": 1e22, "size": 3, "isNew": True, "state": "OLD"}
    assert answer.data == {"thing": {**shown, "words": ["x", None], "parts": parts, "first": parts[0]}}
    assert answer.errors is None


async def test_a_value_that_its_type_refuses_is_null_and_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await answered("{ thing { name state } }", SOURCES["an unknown state"], DataAtOnce, monkeypatch)
    assert answer.data == {"thing": {"name": "größe", "state": None}}
    assert answer.errors == ["Enum 'State' cannot represent value: 'LOST'"]
