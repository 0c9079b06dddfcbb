"""Names and texts use the field's standard terms: the avoid list, one meaning per class name, one declaration per
setting.
"""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from railtrack.config.lookup import declared_settings
from railtrack.config.settings import SETTINGS, Settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "railtrack"
MODULES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tools").glob("*.py"), ROOT / "build_ui.py"])
TEST_MODULES = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").glob("*.py")])
"""Checked without their string literals, which may be data: recorded texts, or texts of MLflow's pages."""

AVOIDED_IN_NAMES = {
    "anew": "again",
    "best": "top_values",
    "cells": "shared memory",
    "climbs": "has_traversal",
    "mend": "fix",
    "mends": "fixes",
    "outgoing": "http_client",
    "passing": "transient or retryable",
    "pasted": "sanitize",
    "pick": "per_dialect",
    "place": "location, field_path, sort_key or index",
    "places": "locations or indexes",
    "refusal": "rejection or validation error",
    "refusals": "rejections or validation errors",
    "refuse": "reject",
    "refused": "rejected",
    "refuses": "rejects",
    "said": "message",
    "say": "report, log or message",
    "says": "report, log or message",
    "settled": "retry_on_conflict",
    "tell": "report, log or warn",
    "tells": "report, log or warn",
    "told": "message or description",
    "trial": "probe or test delivery",
    "trouble": "error, failure or issue",
    "troubles": "errors, failures or issues",
    "weigh": "cost",
    "weight": "cost",
    "whoever": "the caller",
    "words": "message or description",
}
"""Words that no identifier or module name contains, and what to use instead."""

AVOIDED_CLASSES = {"Answer": "Response", "Cells": "SharedMemory", "Counts": "Counters", "Found": "Resolved..."}

AVOIDED_IN_TEXTS = {
    r"anew": "again",
    r"by our own hand|of ours|of its own": "custom, internal or own",
    r"given up": "timed out",
    r"looked after": "maintained",
    r"mends?|mended": "fix",
    r"of late": "recently",
    r"passed over": "ignored",
    r"(?<!connection )refus(?:e|es|ed|al|als|ing)(?! connection)": "reject, or the condition that failed",
    r"tells?|told": "report, log or show",
    r"sa(?:y|ys|id)": "report, or quote the message",
    r"seen to its end": "completed",
    r"troubles?": "error, failure or issue",
    r"whoever": "the caller",
}
"""Patterns that no string literal, docstring or comment contains, and what to use instead."""

AVOIDED_IN_MESSAGES = {r"is none|are none": "an invalid ..."}
"""Patterns that no string literal contains."""

DECLARATIONS = (
    "src/railtrack/config/settings.py",
    "src/railtrack/config/artifact_settings.py",
    "src/railtrack/config/server_settings.py",
    "src/railtrack/config/tls_settings.py",
    "src/railtrack/config/login_settings.py",
)
MOST_REPEATED = 2
"""Members of another class that may be named as settings are, such as `host` and `port` of an address."""

SAME_CONCEPT: dict[str, str] = {}
"""Class names that more than one module defines, with the reason."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Yield each module's path and syntax tree."""
    for path in MODULES:
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def split_name(name: str) -> set[str]:
    """Return the words of a name in snake_case or CamelCase."""
    return set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))


def identifiers(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module gives to classes, functions, arguments, variables and attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield name


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield the docstrings of a module, which include those of variables."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text


def texts(tree: ast.Module) -> Iterator[str]:
    """Yield the string literals of a module except its docstrings."""
    expressions = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in expressions:
            yield node.value


def class_definitions() -> dict[str, list[str]]:
    """Return the files that define each class name."""
    definitions = defaultdict(list)
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                definitions[node.name].append(path)
    return definitions


def avoided_names(path: str, tree: ast.Module) -> set[str]:
    names = {Path(path).stem, *identifiers(tree)}
    return {name for name in names if split_name(name) & AVOIDED_IN_NAMES.keys() or name in AVOIDED_CLASSES}


def avoided_texts(tree: ast.Module) -> list[str]:
    patterns = "|".join([*AVOIDED_IN_TEXTS, *AVOIDED_IN_MESSAGES])
    return [text for text in texts(tree) if re.search(rf"\b(?:{patterns})\b", text, re.IGNORECASE)]


def avoided_prose(source: str) -> list[str]:
    """Return the comments and strings, which include docstrings, with an avoided word."""
    avoided = re.compile(rf"\b(?:{'|'.join(AVOIDED_IN_TEXTS)})\b", re.IGNORECASE)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    prose = [token.string for token in tokens if token.type in (tokenize.COMMENT, tokenize.STRING)]
    return [text for text in prose if avoided.search(text)]


def avoided_comments(source: str, tree: ast.Module) -> list[str]:
    """Return the docstrings and comments with an avoided word."""
    avoided = re.compile(rf"\b(?:{'|'.join(AVOIDED_IN_TEXTS)})\b", re.IGNORECASE)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return [text for text in [*docstrings(tree), *comments] if avoided.search(text)]


def test_no_name_contains_an_avoided_word() -> None:
    found = {path: names for path, tree in trees() if (names := avoided_names(path, tree))}
    assert not found, "AVOIDED_IN_NAMES and AVOIDED_CLASSES have the terms to use instead"


def test_no_text_contains_an_avoided_word() -> None:
    found = {path: lines for path, tree in trees() if (lines := avoided_texts(tree))}
    assert not found, "AVOIDED_IN_TEXTS has the terms to use instead"


def test_no_docstring_or_comment_contains_an_avoided_word() -> None:
    found = {str(path): prose for path in MODULES if (prose := avoided_prose(path.read_text()))}
    assert not found, "AVOIDED_IN_TEXTS has the terms to use instead"


def test_no_test_has_an_avoided_word_in_names_docstrings_or_comments() -> None:
    found = {}
    for path in TEST_MODULES:
        name, source = str(path.relative_to(ROOT)), path.read_text()
        tree = ast.parse(source)
        if avoided := [*avoided_names(name, tree), *avoided_comments(source, tree)]:
            found[name] = avoided
    assert not found, "AVOIDED_IN_NAMES and AVOIDED_IN_TEXTS have the terms to use instead"


def test_a_class_name_stands_for_one_concept() -> None:
    repeated = {name: paths for name, paths in class_definitions().items() if len(paths) > 1}
    assert not {name: paths for name, paths in repeated.items() if name not in SAME_CONCEPT}
    assert repeated.keys() >= SAME_CONCEPT.keys(), "an exception that is no longer needed"


@pytest.mark.parametrize(
    ("source", "names", "lines"),
    [
        ("def refuse_large(): ...", {"refuse_large"}, []),
        ("class TroubleLog: ...", {"TroubleLog"}, []),
        ("self.told = 1", {"told"}, []),
        ("lambda weight: 1", {"weight"}, []),
        ("raise ValueError(f'{x} has a port that is none')", set(), [" has a port that is none"]),
        ("log.error('The store refuses it')", set(), ["The store refuses it"]),
        ("def replace(): 'Docstrings may say it.'", set(), []),
    ],
)
def test_the_checks_find_avoided_terms(source: str, names: set[str], lines: list[str]) -> None:
    tree = ast.parse(source)
    assert (avoided_names("module.py", tree), avoided_texts(tree)) == (names, lines)


@pytest.mark.parametrize(
    ("source", "is_avoided"),
    [
        ("def f():\n    'Whether it refuses.'", True),
        ("x = 1  # of late", True),
        ("x = 1  # 429 or a refused connection", False),
        ("refuse = 1  # a name", False),
    ],
)
def test_the_check_of_prose_finds_avoided_terms(source: str, is_avoided: bool) -> None:
    assert bool(avoided_prose(source)) is is_avoided


@pytest.mark.parametrize(
    ("source", "is_avoided"),
    [
        ("def f():\n    'Whether it refuses.'", True),
        ("x = 1\n'As it is told.'", True),
        ("x = 'A recorded text may say it.'", False),
        ("x = 1  # of late", True),
    ],
)
def test_the_check_of_comments_ignores_string_literals(source: str, is_avoided: bool) -> None:
    assert bool(avoided_comments(source, ast.parse(source))) is is_avoided


def test_each_setting_is_declared_once() -> None:
    paths = [one.path for one in SETTINGS]
    names = [name for one in SETTINGS for name in (*one.variables, *one.flags, *one.switches)]
    assert list(declared_settings(Settings)) == list(SETTINGS)
    assert len(set(paths)) == len(paths)
    assert len(set(names)) == len(names)


def test_no_other_class_repeats_the_settings_fields() -> None:
    """Code that reads settings takes a settings dataclass, not a protocol or copy of one."""
    names = {one.path.replace(".", "_") for one in SETTINGS} | {one.path.rpartition(".")[2] for one in SETTINGS}
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and path not in DECLARATIONS:
                repeated = members_of(node) & names
                assert len(repeated) <= MOST_REPEATED, f"{path}: {node.name} repeats the settings {repeated}"


def members_of(node: ast.ClassDef) -> set[str]:
    """Return the names of a class's annotated attributes and methods, which include properties."""
    return {
        str(getattr(member, "name", None) or getattr(getattr(member, "target", None), "id", None))
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AnnAssign)
    }


def test_only_the_settings_read_the_environment() -> None:
    readers = re.compile(r"\bos\.environ|\bgetenv\b")
    assert {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py") if readers.search(path.read_text())} == {
        DECLARATIONS[0],
        # What MLflow's clients read, for `railtrack verify`.
        "src/railtrack/config/client_settings.py",
        # By one variable, argcomplete lets a shell ask for completions.
        "src/railtrack/cli/__init__.py",
        # awscrt's providers take their settings from the environment of their process, which the other one makes.
        "src/railtrack/artifacts/s3/credential_process.py",
        "src/railtrack/artifacts/s3/credentials.py",
        # libpq's variables (PGHOST, ...) complete every PostgreSQL URL.
        "src/railtrack/db/url.py",
    }
