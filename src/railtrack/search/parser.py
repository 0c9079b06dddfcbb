"""Parsing of filter and order_by texts into clauses. conditions.py and builder.py resolve the names in them.

The grammar is MLflow's, found by testing it: comparisons joined by AND; no OR, NOT or parentheses. As there, a missing
or repeated AND is accepted, and quotes and backslashes inside a quoted string stand for themselves.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import islice, pairwise
from typing import NamedTuple

from railtrack.errors import invalid

TEXT_LIMIT = 200_000
"""Characters of a filter: room for 5,000 run ids in a list, where MLflow stops at about 3,300."""
TOKENS_LIMIT = 1000
"""Tokens of a filter, a list counting as one: each takes about 5 us. 60 comparisons have 240 to 420."""
ITEMS_LIMIT = 5000
"""Items of a list."""

# Atomic groups, (?>...): a string matches in one way only, so no text makes the matching take exponential time.
QUOTED = r"""(?>'(?:''|\\'|[^'])*')"""
DOUBLE_QUOTED = r"""(?>"(?:""|\\"|[^"])*")"""
BACKTICKED = r"(?>`[^`]*`)"
BARE = r"""[^\s=<>!~'"`(),;]+"""

# A quoted part belongs to a name when a dot stands before it: metrics."a b", tags.`mlflow.note`. So does a word after
# blanks, with the blanks: the key of `metrics. loss` is ` loss`.
_LEXEME = re.compile(
    rf"""
      (?P<space>    \s+ )
    | (?P<operator> [=<>!~]+ )
    | (?P<string>   {QUOTED} )
    | (?P<word>     (?:{BARE}|{DOUBLE_QUOTED}|{BACKTICKED})
                    (?: (?<=[A-Za-z_]\.) \s+ (?=\w) {BARE} )?
                    (?: (?<=\.) (?:{QUOTED}|{DOUBLE_QUOTED}|{BACKTICKED}) | (?<=["'`]) \. (?:{BARE})? )* )
    | (?P<stray>    . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BRACKETS_AND_STRINGS = re.compile(rf"[()]|{QUOTED}|{DOUBLE_QUOTED}|{BACKTICKED}")
_ONE_DOUBLE_QUOTED = re.compile(DOUBLE_QUOTED)
_NAME = re.compile(
    rf"(?:\w|{DOUBLE_QUOTED}|{BACKTICKED})(?:[\w.]|(?<=\.)\s+(?=\w)|{QUOTED}|{DOUBLE_QUOTED}|{BACKTICKED})*"
)
_BLANK_IN_NAME = re.compile(r"[\w.]*\.\s+\w")
_TEXTS = re.compile(r"\s*'[^'\\]*'\s*(?:,\s*'[^'\\]*'\s*)*")
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class Kind(Enum):
    """The kind of a token."""

    NAME = auto()
    STRING = auto()
    NUMBER = auto()
    LIST = auto()
    OTHER_WORD = auto()
    OPERATOR = auto()
    STRAY = auto()


class Token(NamedTuple):
    kind: Kind
    text: str

    @property
    def is_operand(self) -> bool:
        return self.kind not in (Kind.OPERATOR, Kind.STRAY)

    @property
    def is_name(self) -> bool:
        """Return whether it can be a name: a double-quoted text can be a name and a string."""
        return self.kind is Kind.NAME or (self.kind is Kind.STRING and self.text[0] == '"')


class Clause(NamedTuple):
    """`left comparator right` as written, the comparator in upper case; IS NULL and IS NOT NULL have no right side."""

    left: Token
    comparator: str
    right: Token | None


class Name(NamedTuple):
    """The parts of a name; `entity` is "" for an attribute without one."""

    entity: str
    key: str


DIRECTIONS = ("ASC", "DESC")
WORD_COMPARATORS = frozenset({"LIKE", "ILIKE", "RLIKE", "REGEXP", "IN"})


def parse_filter(text: str, invalid_clauses: str) -> list[Clause]:
    """Return the comparisons of a filter. Raise MLflow's error if something in it is not a comparison.

    `invalid_clauses`: the message of that error, which differs between MLflow's resources, with `{clauses}`, the same
    `{quoted}`, or the whole `{filter}`.
    """
    if not text:
        return []
    if len(text) > TEXT_LIMIT:
        raise invalid(f"Invalid filter: it has {len(text)} characters, more than {TEXT_LIMIT}.")
    tokens = tokenize(text)
    if not tokens:
        raise invalid(f"Invalid filter '{text[:1000]}'. Could not be parsed.")
    if any(token.text == ";" and not after.text.startswith("--") for token, after in pairwise(tokens)):
        raise invalid(f"Search filter contained multiple expression {text[:1000]!r}. Provide AND-ed expression list.")
    clauses: list[Clause] = []
    others: list[str] = []
    at = 0
    while at < len(tokens):
        clause, width = _clause_at(tokens, at)
        if clause:
            clauses.append(clause)
        elif tokens[at].text.upper() != "AND":
            others.append(tokens[at].text)
        at += width
    if others:
        shown = [other if len(other) <= 250 else other[:250] + "..." for other in others[:20]]
        quoted = ", ".join(f"'{other}'" for other in shown)
        raise invalid(invalid_clauses.format(clauses=", ".join(shown), quoted=quoted, filter=text[:1000]))
    return clauses


def _clause_at(tokens: Sequence[Token], at: int) -> tuple[Clause | None, int]:
    """Return the comparison that starts at token `at` and how many tokens it has; (None, 1) if none starts there."""
    if not tokens[at].is_operand:
        return None, 1
    comparator, width = _comparator_at(tokens, at + 1)
    if comparator in ("IS NULL", "IS NOT NULL"):
        return Clause(tokens[at], comparator, None), 1 + width
    value_at = at + 1 + width
    if not comparator or value_at >= len(tokens) or not tokens[value_at].is_operand:
        return None, 1
    value = tokens[value_at]
    if comparator in ("IN", "NOT IN") and value.kind is not Kind.LIST:
        return None, 1
    return Clause(tokens[at], comparator, value), 2 + width


def _comparator_at(tokens: Sequence[Token], at: int) -> tuple[str, int]:
    """Return the comparator at token `at` and how many tokens it has; ("", 0) if there is none."""
    if at < len(tokens) and tokens[at].kind is Kind.OPERATOR:
        return tokens[at].text, 1
    match [token.text.upper() if token.kind is Kind.NAME else "" for token in tokens[at : at + 3]]:
        case ["IS", "NOT", "NULL"]:
            return "IS NOT NULL", 3
        case ["IS", "NULL", *_]:
            return "IS NULL", 2
        case ["NOT", word, *_] if word in WORD_COMPARATORS:
            return f"NOT {word}", 2
        case [word, *_] if word in WORD_COMPARATORS:
            return word, 1
    return "", 0


def parse_order(text: str) -> tuple[Name, bool]:
    """Return the name in an order_by clause and whether it is descending. Raise MLflow's error for any other text."""
    tokens = list(islice(_tokens(text, {}), 3)) if len(text) <= TEXT_LIMIT else []
    direction = tokens[1].text.upper() if len(tokens) == 2 else "ASC"
    has_blank = bool(tokens) and _BLANK_IN_NAME.match(tokens[0].text) is not None
    if (has_blank and len(tokens) == 1) or (
        direction not in DIRECTIONS and tokens[0].is_name and tokens[1].kind is Kind.NAME
    ):
        raise invalid(f"Invalid ordering key in order_by clause '{text[:1000]}'.")
    # MLflow accepts spaces within a clause, not around it.
    is_valid = len(tokens) in (1, 2) and tokens[0].is_name and direction in DIRECTIONS and text == text.strip()
    if not is_valid or has_blank or tokens[0].text.upper() in DIRECTIONS:
        raise invalid(f"Invalid order_by clause '{text[:1000]}'. Could not be parsed.")
    return name_of(tokens[0]), direction == "DESC"


def name_of(token: Token) -> Name:
    """Return a token as a name, whose entity precedes the first dot. Raise if it is not a name."""
    if not token.is_name:
        raise invalid(f"Invalid comparison clause. Expected 'Identifier' found '{token.text[:1000]}'")
    entity, dot, key = token.text.partition(".")
    if not dot:
        return Name("", unquoted(token.text))
    return Name(entity.strip("`") if entity.endswith("`") else entity, unquoted(key))


def unquoted(text: str) -> str:
    """Return the text without the quotes around it, if it has any. It has no escapes."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"`":
        return text[1:-1]
    return text


def list_items(token: Token) -> list[str]:
    """Return the strings of a list in brackets. Raise MLflow's error for an empty or mixed one."""
    text = token.text[1:-1]
    if _TEXTS.fullmatch(text):
        texts = text.split("'")[1::2]
        if len(texts) <= ITEMS_LIMIT:
            return texts
    inside = tokenize(text, limit=2 * ITEMS_LIMIT)
    if not inside:
        raise invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but got empty list"
        )
    items, commas = inside[::2], inside[1::2]
    if any(item.kind not in (Kind.STRING, Kind.NUMBER, Kind.NAME) for item in items) or any(
        comma.text != "," for comma in commas
    ):
        raise invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list."
        )
    if any(item.kind is not Kind.STRING for item in items):
        shown = ", ".join(item.text for item in items)[:1000] + ("," if len(items) == 1 else "")
        raise invalid(
            "While parsing a list in the query, expected string value, punctuation, or whitespace, "
            f"but got different type in list: ({shown})"
        )
    return [unquoted(item.text) for item in items]


def tokenize(text: str, *, limit: int = TOKENS_LIMIT) -> list[Token]:
    """Split a text into tokens without spaces. A character that fits nowhere becomes a STRAY token.

    Raise INVALID_PARAMETER_VALUE if there are more than `limit`.
    """
    tokens = list(islice(_tokens(text, _closing_brackets(text)), limit + 1))
    if len(tokens) > limit:
        raise invalid(f"Invalid filter: it has more than {limit} words and symbols.")
    return tokens


def _tokens(text: str, closing: Mapping[int, int]) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if at in closing:
            yield Token(Kind.LIST, text[at : closing[at]])
            at = closing[at]
            continue
        lexeme = _LEXEME.match(text, at)
        assert lexeme is not None, "the last alternative takes any character"
        at = lexeme.end()
        match lexeme.lastgroup:
            case "word":
                yield Token(_kind(lexeme[0]), lexeme[0])
            case "operator":
                yield Token(Kind.OPERATOR, lexeme[0])
            case "string":
                yield Token(Kind.STRING, lexeme[0])
            case "stray":
                yield Token(Kind.STRAY, lexeme[0])


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _kind(text: str) -> Kind:
    if is_number(text):
        return Kind.NUMBER
    if _ONE_DOUBLE_QUOTED.fullmatch(text):
        return Kind.STRING
    return Kind.NAME if _NAME.fullmatch(text) else Kind.OTHER_WORD


def _closing_brackets(text: str) -> dict[int, int]:
    """Return where the group of each closed opening bracket ends, in one pass over the text."""
    closing: dict[int, int] = {}
    open_at: list[int] = []
    if "(" not in text:
        return closing
    for match in _BRACKETS_AND_STRINGS.finditer(text):
        if match[0] == "(":
            open_at.append(match.start())
            if len(open_at) + len(closing) > TOKENS_LIMIT:
                raise invalid(f"Invalid filter: it has more than {TOKENS_LIMIT} brackets.")
        elif match[0] == ")" and open_at:
            closing[open_at.pop()] = match.end()
    return closing
