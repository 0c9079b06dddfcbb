"""Named SQL parameters: which text is a parameter, and that both engines run the compiled statement."""

import pytest

from railtrack.db import Db
from railtrack.db.sql import bind


def test_names_become_numbers_in_the_order_of_their_first_use() -> None:
    sql = "UPDATE runs SET name = :name, end_time = :end_time WHERE run_uuid = :run_id"
    assert bind(sql, run_id="r", end_time=5, name="n") == (
        "UPDATE runs SET name = $1, end_time = $2 WHERE run_uuid = $3",
        "n",
        5,
        "r",
    )


def test_a_repeated_name_is_one_parameter() -> None:
    assert bind("VALUES (:now, CAST(:now AS BIGINT), :other)", now=1, other=2) == (
        "VALUES ($1, CAST($1 AS BIGINT), $2)",
        1,
        2,
    )


@pytest.mark.parametrize(
    "text",
    [
        "':name'",
        "'it''s :name'",
        '":name"',
        '"a "":name"""',
        "value::text",
        "value :: text",
        "'a'::text",
        "data ->> '$.a:b'",
        "data #>> '{a:b, :name}'",
        "-- why :name\n",
        "/* :name\n:name */",
        "$$ :name $$",
        "$tag$ :name $$ :name $tag$",
        "list[1:name]",
        "list[low:high]",
        "list[f(low)]",
        "matrix[low][low:high]",
        "12:30",
        "a := 1",
        "x : y",
        ":Name",
    ],
)
def test_other_colons_stay_as_they_are(text: str) -> None:
    assert bind(f"SELECT {text}") == (f"SELECT {text}",)
    assert bind(f"SELECT {text} , :name", name=1) == (f"SELECT {text} , $1", 1)


@pytest.mark.parametrize(
    ("text", "compiled"),
    [
        ("= ANY(:name)", "= ANY($1)"),
        ("(:name,:name)", "($1,$1)"),
        (":name::text", "$1::text"),
        ("''||:name||'x:name'", "''||$1||'x:name'"),
        ("ARRAY[:name]", "ARRAY[$1]"),
        ("-:name", "-$1"),
        (":name--:name", "$1--:name"),
    ],
)
def test_a_parameter_is_found_beside_any_other_text(text: str, compiled: str) -> None:
    assert bind(text, name=1) == (compiled, 1)


@pytest.mark.parametrize("values", [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 3}])
def test_values_that_do_not_match_the_parameters_are_rejected(values: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"\['a', 'b'\]"):
        bind("SELECT :a, :b", **values)


def test_numbered_parameters_are_rejected_except_inside_of_literals() -> None:
    with pytest.raises(ValueError, match=r"\$1"):
        bind("SELECT :a, $1", a=1)
    assert bind("SELECT :a, '$1'", a=1) == ("SELECT $1, '$1'", 1)


async def test_both_engines_run_a_compiled_statement(db: Db) -> None:
    insert = "INSERT INTO runs (run_uuid, name, user_id, experiment_id) VALUES (:run_id, :name, :name, 0)"
    for run_id in "abc":
        assert await db.execute(*bind(insert, run_id=run_id, name=f"{run_id}:name")) == 1
    select = "SELECT name, user_id FROM runs WHERE run_uuid = ANY(:run_ids) AND name <> ':x' ORDER BY name"
    found = await db.fetch(*bind(select, run_ids=["a", "c"]))
    assert [tuple(row) for row in found] == [("a:name", "a:name"), ("c:name", "c:name")]
