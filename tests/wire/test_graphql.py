"""The GraphQL executor: how fields are read from structs, and which errors become messages in a response."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.servers.processes import until

from railtrack.db import Conflict
from railtrack.errors import ApiError, invalid, not_processed, unavailable
from railtrack.wire import graphql
from railtrack.wire.graphql import HEAVY_COST, ITEMS_AT_ONCE, GraphQLExecutor, GraphQLResponse
from railtrack.wire.turns import in_turn

SCHEMA = """
scalar LongString
enum State { NEW OLD }
type Query { thing: Thing things: [Thing!] }
type Thing {
    name: String endTime: LongString ratio: Float size: Int isNew: Boolean state: State words: [String]
    parts: [Part!] first: Part owner: Owner
}
type Part { key: String! value: Float }
type Owner { name: String }
"""
QUERY = "{ thing { name endTime ratio size isNew state words parts { key value } first { key value } } }"
PARTS = [{"key": "a"}, {"key": "b"}]


def thing(**changes: Any) -> SimpleNamespace:
    parts = [SimpleNamespace(key="a", value=0.5), SimpleNamespace(key="b", value="NaN")]
    fields = {"name": "größe", "end_time": 2**53 + 1, "ratio": 1e22, "size": 3, "is_new": True, "state": "OLD"}
    return SimpleNamespace(**fields | {"words": ["x", None], "parts": parts, "first": parts[0]} | changes)


async def execute(query: str, source: Any, owner: Any = None) -> GraphQLResponse:
    async def resolve_thing(_context: None, _source: None) -> Any:
        if isinstance(source, Exception):
            raise source
        return source

    async def resolve_things(_context: None, _source: None) -> Any:
        return [source, thing()]

    async def resolve_owner(_context: None, _source: Any) -> Any:
        return owner

    resolvers = {"Query.thing": resolve_thing, "Query.things": resolve_things, "Thing.owner": resolve_owner}
    return await GraphQLExecutor(SCHEMA, resolvers).execute(None, query, {}, None)


async def test_fields_are_read_from_attributes_in_snake_case() -> None:
    response = await execute(QUERY, thing())
    parts = [{"key": "a", "value": 0.5}, {"key": "b", "value": None}]
    expected = {"name": "größe", "endTime": "9007199254740993", "ratio": 1e22, "size": 3, "isNew": True, "state": "OLD"}
    assert response.data == {"thing": {**expected, "words": ["x", None], "parts": parts, "first": parts[0]}}
    assert response.errors is None


UNSET = dict.fromkeys(["ratio", "size", "isNew", "state", "first"]) | {
    "name": "",
    "endTime": "0",
    "words": [],
    "parts": [],
}


@pytest.mark.parametrize("source", [SimpleNamespace(), thing(**dict.fromkeys(vars(thing())))], ids=["absent", "None"])
async def test_an_unset_field_has_protobufs_default(source: Any) -> None:
    assert await execute(QUERY, source) == GraphQLResponse({"thing": UNSET})


@pytest.mark.parametrize("number", ["NaN", float("nan"), float("inf"), -float("inf")])
async def test_a_number_that_json_does_not_have_is_null(number: Any) -> None:
    query = "{ thing { ratio first { value } } }"
    source = thing(ratio=number, first=SimpleNamespace(key="a", value=number))
    assert await execute(query, source) == GraphQLResponse({"thing": {"ratio": None, "first": {"value": None}}})


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"state": "LOST"}, "state", "Enum 'State' cannot represent value: 'LOST'"),
        ({"size": 2**40}, "size", "Int cannot represent non 32-bit signed integer value: 1099511627776"),
        ({"words": 7}, "words", "Expected Iterable, but did not find one for field 'Thing.words'."),
    ],
)
async def test_a_value_that_its_type_does_not_have_is_null_beside_an_error(
    changes: dict[str, Any], field: str, message: str
) -> None:
    response = await execute(f"{{ thing {{ name {field} }} }}", thing(**changes))
    assert response == GraphQLResponse({"thing": {"name": "größe", field: None}}, [message])


async def test_resolvers_run_inside_of_lists() -> None:
    response = await execute("{ things { name owner { name } } }", thing(name="a"), SimpleNamespace(name="b"))
    owner = {"name": "b"}
    assert response.data == {"things": [{"name": "a", "owner": owner}, {"name": "größe", "owner": owner}]}


async def test_long_lists_are_completed_in_slices_with_all_their_items(monkeypatch: pytest.MonkeyPatch) -> None:
    slices: list[int] = []

    async def counted(step: Any, *args: Any) -> Any:
        slices.append(len(args[-1]) if isinstance(args[-1], list) else 0)
        return await in_turn(step, *args)

    monkeypatch.setattr(graphql, "in_turn", counted)
    parts = [SimpleNamespace(key=str(number), value=number) for number in range(2 * ITEMS_AT_ONCE + 1)]
    response = await execute("{ things { name parts { key } owner { name } } }", thing(parts=parts))
    assert response.errors is None
    assert [each["name"] for each in response.data["things"]] == ["größe"] * 2
    assert response.data["things"][0]["parts"] == [{"key": part.key} for part in parts]
    assert slices == [0, 1, ITEMS_AT_ONCE, ITEMS_AT_ONCE, 1, 1]  # the query, the first thing, its parts, the second


async def test_an_error_inside_of_a_slice_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [SimpleNamespace(key=str(number), value=number) for number in range(2 * ITEMS_AT_ONCE)]
    parts[-1].key = {}
    response = await execute("{ things { name parts { key } } }", thing(parts=parts))
    assert response.data == {"things": [{"name": "größe", "parts": None}, {"name": "größe", "parts": PARTS}]}
    assert response.errors == ["String cannot represent value: {}"]


async def test_a_response_with_too_many_items_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql, "ITEMS_LIMIT", 100)
    response = await execute("{ thing { name words } }", thing(words=["x"] * 101))
    assert response.data == {"thing": {"name": "größe", "words": None}}
    assert response.errors == ["The response has more than 100 items. Use the REST API, which has pages."]


async def test_an_error_that_the_query_is_to_blame_for_is_a_message() -> None:
    assert await execute(QUERY, invalid("Wrong id.")) == GraphQLResponse({"thing": None}, ["Wrong id."])


@pytest.mark.parametrize(
    "error",
    [not_processed("No database."), unavailable("Lost."), Conflict("deadlock"), KeyError("x")],
    ids=["429", "503", "conflict", "bug"],
)
async def test_an_error_that_the_query_is_not_to_blame_for_reaches_the_dispatcher(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        await execute(QUERY, error)
    assert caught.value is error


async def test_heavy_queries_are_executed_one_at_a_time_and_do_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running: list[str] = []
    most = 0
    done = asyncio.Event()

    async def resolve_things(_context: None, _source: None) -> Any:
        nonlocal most
        running.append("things")
        most = max(most, len(running))
        await done.wait()
        running.pop()
        return [thing()]

    async def resolve_thing(_context: None, _source: None) -> Any:
        return thing()

    resolvers = {"Query.things": resolve_things, "Query.thing": resolve_thing}
    executor = GraphQLExecutor(SCHEMA, resolvers, {"Query.things": HEAVY_COST})
    heavy = [asyncio.create_task(executor.execute(None, "{ things { name } }", {}, None)) for _ in range(3)]
    await until(lambda: running)
    assert (await executor.execute(None, "{ thing { name } }", {}, None)).data == {"thing": {"name": "größe"}}
    monkeypatch.setattr(graphql, "HEAVY_TIMEOUT_S", 0.01)
    with pytest.raises(ApiError, match="queries for many runs") as caught:
        await executor.execute(None, "{ things { name } }", {}, None)
    assert caught.value.status == 429
    done.set()
    for response in await asyncio.gather(*heavy):
        assert response.data == {"things": [{"name": "größe"}]}
    assert most == 1
