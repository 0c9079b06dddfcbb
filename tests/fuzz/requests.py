"""Generate requests from the endpoints' structs: mostly of the right type, often unusual, sometimes junk."""

from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from railtrack.wire.routing import Route

ODD_TEXTS = [
    "",
    " ",
    ".",
    "..",
    "../../etc/passwd",
    "/proc/self/environ",
    "a//b",
    "a\\b",
    "C:\\x",
    "%2e%2e",
    "%",
    "'",
    '"',
    "`",
    "' OR 1=1 --",
    "$1",
    "{rows}",
    "é😀",
    "\u202e",
    "\ud800",
    "\0",
    "a\nb",
    "NaN",
    "0",
    "-1",
    "1e400",
    "9223372036854775808",
    "x" * 251,
    "x" * 9000,
    "mlflow.runName",
    "mlflow-artifacts:/0",
    "s3://bucket/key",
    "file:///etc/passwd",
    "http://127.0.0.1/",
    "models:/x/1",
]
NUMBERS = [0, 1, -1, 2, 5, 1000, 1001, 50_000, 50_001, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 10**30]
FLOATS = [0.0, -0.0, 0.1, 1.5, 1e308, -1e308, 5e-324, 1e22]
FILTER_TOKENS = [
    *("metrics.loss", "params.lr", "tags.team", "tag.`a b`", "attributes.status", "name", "start_time", "run_id"),
    *("dataset.name", "datasets.context", "experiment_id", "creation_time", 'params."x"', "metrics.`", "attribute.x"),
    *("=", "!=", "<>", ">", "<=", "LIKE", "ilike", "IN", "NOT IN", "IS NULL", "IS NOT NULL", "AND", "OR", "NOT"),
    *("1", "-1.5", "1e400", "'a'", '"b"', "('a','b')", "()", "(", ")", "'%'", "'\\'", "'\\_'", "`", ",", "ASC", "DESC"),
    *("9223372036854775808", "NaN", "'", '"', ".", "--", ";"),
]

junk = st.recursive(
    st.none() | st.booleans() | st.sampled_from([*NUMBERS, *FLOATS, *ODD_TEXTS]) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PLAIN_TEXTS = ["a", "loss", "a/b", "two words", "0.5", "train"]
FILTERS = [
    "metrics.loss > 0.5",
    "params.lr = '0.1' AND tags.team != 'x'",
    "attributes.run_id IN ('a', 'b')",
    "tags.`a b` IS NULL",
    "name ILIKE '%u%' AND creation_time > 5",
    "metrics.loss DESC",
    "attributes.start_time ASC",
    "name",
]

texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=30)
filters = st.sampled_from(FILTERS) | st.lists(st.sampled_from(FILTER_TOKENS), max_size=8).map(" ".join)


def body_of(route: Route, known: dict[str, list[str]]) -> st.SearchStrategy[Any]:
    """Return a strategy for JSON bodies or queries of the route. `known`: field name -> values in the database."""
    assert route.struct is not None
    return _struct(route.struct, known)


def _struct(struct: type[Any], known: dict[str, list[str]]) -> st.SearchStrategy[Any]:
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    required = {
        field.encode_name: _field(field.name, field.type, known) for field in described.fields if field.required
    }
    optional = {
        field.encode_name: _field(field.name, field.type, known) for field in described.fields if not field.required
    }
    return st.fixed_dictionaries(required, optional=optional)


def _field(name: str, kind: inspect.Type, known: dict[str, list[str]]) -> st.SearchStrategy[Any]:
    right = _typed(name, kind, known)
    return st.one_of(*[right] * 12, junk)


def _typed(name: str, kind: inspect.Type, known: dict[str, list[str]]) -> st.SearchStrategy[Any]:
    """Return a strategy for values of the field's type."""
    match kind:
        case inspect.UnionType(types=types):
            return st.one_of(*(_typed(name, one, known) for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.StrType():
            return _text(name, known)
        case inspect.IntType():
            small = st.integers(1, 100)
            return st.one_of(small, small, small.map(str), st.sampled_from(NUMBERS), st.sampled_from(NUMBERS).map(str))
        case inspect.FloatType():
            return st.sampled_from([*FLOATS, "NaN", "Infinity", "-Infinity", "1.5"]) | st.floats(allow_nan=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.EnumType(cls=cls):
            return st.sampled_from([*cls.__members__, *range(1, len(cls) + 1)])
        case inspect.ListType(item_type=item):
            return st.lists(_field(name, item, known), max_size=4)
        case inspect.StructType(cls=cls):
            return _struct(cls, known)
        case inspect.DictType():
            return st.dictionaries(texts, texts, max_size=3)
    return junk


def _text(name: str, known: dict[str, list[str]]) -> st.SearchStrategy[str]:
    if name in ("filter", "order_by"):
        return filters
    if values := known.get(name.removesuffix("s")):
        return st.one_of(*[st.sampled_from(values)] * 4, texts)
    return st.one_of(st.sampled_from(PLAIN_TEXTS), st.sampled_from(PLAIN_TEXTS), texts)
