"""Named parameters in SQL text: `:run_id` becomes `$1`, compiled once per statement. Runs no statement itself."""

import re
from functools import lru_cache
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*"         # string literal, quoted identifier
    | --[^\n]* | /\*.*?\*/                  # comments
    | \$(?P<tag>(?!\d)\w*)\$.*?\$(?P=tag)\$   # dollar-quoted string
    | ::                                    # PostgreSQL's cast
    | (?<![\w\]]):(?P<name>[a-z_]\w*)       # the lookbehind leaves out the second bound of an array slice, a[i:j]
    | (?P<number>\$\d+)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Statement(NamedTuple):
    sql: str
    names: tuple[str, ...]
    """The parameters in the order of their numbers."""


def bind(sql: str, /, **values: Any) -> tuple[str, *tuple[Any, ...]]:
    """Return the statement with numbered parameters, then their values: the arguments of `Tx.execute` and its like.

        await tx.execute(*bind("UPDATE runs SET name = :name WHERE run_uuid = :run_id", name=name, run_id=run_id))

    A name that occurs several times is one parameter. Raise TypeError if `values` are not exactly the parameters of
    the statement, ValueError if some of its parameters are numbered.
    """
    text, names = _compile(sql)
    if len(names) == len(values):
        try:
            return (text, *map(values.__getitem__, names))
        except KeyError:
            pass
    raise TypeError(f"The statement has the parameters {sorted(names)}, but got {sorted(values)}: {sql}")


@lru_cache(maxsize=1024)
def _compile(sql: str) -> _Statement:
    numbers: dict[str, int] = {}

    def replace(token: re.Match[str]) -> str:
        if token["number"]:
            raise ValueError(f"The statement mixes named and numbered parameters ({token['number']}): {sql}")
        name = token["name"]
        return f"${numbers.setdefault(name, len(numbers) + 1)}" if name else token[0]

    return _Statement(_TOKEN.sub(replace, sql), tuple(numbers))
