"""Filter and order_by texts, read into clauses. What their names mean is for the vocabulary to say.

The grammar is MLflow's, learnt by asking it: comparisons joined by AND; no OR, NOT or parentheses. Like there, a
missing or repeated AND is forgiven, and quotes and backslashes inside a quoted string stand for themselves.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from itertools import pairwise
from typing import NamedTuple

from railtrack.errors import ApiError, invalid

TEXT_LIMIT = 200_000
"""Characters of a filter: room for 5,000 run ids in a list, where MLflow stops at about 3,300."""

# Atomic groups, (?>...): a string is read in one way only, so that no text makes the matching take exponential time.
QUOTED = r"""(?>'(?:''|\\'|[^'])*')"""
DOUBLE_QUOTED = r"""(?>"(?:""|\\"|[^"])*")"""
BACKTICKED = r"(?>`[^`]*`)"
BARE = r"""[^\s=<>!~'"`(),;]+"""

# A quoted part belongs to a name when a dot stands before it: metrics."a b", tags.`mlflow.note`.
_LEXEME = re.compile(
    rf"""
      (?P<space>    \s+ )
    | (?P<operator> [=<>!~]+ )
    | (?P<string>   {QUOTED} )
    | (?P<word>     (?:{BARE}|{DOUBLE_QUOTED}|{BACKTICKED})
                    (?: (?<=\.) (?:{QUOTED}|{DOUBLE_QUOTED}|{BACKTICKED}) | (?<=["'`]) \. (?:{BARE})? )* )
    | (?P<stray>    . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BRACKETS_AND_STRINGS = re.compile(rf"[()]|{QUOTED}|{DOUBLE_QUOTED}|{BACKTICKED}")
_ONE_DOUBLE_QUOTED = re.compile(DOUBLE_QUOTED)
_NAME = re.compile(rf"(?:\w|{DOUBLE_QUOTED}|{BACKTICKED})(?:[\w.]|{QUOTED}|{DOUBLE_QUOTED}|{BACKTICKED})*")
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class Kind(Enum):
    """What a piece of the text is."""

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
        """A double-quoted text is a string to the right of a comparator and a name to the left of it."""
        return self.kind is Kind.NAME or (self.kind is Kind.STRING and self.text[0] == '"')


class Clause(NamedTuple):
    """`left comparator right` as written, the comparator in capitals; IS NULL and IS NOT NULL have no right side."""

    left: Token
    comparator: str
    right: Token | None


class Name(NamedTuple):
    """A name's parts; `entity` is "" for a bare attribute."""

    entity: str
    key: str


DIRECTIONS = ("ASC", "DESC")
WORD_COMPARATORS = frozenset({"LIKE", "ILIKE", "RLIKE", "REGEXP", "IN"})


def parse_filter(text: str, stray_clauses: str) -> list[Clause]:
    """The comparisons of a filter. Raises MLflow's complaint about what is none.

    `stray_clauses`: that complaint's words, which differ between MLflow's resources; `{clauses}` stands for what is no
    comparison, `{quoted}` for the same in quotes, `{filter}` for the whole text.
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
    stray: list[str] = []
    at = 0
    while at < len(tokens):
        if found := _clause_at(tokens, at):
            clauses.append(found[0])
            at += found[1]
        else:
            if tokens[at].text.upper() != "AND":
                stray.append(tokens[at].text)
            at += 1
    if stray:
        raise _stray_clauses(stray_clauses, stray, text)
    return clauses


def _stray_clauses(words: str, stray: Sequence[str], text: str) -> ApiError:
    shown = [clause if len(clause) <= 250 else clause[:250] + "..." for clause in stray[:20]]
    quoted = ", ".join(f"'{clause}'" for clause in shown)
    return invalid(words.format(clauses=", ".join(shown), quoted=quoted, filter=text[:1000]))


def _clause_at(tokens: Sequence[Token], at: int) -> tuple[Clause, int] | None:
    """The comparison that starts at token `at`, and how many tokens it takes."""
    if not tokens[at].is_operand:
        return None
    comparator, width = _comparator_at(tokens, at + 1)
    if comparator in ("IS NULL", "IS NOT NULL"):
        return Clause(tokens[at], comparator, None), 1 + width
    value_at = at + 1 + width
    if not comparator or value_at >= len(tokens) or not tokens[value_at].is_operand:
        return None
    value = tokens[value_at]
    if comparator in ("IN", "NOT IN") and value.kind is not Kind.LIST:
        return None
    return Clause(tokens[at], comparator, value), 2 + width


def _comparator_at(tokens: Sequence[Token], at: int) -> tuple[str, int]:
    """The comparator at token `at` and its width; ("", 0) when there is none."""
    if at < len(tokens) and tokens[at].kind is Kind.OPERATOR:
        return tokens[at].text, 1
    words = [token.text.upper() if token.kind is Kind.NAME else "" for token in tokens[at : at + 3]]
    match words:
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
    """The name of an order_by clause, and whether it goes down. Raises MLflow's complaints."""
    tokens = tokenize(text) if len(text) <= TEXT_LIMIT else []
    direction = tokens[1].text.upper() if len(tokens) == 2 else "ASC"
    if direction not in DIRECTIONS and tokens[0].is_name and tokens[1].kind is Kind.NAME:
        raise invalid(f"Invalid ordering key in order_by clause '{text[:1000]}'.")
    # MLflow takes no space around a clause, only within.
    readable = len(tokens) in (1, 2) and tokens[0].is_name and direction in DIRECTIONS and text == text.strip()
    if not readable or tokens[0].text.upper() in DIRECTIONS:
        raise invalid(f"Invalid order_by clause '{text[:1000]}'. Could not be parsed.")
    return name_of(tokens[0]), direction == "DESC"


def name_of(token: Token) -> Name:
    """The token as a name: what stands before its first dot is the entity. Raises when it is none."""
    if not token.is_name:
        raise invalid(f"Invalid comparison clause. Expected 'Identifier' found '{token.text[:1000]}'")
    entity, dot, key = token.text.partition(".")
    if not dot:
        return Name("", unquoted(token.text))
    return Name(entity.strip("`") if entity.endswith("`") else entity, unquoted(key))


def unquoted(text: str) -> str:
    """The text without the quotes around it, if it has any. What looks like an escape inside stays."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"`":
        return text[1:-1]
    return text


def list_items(token: Token) -> list[str]:
    """The strings of a list in brackets. Raises MLflow's complaints about an empty or mixed one."""
    inside = tokenize(token.text[1:-1])
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


def tokenize(text: str) -> list[Token]:
    """The text in pieces, without its spaces. Nothing is lost: what fits nowhere is STRAY, a character each."""
    return list(_tokens(text, _closing_brackets(text)))


def _tokens(text: str, closing: dict[int, int]) -> Iterator[Token]:
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
    """Where each opening bracket's group ends, for those that are closed; found in one pass over the text."""
    closing: dict[int, int] = {}
    open_at: list[int] = []
    for match in _BRACKETS_AND_STRINGS.finditer(text):
        if match[0] == "(":
            open_at.append(match.start())
        elif match[0] == ")" and open_at:
            closing[open_at.pop()] = match.end()
    return closing
