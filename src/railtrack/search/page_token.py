"""Keyset paging: a page token holds the order's values of the last row sent, and the next page starts after them.

So a page costs the same however far down it is, and rows that come or go meanwhile shift nothing. A token also
holds a fingerprint of its query, because in another order its values would mean another place.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from railtrack.errors import ApiError, invalid
from railtrack.search.fields import Term, Values
from railtrack.search.sql import INT64, Order, Parameters

TOKEN_LIMIT = 1_000_000
"""Characters; twenty order keys of 8,000 characters each fit in."""
FINGERPRINT_BYTES = 8
STEP = 6
"""Conditions that are planned together. PostgreSQL's planner takes every EXISTS for a join and weighs their orders:
1 s for 15 of them, 34 s for 60. In steps of six, each over the rows that the last one left, 60 take 66 ms."""

_packed = msgspec.msgpack.Encoder().encode
Value = str | int | float | None
_unpacked = msgspec.msgpack.Decoder(tuple[bytes, list[Value]]).decode


def make_token(query: bytes, last: Sequence[Value]) -> str:
    """The token for what comes after the row with the order values `last`; `query` is a fingerprint."""
    return base64.urlsafe_b64encode(_packed((query, list(last)))).rstrip(b"=").decode()


def read_token(token: str, query: bytes, terms: Sequence[Term]) -> list[Value]:
    """The order values in a token. Raises INVALID_PARAMETER_VALUE for what make_token never made for this query."""
    if len(token) > TOKEN_LIMIT:
        raise invalid(f"Invalid page token, it has {len(token)} characters, more than {TOKEN_LIMIT}")
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Invalid page token, could not base64-decode") from None
    try:
        made_for, values = _unpacked(raw)
    except (msgspec.DecodeError, ValueError):
        raise _foreign(token) from None
    if made_for != query:
        raise invalid("Invalid page token, it was made for a search with other parameters")
    return list(_checked(values, terms, token))


def _foreign(token: str) -> ApiError:
    return invalid(f"Invalid page token, it is not one that this server made: '{token[:100]}'")


def _checked(values: Sequence[Value], terms: Sequence[Term], token: str) -> Iterator[Value]:
    """The values, if they are such as the terms have; a token can be forged."""
    if len(values) != len(terms):
        raise _foreign(token)
    for value, term in zip(values, terms, strict=True):
        fits = (
            (value is None and term.nullable)
            or (isinstance(value, str) and term.values is Values.TEXT and "\0" not in value)
            or (isinstance(value, float) and term.values is Values.DOUBLE and value == value)
            or (isinstance(value, int) and term.values not in (Values.TEXT, Values.DOUBLE) and value in INT64)
        )
        if not fits:
            raise _foreign(token)
        yield value


def after(terms: Sequence[Term], last: Sequence[Value], parameters: Parameters) -> str:
    """The condition that a row comes after the one with the values `last`, in the order of `terms`.

    Nested as `a > 1 OR a = 1 AND (b > 2 OR ...)`, each term with its own direction, rows without a value last.
    Terms that all go one way and have values are compared as a row, which is what an index can be searched by.
    """
    term, value = terms[0], last[0]
    if not any(other.nullable or other.descending != term.descending for other in terms):
        return _row_after(terms, last, parameters)
    placeholder = "" if value is None else _typed(term, parameters.add(value))
    rest = after(terms[1:], last[1:], parameters) if len(terms) > 1 else ""
    if value is None:
        return f"({term.column} IS NULL AND {rest})" if rest else "FALSE"
    tests = [f"{term.column} {_beyond(term)} {placeholder}"]
    if term.nullable:
        tests.append(f"{term.column} IS NULL")
    if rest:
        tests.append(f"{term.column} = {placeholder} AND {rest}")
    return f"({' OR '.join(tests)})"


def _row_after(terms: Sequence[Term], last: Sequence[Value], parameters: Parameters) -> str:
    columns = ", ".join(term.column for term in terms)
    values = ", ".join(_typed(term, parameters.add(value)) for term, value in zip(terms, last, strict=True))
    return f"({columns}) {_beyond(terms[0])} ({values})"


def _beyond(term: Term) -> str:
    return "<" if term.descending else ">"


def _typed(term: Term, placeholder: str) -> str:
    """Typed on purpose: PostgreSQL would take the type of the column, and a forged value may not fit that."""
    return placeholder if term.values in (Values.TEXT, Values.DOUBLE) else f"CAST({placeholder} AS BIGINT)"


@dataclass(frozen=True, slots=True)
class Query:
    """A search that can be run page by page. `values` are the parameters of `where` and of the order's joins.

    The first condition of `where` is the one that bounds the search most widely and has an index.
    """

    columns: str
    table: str
    where: Sequence[str]
    order: Order
    values: Sequence[Any]

    @property
    def fingerprint(self) -> bytes:
        """A short digest of what decides which rows there are, and in which order."""
        query = (self.table, self.where, self.order.joins, self.order.conditions, self.order.by, self.values)
        return blake2b(_packed(query), digest_size=FINGERPRINT_BYTES).digest()

    def last_of(self, page_token: str) -> list[Value] | None:
        """The order values of the row that a page's token was made after; None for no token, the first page.

        Raises INVALID_PARAMETER_VALUE for a token that was not made for this query.
        """
        return read_token(page_token, self.fingerprint, self.order.terms) if page_token else None

    def page(self, last: Sequence[Value] | None, limit: int) -> tuple[str, list[Any]]:
        """The statement, and its parameters, for at most `limit` rows after the one with the order values `last`.

        Each row has `columns`, and then its own order values.
        """
        parameters = Parameters(*self.values)
        where = [*self.where, after(self.order.terms, last, parameters)] if last is not None else self.where
        *steps, final = (where[at : at + STEP] for at in range(0, len(where), STEP))
        source = self.table
        tables = []
        for number, step in enumerate(steps, 1):
            rows = f"SELECT {self.table}.* FROM {source} WHERE {' AND '.join(step)}"  # noqa: S608 (text of ours)
            tables.append(f"step{number} AS MATERIALIZED ({rows})")
            source = f"step{number} AS {self.table}"
        sql = (
            f"SELECT {self.columns}, {', '.join(term.column for term in self.order.terms)} "  # noqa: S608 (as above)
            f"FROM {' '.join([source, *self.order.joins])} WHERE {' AND '.join([*final, *self.order.conditions])} "
            f"ORDER BY {self.order.by} LIMIT {parameters.add(limit)}"
        )
        return f"WITH {', '.join(tables)} {sql}" if tables else sql, parameters.values
