"""PagedQuery: a search as SQL, page by page. Keyset paging: the next page starts after the sort values of the last row.

So a page costs the same wherever it starts, and rows that are added or removed meanwhile shift no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, NamedTuple, Self

import msgspec

from railtrack.search.conditions import Parameters
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page_token import PART_BYTES, SortValue, decode_token, encode_token

FINGERPRINT_BYTES = 8
STEP = 6
"""Conditions that are planned together. PostgreSQL's planner takes every EXISTS for a join and compares their orders:
1 s for 15 of them, 34 s for 60. In steps of six, each over the rows that the last one left, 60 take 66 ms."""

_encode = msgspec.msgpack.Encoder().encode


class JoinedTest(NamedTuple):
    """A comparison that tests the rows which an order joins under `alias`."""

    alias: str
    sql: str


class TopValuesOrder(NamedTuple):
    """The top values of an order's first join, as SQL."""

    alias: str
    select: str
    join: str
    constant_keys: int
    """How many sort keys precede the value; they are 0 for all top values."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order of rows: its joins, and its sort keys, which leave no two rows equal."""

    joins: tuple[str, ...]
    keys: tuple[SortKey, ...]
    joined_tests: tuple[JoinedTest, ...] = ()
    top_values: TopValuesOrder | None = None

    @property
    def sql(self) -> str:
        return order_sql(self.keys)


def order_sql(keys: Sequence[SortKey]) -> str:
    """Return the keys as ORDER BY spells them."""
    return ", ".join(
        key.expression + (" DESC" if key.descending else "") + (" NULLS LAST" if key.nullable else "") for key in keys
    )


class Statement(NamedTuple):
    sql: str
    values: list[Any]


@dataclass(frozen=True, slots=True)
class PagedQuery:
    """A search that is fetched page by page. `values` are the parameters of `where` and of the order's joins.

    The first condition of `where` is the one that bounds the search and has an index.
    """

    columns: str
    table: str
    where: Sequence[str]
    order: Order
    values: Sequence[Any]
    start: Sequence[SortValue] | None = None
    """The sort values after which the first page starts."""
    filter: Sequence[object] = ()
    order_by: Sequence[object] = ()
    """The filter and the order of the request, by which an error about a page token names what differs."""

    @property
    def fingerprint(self) -> bytes:
        """A short digest of everything that decides which rows there are, and in which order."""
        tests = [test.sql for test in self.order.joined_tests]
        query = (self.table, self.where, self.order.joins, tests, self.order.sql, self.values)
        parts = [blake2b(repr(part).encode(), digest_size=PART_BYTES) for part in (self.filter, self.order_by)]
        whole = blake2b(_encode(query), digest_size=FINGERPRINT_BYTES)
        return b"".join(part.digest() for part in (*parts, whole))

    def starting_at(self, page_token: str) -> Self:
        """Return the query from the page that the token leads to; from the first one for "".

        Raise INVALID_PARAMETER_VALUE for a token that was not made for this query.
        """
        if not page_token:
            return self
        return replace(self, start=decode_token(page_token, self.fingerprint, self.order.keys))

    def token_after(self, values: Sequence[SortValue]) -> str:
        """Return the token for the page after the row with these sort values."""
        return encode_token(self.fingerprint, values)

    def page(self, after: Sequence[SortValue] | None, limit: int) -> Statement:
        """Return the statement for at most `limit` rows after the one with the sort values `after`.

        Each row has `columns`, then its sort values.
        """
        parameters = Parameters(*self.values)
        where = list(self.where)
        if after is not None:
            where.append(after_condition(self.order.keys, after, parameters))
        *steps, final = (where[at : at + STEP] for at in range(0, len(where), STEP))
        source = self.table
        tables = []
        for number, step in enumerate(steps, 1):
            rows = f"SELECT {self.table}.* FROM {source} WHERE {' AND '.join(step)}"  # noqa: S608 (our own text)
            tables.append(f"step{number} AS MATERIALIZED ({rows})")
            source = f"step{number} AS {self.table}"
        final += [test.sql for test in self.order.joined_tests]
        sql = (
            f"SELECT {self.columns}, {', '.join(key.expression for key in self.order.keys)} "  # noqa: S608 (as above)
            f"FROM {' '.join([source, *self.order.joins])} WHERE {' AND '.join(final)} "
            f"ORDER BY {self.order.sql} LIMIT {parameters.add(limit)}"
        )
        return Statement(f"WITH {', '.join(tables)} {sql}" if tables else sql, parameters.values)


def after_condition(keys: Sequence[SortKey], values: Sequence[SortValue], parameters: Parameters) -> str:
    """Return the condition that a row comes after the one with these sort values.

    Nested as `a > 1 OR a = 1 AND (b > 2 OR ...)`, each key in its own direction, rows without a value last. If all
    keys have one direction and cannot be NULL, they are compared as a row, for which PostgreSQL can use an index.
    """
    first, value = keys[0], values[0]
    beyond = "<" if first.descending else ">"
    if not any(key.nullable or key.descending != first.descending for key in keys):
        columns = ", ".join(key.expression for key in keys)
        placeholders = ", ".join(_typed(key, parameters.add(each)) for key, each in zip(keys, values, strict=True))
        return f"({columns}) {beyond} ({placeholders})"
    placeholder = "" if value is None else _typed(first, parameters.add(value))
    rest = after_condition(keys[1:], values[1:], parameters) if len(keys) > 1 else ""
    if value is None:
        return f"({first.expression} IS NULL AND {rest})" if rest else "FALSE"
    tests = [f"{first.expression} {beyond} {placeholder}"]
    if first.nullable:
        tests.append(f"{first.expression} IS NULL")
    if rest:
        tests.append(f"{first.expression} = {placeholder} AND {rest}")
    return f"({' OR '.join(tests)})"


def _typed(key: SortKey, placeholder: str) -> str:
    """Cast a number: PostgreSQL would give the parameter the column's type, which a forged value may not fit."""
    return placeholder if key.type in (ValueType.TEXT, ValueType.DOUBLE) else f"CAST({placeholder} AS BIGINT)"
