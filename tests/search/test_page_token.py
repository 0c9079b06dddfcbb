"""Page tokens, and the condition that starts the next page: every walk gives each row once, in order."""

import base64
import contextlib
import sqlite3
from functools import cmp_to_key
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from railtrack.errors import ApiError
from railtrack.search.fields import Term, Values
from railtrack.search.page_token import Query, Value, after, make_token, read_token
from railtrack.search.sql import Order, Parameters

QUERY = b"8 bytes."
TERMS = (
    Term("t.name", Values.TEXT, nullable=True),
    Term("t.weight", Values.DOUBLE, descending=True),
    Term("t.id", Values.BIGINT),
)


@pytest.mark.parametrize(
    "values",
    [["a", 1.5, 3], [None, -1.7976931348623157e308, 2**63 - 1], ["", float("inf"), -(2**63)], ["é' \" %$1", 0.1, 0]],
)
def test_a_token_gives_back_the_exact_values(values: list[Value]) -> None:
    assert read_token(make_token(QUERY, values), QUERY, TERMS) == values


def test_a_token_is_fit_for_a_url() -> None:
    token = make_token(QUERY, ["?&=/+ ü" * 20, 1.0, 1])
    assert token.isascii()
    assert set(token) & set("+/=&? %") == set()


def refusal(token: str, terms: tuple[Term, ...] = TERMS) -> str:
    with pytest.raises(ApiError) as caught:
        read_token(token, QUERY, terms)
    assert (caught.value.code, caught.value.status) == ("INVALID_PARAMETER_VALUE", 400)
    assert caught.value.message.startswith("Invalid page token, ")
    return caught.value.message


def test_a_token_of_another_query_is_refused() -> None:
    assert "other parameters" in refusal(make_token(b"8 others", ["a", 1.0, 1]))


@pytest.mark.parametrize("token", ["x", "!!!", "é", "a b", "====", "\ud800"])
def test_a_token_that_is_not_base64_is_refused(token: str) -> None:
    assert refusal(token) == "Invalid page token, could not base64-decode"


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
def test_a_forged_token_is_refused(token: str) -> None:
    assert "not one that this server made" in refusal(token)


def test_a_token_cut_short_is_refused() -> None:
    token = make_token(QUERY, ["abc", 1.5, 3])
    for length in range(1, len(token)):
        refusal(token[:length])


def test_a_giant_token_is_refused_unread() -> None:
    assert "more than 1000000" in refusal("A" * 1_000_001)


def test_the_longest_order_fits_into_a_token() -> None:
    terms = (Term("t.x", Values.TEXT),) * 20
    values: list[Value] = ["\U0001f600" * 8000] * 20
    assert read_token(make_token(QUERY, values), QUERY, terms) == values


def condition(*terms: Term, last: list[Value]) -> tuple[str, list[Any]]:
    parameters = Parameters()
    return after(terms, last, parameters), parameters.values


def test_the_next_page_starts_after_the_last_row_in_each_direction() -> None:
    name, weight, number = TERMS
    assert condition(number, last=[7]) == ("(t.id) > (CAST($1 AS BIGINT))", [7])
    assert condition(Term("t.x", Values.TEXT), number, last=["a", 7]) == (
        "(t.x, t.id) > ($1, CAST($2 AS BIGINT))",
        ["a", 7],
    )
    assert condition(weight, number, last=[0.5, 7]) == (
        "(t.weight < $1 OR t.weight = $1 AND (t.id) > (CAST($2 AS BIGINT)))",
        [0.5, 7],
    )
    assert condition(name, number, last=["a", 7]) == (
        "(t.name > $1 OR t.name IS NULL OR t.name = $1 AND (t.id) > (CAST($2 AS BIGINT)))",
        ["a", 7],
    )
    assert condition(name, number, last=[None, 7]) == ("(t.name IS NULL AND (t.id) > (CAST($1 AS BIGINT)))", [7])
    assert condition(name, last=[None]) == ("FALSE", [])


def test_a_page_is_one_statement() -> None:
    join = "JOIN other o ON o.id = t.id AND o.key = $2"
    query = Query("t.id, t.name", "t", ["t.name <> $1"], Order((join,), TERMS[1:]), ["x", "k"])
    start = f"SELECT t.id, t.name, t.weight, t.id FROM t {join} WHERE t.name <> $1"
    end = "ORDER BY t.weight DESC, t.id LIMIT"
    assert query.page(None, 10) == (f"{start} {end} $3", ["x", "k", 10])
    sql, values = query.page([0.5, 7], 10)
    assert sql == f"{start} AND (t.weight < $3 OR t.weight = $3 AND (t.id) > (CAST($4 AS BIGINT))) {end} $5"
    assert values == ["x", "k", 0.5, 7, 10]
    assert query.values == ["x", "k"]


def test_many_conditions_are_taken_in_steps() -> None:
    query = Query("t.id", "t", [f"t.c{number} = 1" for number in range(13)], Order(("JOIN o",), TERMS[2:]), [])
    sql, _ = query.page(None, 10)
    assert sql == (
        "WITH step1 AS MATERIALIZED "
        "(SELECT t.* FROM t WHERE t.c0 = 1 AND t.c1 = 1 AND t.c2 = 1 AND t.c3 = 1 AND t.c4 = 1 AND t.c5 = 1), "
        "step2 AS MATERIALIZED (SELECT t.* FROM step1 AS t "
        "WHERE t.c6 = 1 AND t.c7 = 1 AND t.c8 = 1 AND t.c9 = 1 AND t.c10 = 1 AND t.c11 = 1) "
        "SELECT t.id, t.id FROM step2 AS t JOIN o WHERE t.c12 = 1 ORDER BY t.id LIMIT $1"
    )


def test_queries_that_differ_have_other_fingerprints() -> None:
    queries = [
        Query("t.id", "t", ["t.name = $1"], Order((), TERMS), ["x"]),
        Query("t.id", "t", ["t.name = $1"], Order((), TERMS), ["y"]),
        Query("t.id", "t", ["t.name <> $1"], Order((), TERMS), ["x"]),
        Query("t.id", "t", ["t.name = $1"], Order((), TERMS[1:]), ["x"]),
        Query("t.id", "t", ["t.name = $1"], Order((), TERMS), [["x"]]),
    ]
    assert len({query.fingerprint for query in queries}) == len(queries)
    again = Query("other columns", "t", ["t.name = $1"], Order((), TERMS), ["x"])
    assert again.fingerprint == queries[0].fingerprint


ROW = st.tuples(
    st.sampled_from([None, "", "a", "B", "é"]),
    st.sampled_from([-1.7976931348623157e308, -0.5, 0.0, 1.7976931348623157e308]),
    st.sampled_from([None, -1, 0, 2**62]),
)
COLUMNS = (
    ("t.a", Values.TEXT, True),
    ("t.b", Values.DOUBLE, False),
    ("t.c", Values.BIGINT, True),
)


@given(
    rows=st.lists(ROW, max_size=12),
    columns=st.lists(st.sampled_from(COLUMNS), max_size=3, unique=True),
    downs=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    size=st.integers(1, 13),
)
def test_a_walk_by_pages_gives_every_row_once_and_in_order(
    rows: list[tuple[Value, ...]], columns: list[tuple[str, Values, bool]], downs: tuple[bool, ...], size: int
) -> None:
    terms = [
        Term(column, values, descending=down, nullable=nullable)
        for (column, values, nullable), down in zip(columns, downs, strict=False)
    ]
    terms.append(Term("t.id", Values.BIGINT, descending=downs[3]))
    numbered = [(*row, number) for number, row in enumerate(rows)]
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a TEXT, b DOUBLE PRECISION, c BIGINT, id INTEGER)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", numbered)
        assert _walk(db, terms, size) == [row[3] for row in _sorted(numbered, terms)]


def _walk(db: sqlite3.Connection, terms: list[Term], size: int) -> list[int]:
    """The ids of all pages; the place is handed on as a token."""
    query = Query("t.id", "t", ["TRUE"], Order((), tuple(terms)), [])
    ids: list[int] = []
    last = None
    while True:
        sql, values = query.page(last, size)
        page = db.execute(sql, {str(number): value for number, value in enumerate(values, 1)}).fetchall()
        ids += [row[0] for row in page]
        if len(page) < size:
            return ids
        last = read_token(make_token(query.fingerprint, page[-1][1:]), query.fingerprint, terms)


def _sorted(rows: list[tuple[Value, ...]], terms: list[Term]) -> list[tuple[Value, ...]]:
    """The order said again without SQL: rows without a value last, whichever way."""

    def compare(one: tuple[Value, ...], other: tuple[Value, ...]) -> int:
        for term in terms:
            at = "abc".find(term.column[-1]) if term.column != "t.id" else 3
            x: Any = one[at]
            y: Any = other[at]
            if x == y:
                continue
            if x is None or y is None:
                return 1 if x is None else -1
            return (1 if x > y else -1) * (-1 if term.descending else 1)
        return 0

    return sorted(rows, key=cmp_to_key(compare))
