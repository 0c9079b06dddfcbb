"""Keyset paging: the SQL of a page, and that the pages together have every row once, in order."""

import contextlib
import sqlite3
from functools import cmp_to_key
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from railtrack.search.conditions import Parameters
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page_token import SortValue
from railtrack.search.paged_query import Order, PagedQuery, after_condition

KEYS = (
    SortKey("t.name", ValueType.TEXT, nullable=True),
    SortKey("t.score", ValueType.DOUBLE, descending=True),
    SortKey("t.id", ValueType.BIGINT),
)


def condition(*keys: SortKey, values: list[SortValue]) -> tuple[str, list[Any]]:
    parameters = Parameters()
    return after_condition(keys, values, parameters), parameters.values


def test_the_next_page_starts_after_the_last_row_in_each_direction() -> None:
    name, score, number = KEYS
    assert condition(number, values=[7]) == ("(t.id) > (CAST($1 AS BIGINT))", [7])
    assert condition(SortKey("t.x", ValueType.TEXT), number, values=["a", 7]) == (
        "(t.x, t.id) > ($1, CAST($2 AS BIGINT))",
        ["a", 7],
    )
    assert condition(score, number, values=[0.5, 7]) == (
        "(t.score < $1 OR t.score = $1 AND (t.id) > (CAST($2 AS BIGINT)))",
        [0.5, 7],
    )
    assert condition(name, number, values=["a", 7]) == (
        "(t.name > $1 OR t.name IS NULL OR t.name = $1 AND (t.id) > (CAST($2 AS BIGINT)))",
        ["a", 7],
    )
    assert condition(name, number, values=[None, 7]) == ("(t.name IS NULL AND (t.id) > (CAST($1 AS BIGINT)))", [7])
    assert condition(name, values=[None]) == ("FALSE", [])


def test_a_page_is_one_statement() -> None:
    join = "JOIN other o ON o.id = t.id AND o.key = $2"
    query = PagedQuery("t.id, t.name", "t", ["t.name <> $1"], Order((join,), KEYS[1:]), ["x", "k"])
    start = f"SELECT t.id, t.name, t.score, t.id FROM t {join} WHERE t.name <> $1"
    end = "ORDER BY t.score DESC, t.id LIMIT"
    assert query.page(None, 10) == (f"{start} {end} $3", ["x", "k", 10])
    sql, values = query.page([0.5, 7], 10)
    assert sql == f"{start} AND (t.score < $3 OR t.score = $3 AND (t.id) > (CAST($4 AS BIGINT))) {end} $5"
    assert values == ["x", "k", 0.5, 7, 10]
    assert query.values == ["x", "k"]


def test_many_conditions_are_applied_in_steps() -> None:
    query = PagedQuery("t.id", "t", [f"t.c{number} = 1" for number in range(13)], Order(("JOIN o",), KEYS[2:]), [])
    sql, _ = query.page(None, 10)
    assert sql == (
        "WITH step1 AS MATERIALIZED "
        "(SELECT t.* FROM t WHERE t.c0 = 1 AND t.c1 = 1 AND t.c2 = 1 AND t.c3 = 1 AND t.c4 = 1 AND t.c5 = 1), "
        "step2 AS MATERIALIZED (SELECT t.* FROM step1 AS t "
        "WHERE t.c6 = 1 AND t.c7 = 1 AND t.c8 = 1 AND t.c9 = 1 AND t.c10 = 1 AND t.c11 = 1) "
        "SELECT t.id, t.id FROM step2 AS t JOIN o WHERE t.c12 = 1 ORDER BY t.id LIMIT $1"
    )


def test_different_queries_have_different_fingerprints() -> None:
    queries = [
        PagedQuery("t.id", "t", ["t.name = $1"], Order((), KEYS), ["x"]),
        PagedQuery("t.id", "t", ["t.name = $1"], Order((), KEYS), ["y"]),
        PagedQuery("t.id", "t", ["t.name <> $1"], Order((), KEYS), ["x"]),
        PagedQuery("t.id", "t", ["t.name = $1"], Order((), KEYS[1:]), ["x"]),
        PagedQuery("t.id", "t", ["t.name = $1"], Order((), KEYS), [["x"]]),
    ]
    assert len({query.fingerprint for query in queries}) == len(queries)
    again = PagedQuery("other columns", "t", ["t.name = $1"], Order((), KEYS), ["x"])
    assert again.fingerprint == queries[0].fingerprint


ROW = st.tuples(
    st.sampled_from([None, "", "a", "B", "é"]),
    st.sampled_from([-1.7976931348623157e308, -0.5, 0.0, 1.7976931348623157e308]),
    st.sampled_from([None, -1, 0, 2**62]),
)
COLUMNS = (
    ("t.a", ValueType.TEXT, True),
    ("t.b", ValueType.DOUBLE, False),
    ("t.c", ValueType.BIGINT, True),
)


@given(
    rows=st.lists(ROW, max_size=12),
    columns=st.lists(st.sampled_from(COLUMNS), max_size=3, unique=True),
    downs=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    size=st.integers(1, 13),
)
def test_pages_together_have_every_row_once_and_in_order(
    rows: list[tuple[SortValue, ...]], columns: list[tuple[str, ValueType, bool]], downs: tuple[bool, ...], size: int
) -> None:
    keys = [
        SortKey(column, type_, descending=down, nullable=nullable)
        for (column, type_, nullable), down in zip(columns, downs, strict=False)
    ]
    keys.append(SortKey("t.id", ValueType.BIGINT, descending=downs[3]))
    numbered = [(*row, number) for number, row in enumerate(rows)]
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a TEXT, b DOUBLE PRECISION, c BIGINT, id INTEGER)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", numbered)
        assert _walk(db, keys, size) == [row[3] for row in _sorted(numbered, keys)]


def _walk(db: sqlite3.Connection, keys: list[SortKey], size: int) -> list[int]:
    """Return the ids of all pages, which are connected by tokens."""
    query = PagedQuery("t.id", "t", ["TRUE"], Order((), tuple(keys)), [])
    ids: list[int] = []
    while True:
        sql, values = query.page(query.start, size)
        page = db.execute(sql, {str(number): value for number, value in enumerate(values, 1)}).fetchall()
        ids += [row[0] for row in page]
        if len(page) < size:
            return ids
        query = query.starting_at(query.token_after(page[-1][1:]))


def _sorted(rows: list[tuple[SortValue, ...]], keys: list[SortKey]) -> list[tuple[SortValue, ...]]:
    """Sort as the database does, without SQL: rows without a value come last in both directions."""

    def compare(one: tuple[SortValue, ...], other: tuple[SortValue, ...]) -> int:
        for key in keys:
            at = "abc".find(key.expression[-1]) if key.expression != "t.id" else 3
            x: Any = one[at]
            y: Any = other[at]
            if x == y:
                continue
            if x is None or y is None:
                return 1 if x is None else -1
            return (1 if x > y else -1) * (-1 if key.descending else 1)
        return 0

    return sorted(rows, key=cmp_to_key(compare))
