"""Filter and order_by texts, read into clauses. The messages are MLflow's, asked of its server."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railtrack.errors import ApiError
from railtrack.search.parser import (
    ITEMS_LIMIT,
    TEXT_LIMIT,
    Kind,
    Name,
    Token,
    list_items,
    name_of,
    parse_filter,
    parse_order,
    tokenize,
    unquoted,
)

QUOTED = "Invalid clause(s) in filter string: {quoted}"


def clauses(text: str) -> list[tuple[str, ...]]:
    return [
        (clause.left.text, clause.comparator, *([clause.right.text] if clause.right else []))
        for clause in parse_filter(text, QUOTED)
    ]


def error_message(text: str, invalid_clauses: str = QUOTED) -> str:
    with pytest.raises(ApiError) as caught:
        names(text, invalid_clauses)
    assert (caught.value.code, caught.value.status) == ("INVALID_PARAMETER_VALUE", 400)
    return caught.value.message


def names(text: str, invalid_clauses: str = QUOTED) -> list[Name]:
    return [name_of(clause.left) for clause in parse_filter(text, invalid_clauses)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("metrics.m = 1", [("metrics.m", "=", "1")]),
        ("metrics.m=1", [("metrics.m", "=", "1")]),
        ("metrics.m\n>=\t-1.5e-3", [("metrics.m", ">=", "-1.5e-3")]),
        ("metrics.m > .5", [("metrics.m", ">", ".5")]),
        ("metrics.m < 1e+16", [("metrics.m", "<", "1e+16")]),
        ("params.p = 'a' AND tags.t != \"b\"", [("params.p", "=", "'a'"), ("tags.t", "!=", '"b"')]),
        ("params.p = 'a' aNd params.q = 'b'", [("params.p", "=", "'a'"), ("params.q", "=", "'b'")]),
        ("params.p='a'AND params.q='b'", [("params.p", "=", "'a'"), ("params.q", "=", "'b'")]),
        ("params.p LIKE'a%'", [("params.p", "LIKE", "'a%'")]),
        ("params.p like 'a' and params.q iLike 'b'", [("params.p", "LIKE", "'a'"), ("params.q", "ILIKE", "'b'")]),
        ("params.p is null", [("params.p", "IS NULL")]),
        ("params.p IS  NOT\nNULL AND params.q IS NULL", [("params.p", "IS NOT NULL"), ("params.q", "IS NULL")]),
        ("run_id IN ('a', \"b\")", [("run_id", "IN", "('a', \"b\")")]),
        ("run_id not  in ('a')", [("run_id", "NOT IN", "('a')")]),
        ("tags.t NOT LIKE 'a'", [("tags.t", "NOT LIKE", "'a'")]),
        ("tags.a.b.c = 'x'", [("tags.a.b.c", "=", "'x'")]),
        ("tags.`a b` = 'x'", [("tags.`a b`", "=", "'x'")]),
        ("tags.\"a = b\" = 'x'", [('tags."a = b"', "=", "'x'")]),
        ("tags.'a b' = 'x'", [("tags.'a b'", "=", "'x'")]),
        ("`run name` = 'x'", [("`run name`", "=", "'x'")]),
        ("\"run name\" = 'x'", [('"run name"', "=", "'x'")]),
        ("tags.é = 'ü'", [("tags.é", "=", "'ü'")]),
        ("tags.select = 'x' AND tags.and = 'y'", [("tags.select", "=", "'x'"), ("tags.and", "=", "'y'")]),
        ("params.p = 'a AND b = (c; -- d'", [("params.p", "=", "'a AND b = (c; -- d'")]),
        ("params.p = 'it''s' AND params.q = 'it\\'s'", [("params.p", "=", "'it''s'"), ("params.q", "=", "'it\\'s'")]),
        ("params.p = '\\'", [("params.p", "=", "'\\'")]),
        # What MLflow forgives: an AND that is missing, at an end, or there twice.
        ("AND", []),
        ("params.p = 'a' params.q = 'b'", [("params.p", "=", "'a'"), ("params.q", "=", "'b'")]),
        ("AND params.p = 'a' AND AND params.q = 'b' AND", [("params.p", "=", "'a'"), ("params.q", "=", "'b'")]),
    ],
)
def test_a_filter_is_parsed_into_comparisons(text: str, expected: list[tuple[str, ...]]) -> None:
    assert clauses(text) == expected


@pytest.mark.parametrize(
    ("text", "stray"),
    [
        ("metrics.m = 1 OR params.p = '1'", "'OR'"),
        ("metrics.m = 1 or metrics.m = 2 or metrics.m = 3", "'or', 'or'"),
        ("NOT metrics.m = 1", "'NOT'"),
        ("(metrics.m = 1)", "'(metrics.m = 1)'"),
        ("(metrics.m = 1) AND (params.p = '1')", "'(metrics.m = 1)', '(params.p = '1')'"),
        ("metrics.m", "'metrics.m'"),
        ("metrics.m =", "'metrics.m', '='"),
        ("= 1", "'=', '1'"),
        ("metrics.m 1", "'metrics.m', '1'"),
        ("metrics.m = = 1", "'metrics.m', '=', '=', '1'"),
        ("metrics.m < > 1", "'metrics.m', '<', '>', '1'"),
        ("metrics.m = 1;", "';'"),
        ("run name = 'x'", "'run'"),
        ("params.p BETWEEN 'a' AND 'b'", "'params.p', 'BETWEEN', ''a'', ''b''"),
        ("params.p IS 'x'", "'params.p', 'IS', ''x''"),
        ("params.p IS NOT", "'params.p', 'IS', 'NOT'"),
        ("run_id IN 'x'", "'run_id', 'IN', ''x''"),
        ("run_id IN ('x'", "'run_id', 'IN', '(', ''x''"),
        ("params.p = 'x", "'params.p', '=', ''', 'x'"),
        ('params.p = "x', "'params.p', '=', '\"', 'x'"),
        ("params.`p = 'x'", "'params.', '`'"),
        ("params.p` = 'x'", "'params.p', '`', '=', ''x''"),
        ("SELECT * FROM runs", "'SELECT', '*', 'FROM', 'runs'"),
        ("DELETE FROM runs; --", "'DELETE', 'FROM', 'runs', ';', '--'"),
        ("((", "'(', '('"),
    ],
)
def test_an_invalid_clause_is_named_in_the_error(text: str, stray: str) -> None:
    assert error_message(text) == f"Invalid clause(s) in filter string: {stray}"


def test_each_resource_has_its_own_message_for_invalid_clauses() -> None:
    text = "name = 'a' OR {b} name"
    assert error_message(text, "No clause: {clauses}") == "No clause: OR, {b}, name"
    assert error_message(text, "No filter: {filter!r}") == f"No filter: {text!r}"


def test_a_blank_filter_is_rejected() -> None:
    assert error_message("   ") == "Invalid filter '   '. Could not be parsed."


@pytest.mark.parametrize("found", ["1", "'a'", "metrics.a-b", "metrics.a/b", "tags.a@b", "('a')", ".m"])
def test_only_a_name_can_be_compared(found: str) -> None:
    assert error_message(f"{found} = 1") == f"Invalid comparison clause. Expected 'Identifier' found '{found}'"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("status", Name("", "status")),
        ("`run name`", Name("", "run name")),
        ('"run name"', Name("", "run name")),
        ("metrics.m", Name("metrics", "m")),
        ("metrics.a.b", Name("metrics", "a.b")),
        ("metrics.`a.b`", Name("metrics", "a.b")),
        ('metrics."a`b"', Name("metrics", "a`b")),
        ("metrics.'a b'", Name("metrics", "a b")),
        ("`metrics`.m", Name("metrics", "m")),
        # As MLflow reads them: the entity ends at the first dot, quoted or not.
        ("`metrics.m`", Name("`metrics", "m`")),
        ('"metrics".m', Name('"metrics"', "m")),
        ("metrics.", Name("metrics", "")),
    ],
)
def test_a_name_is_an_entity_and_a_key(text: str, name: Name) -> None:
    [token] = tokenize(text)
    assert name_of(token) == name


@pytest.mark.parametrize(
    ("text", "items"),
    [("('a')", ["a"]), ("( 'a' , \"b\")", ["a", "b"]), ("('a',)", ["a"]), ("('a,b', 'c)d')", ["a,b", "c)d"])],
)
def test_a_list_has_strings(text: str, items: list[str]) -> None:
    [token] = tokenize(text)
    assert list_items(token) == items


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("()", "expected a non-empty list of string values, but got empty list"),
        ("('a',,'b')", "expected a non-empty list of string values, but got ill-formed list."),
        ("(,'a')", "expected a non-empty list of string values, but got ill-formed list."),
        ("(('a'))", "expected a non-empty list of string values, but got ill-formed list."),
        ("(1)", "expected string value, punctuation, or whitespace, but got different type in list: (1,)"),
        ("('a', 1)", "expected string value, punctuation, or whitespace, but got different type in list: ('a', 1)"),
        ("(x)", "expected string value, punctuation, or whitespace, but got different type in list: (x,)"),
    ],
)
def test_a_list_of_anything_else_is_rejected(text: str, message: str) -> None:
    [token] = tokenize(text)
    with pytest.raises(ApiError) as caught:
        list_items(token)
    assert caught.value.message == f"While parsing a list in the query, {message}"


@pytest.mark.parametrize(
    ("text", "name", "descending"),
    [
        ("metrics.m", Name("metrics", "m"), False),
        ("metrics.m ASC", Name("metrics", "m"), False),
        ("metrics.m\n desc", Name("metrics", "m"), True),
        ("metrics.`a b` DESC", Name("metrics", "a b"), True),
        ('"name" dEsC', Name("", "name"), True),
        ("metrics.DESC", Name("metrics", "DESC"), False),
    ],
)
def test_an_order_is_a_name_and_a_direction(text: str, name: Name, descending: bool) -> None:
    assert parse_order(text) == (name, descending)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " a",
        "a ",
        "DESC",
        "asc DESC",
        "a ASC DESC",
        "a, b",
        "a DESC NULLS LAST",
        "a;",
        "(a)",
        "-a",
        "'a'",
        "m.a/b",
    ],
)
def test_an_invalid_order_is_rejected(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_order(text)
    assert caught.value.message == f"Invalid order_by clause '{text}'. Could not be parsed."


@pytest.mark.parametrize("text", ["a b", "metrics.m foo", "Run Name"])
def test_an_order_has_two_directions(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_order(text)
    assert caught.value.message == f"Invalid ordering key in order_by clause '{text}'."


def test_a_too_long_filter_is_rejected() -> None:
    assert "characters, more than 200000" in error_message("a" * (TEXT_LIMIT + 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metrics.m > 1 AND " * 11_000 + "metrics.m > 1", "more than 1000 words and symbols"),
        ("a " * 501 + "= " * 500, "more than 1000 words and symbols"),
        ("a IN ('x') " * 18_000, "more than 1000 brackets"),
        ("(" * 100_000 + ")" * 99_999, "more than 1000 brackets"),
    ],
)
def test_a_filter_is_not_read_further_than_its_limits(text: str, message: str) -> None:
    assert message in error_message(text)


def test_as_many_comparisons_as_a_filter_may_have_are_read() -> None:
    text = " AND ".join(f"metrics.`m {number}` IS NOT NULL AND AND a NOT IN ('x', 'y')" for number in range(30))
    assert len(clauses(text)) == 60


@pytest.mark.parametrize("pattern", ["'{}'", '"{}"', " '{}'\n"])
def test_a_list_has_5000_items_at_most(pattern: str) -> None:
    def items(count: int) -> list[str]:
        [clause] = parse_filter(f"a IN ({','.join(pattern.format(number) for number in range(count))})", QUOTED)
        assert clause.right is not None
        return list_items(clause.right)

    assert items(ITEMS_LIMIT) == [str(number) for number in range(ITEMS_LIMIT)]
    with pytest.raises(ApiError, match="more than 10000 words and symbols"):
        items(ITEMS_LIMIT + 1)


@given(st.lists(st.sampled_from(["'", "\\", ",", " ", "a", "''", "'b'", "','"]), max_size=20).map("".join))
def test_a_list_of_plain_texts_is_read_as_any_other(inside: str) -> None:
    try:
        items = list_items(Token(Kind.LIST, f"({inside})"))
    except ApiError:
        return
    # A list with a text in double quotes is never read as plain.
    assert list_items(Token(Kind.LIST, f'("z",{inside})')) == ["z", *items]


PIECES = st.sampled_from(["'", '"', "`", "\\", "(", ")", ".", ",", ";", "=", "<", "a", "1", " ", "AND", "IS NULL", "/"])


@given(st.lists(PIECES, max_size=40).map("".join))
def test_tokens_lose_nothing_but_spaces(text: str) -> None:
    tokens = tokenize(text)
    assert "".join(token.text for token in tokens).replace(" ", "") == text.replace(" ", "")
    with contextlib.suppress(ApiError):
        names(text)


@given(st.text(alphabet="abc'`\"\\% =(", min_size=1))
def test_a_string_is_the_text_between_its_quotes(text: str) -> None:
    quote = next((quote for quote in "'\"" if quote not in text), None)
    if quote and not text.endswith("\\"):
        [clause] = parse_filter(f"params.p = {quote}{text}{quote}", QUOTED)
        assert clause.right is not None
        assert unquoted(clause.right.text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a." + "'" * 100_000 + "./",
        "1" * 199_999 + "a",
        "(" * 199_999,
        '"' * 199_999,
        "\\'" * 99_999,
        'a."b".' * 30_000,
        "a.`" * 60_000,
        "," * 199_999,
        "a " * 99_999,
    ],
)
def test_a_hostile_filter_is_rejected_in_linear_time(text: str) -> None:
    started = time.process_time()
    error_message(text)
    assert time.process_time() - started < 5
