"""Queries that ask for too much: each is rejected before the work that its limit bounds."""

from dataclasses import replace

import pytest
from tests.api.graphql.queries import ask, errors
from tests.client import Client, running_app

from railtrack.config.settings import GraphQLSettings, Settings

HINT = "To increase the limit, set the MLFLOW_SERVER_GRAPHQL_MAX_"
DEEP = "{ __schema { types { fields { type" + " { ofType" * 8 + " { name }" + " }" * 12
CIRCLE = "query { ...F } fragment F on Query { ...F }"
TWENTY_TIMES = "fragment {0} on __Schema {{ " + "...{1} " * 20 + "}} "
BOMB = (
    "{ __schema { ...A } } "
    + TWENTY_TIMES.format("A", "B")
    + TWENTY_TIMES.format("B", "C")
    + TWENTY_TIMES.format("C", "D")
    + "fragment D on __Schema { description }"
)
EXPERIMENT = '{{ mlflowGetExperiment(input: {{experimentId: "0"}}) {{ experiment {{ {0} }} }} }} '
ALIASES = EXPERIMENT.format(" ".join(f"a{number}: name" for number in range(11)))
MANY_ALIASES = EXPERIMENT.format(" ".join(f"a{number}:name" for number in range(240)))
REPEATED = EXPERIMENT.format("name " * 100)
OVERLAPPING = EXPERIMENT.format(" ".join(f"...F{number}" for number in range(9))) + " ".join(
    f"fragment F{number} on MlflowExperiment {{ {'name ' * 40} }}" for number in range(9)
)
REPEATED_LEVELS = "{ " + "mlflowGetExperiment { experiment { tags { key } tags { key } tags { key } } } " * 20 + "}"
UNUSED = "{ __typename } fragment F on MlflowExperiment { " + "name " * 500 + "}"
DISTINCT = "{ " + " ".join(f"a{number}" for number in range(501)) + " }"
WITH_CALLS = "{ info { runId } experiment { name } modelVersions { name } }"
SEARCHES = f"{{ a: mlflowSearchRuns {{ runs {WITH_CALLS} }} b: mlflowSearchRuns {{ ...Runs }} }} "
SEARCHES += f"fragment Runs on MlflowSearchRunsResponse {{ runs {WITH_CALLS} }}"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (f"{{ {' '.join(f'a{n}: __typename' for n in range(11))} }}", "at most 10 root fields, got 11"),
        (DEEP, "Query exceeds maximum depth of 10"),
        (CIRCLE, "Query exceeds maximum depth of 10"),
        (BOMB, "Query exceeds maximum"),
        ("{ " + "__typename " * 3000 + "}", "longer than"),
        ("{ " + "a " * 2500 + "}", "tokens"),
        ("{" * 5000, ""),
        ("#" * 15_000 + "\n{ nope }", "Cannot query field 'nope'"),
    ],
    ids=["root fields", "depth", "circle", "fragments", "length", "tokens", "braces", "comment"],
)
async def test_a_query_that_is_too_large_is_rejected(client: Client, query: str, message: str) -> None:
    assert message in (await errors(client, query))[0]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            ALIASES,
            f"GraphQL queries should have at most 10 aliases, got 11 aliases. {HINT}ALIASES environment variable.",
        ),
        (
            MANY_ALIASES,
            f"GraphQL queries should have at most 10 aliases, got 240 aliases. {HINT}ALIASES environment variable.",
        ),
        (REPEATED, "Query exceeds maximum number of repeated fields of 1000"),
        (OVERLAPPING, "Query exceeds maximum number of repeated fields of 1000"),
        (REPEATED_LEVELS, "Query exceeds maximum number of repeated fields of 1000"),
        (UNUSED, "Query exceeds maximum number of repeated fields of 1000"),
        (DISTINCT, "Query exceeds maximum total selections of 500"),
        (SEARCHES, "Query exceeds maximum cost of 20000"),
    ],
    ids=["aliases", "many aliases", "repeated", "overlapping", "levels", "unused", "distinct", "calls"],
)
async def test_a_query_that_takes_long_to_validate_or_execute_is_rejected_before(
    client: Client, monkeypatch: pytest.MonkeyPatch, query: str, message: str
) -> None:
    monkeypatch.setattr("railtrack.wire.graphql.validate", lambda *_: pytest.fail("it was validated"))
    assert await errors(client, query) == [message]


async def test_ten_aliases_are_allowed_however_often_their_fragment_is_used(client: Client) -> None:
    fields = " ".join(f"a{number}: name" for number in range(10))
    query = "{ mlflowGetRun { run { experiment { ...A ...A } } } mlflowGetExperiment { experiment { ...A } } }"
    _, found = await ask(client, f"{query} fragment A on MlflowExperiment {{ {fields} }}")
    assert found
    assert not any("aliases" in message for message in found)


async def test_a_mutation_is_bounded_as_a_query_is(client: Client) -> None:
    fields = " ".join(f"a{number}: mlflowSearchDatasets {{ __typename }}" for number in range(11))
    assert await errors(client, f"mutation {{ {fields} }}") == [
        "GraphQL queries should have at most 10 root fields, got 11 root fields. "
        f"{HINT}ROOT_FIELDS environment variable."
    ]


async def test_aliases_count_in_each_selection_set_and_root_fields_in_all_operations(client: Client) -> None:
    """As in MLflow 3.17.2."""
    six = " ".join(f"a{number}: name" for number in range(6))
    experiments = " ".join(f"e{number}: mlflowGetExperiment {{ experiment {{ {six} }} }}" for number in range(6))
    assert not any("aliases" in message for message in await errors(client, f"{{ {experiments} }}"))
    spread = EXPERIMENT.format(f"{six} ... on MlflowExperiment {{ b: name c: name d: name e: name f: name }}")
    assert "got 11 aliases" in (await errors(client, spread))[0]
    operation = " ".join(f"a{number}: __typename" for number in range(6))
    assert "got 12 root fields" in (await errors(client, f"query A {{ {operation} }} query B {{ {operation} }}"))[0]


async def test_settings_change_the_limits_of_aliases_and_root_fields(settings: Settings) -> None:
    async with running_app(replace(settings, graphql=GraphQLSettings(max_root_fields=1, max_aliases=11))) as client:
        assert not any("aliases" in message for message in (await ask(client, ALIASES))[1] or ())
        assert "at most 1 root fields, got 2" in (await errors(client, "{ __typename a: __typename }"))[0]


async def test_no_setting_lifts_the_limit_of_selections(settings: Settings) -> None:
    limits = GraphQLSettings(max_root_fields=1_000_000, max_aliases=1_000_000)
    async with running_app(replace(settings, graphql=limits)) as client:
        assert await errors(client, DISTINCT) == ["Query exceeds maximum total selections of 500"]
