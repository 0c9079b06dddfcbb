"""Makes two plays of one scenario comparable: ids, times, generated names and page tokens become placeholders.

The same id gets the same placeholder throughout a play, so mixed-up ids show. Values that a scenario chose stay.
"""

import hashlib
import json
import re
import time
from functools import reduce
from operator import getitem
from typing import Any
from urllib.parse import quote_plus

from tests.compat.play import Exchange, Played

HEX_ID = re.compile(r"(?<![0-9a-fA-F])(?:m-)?[0-9a-fA-F]{32}(?![0-9a-fA-F])")
UUID = re.compile(r"(?<![\w-])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![\w-])")
ID_OR_NUMBER = re.compile(UUID.pattern + "|" + HEX_ID.pattern + r"|(?<![\w.-])\d+(?![\w.-])")
BEFORE_AN_EXPERIMENT = re.compile(r"(?i)experiment|\bids?\b|artifacts?[:/ ]|path=|path: '|to '|as '|s3://|file:")
DATABASE_ERROR = re.compile(r"(\(raised as a result.*\n)?\((sqlite3|psycopg2)\..*\[SQL: .*", re.DOTALL)
PRINTED_SET = re.compile(r"\{('[^'{}]*'(?:, '[^'{}]*')+)\}")
QUOTED_NAME = re.compile(r"filename=\"([^\" ]*)\"")
"""A file name in quotes that it doesn't need."""
SERVER = re.compile(r"http://127\.0\.0\.1:\d+")
GENERATED_NAME = re.compile(r"[a-z]+-[a-z]+-\d{1,4}")
REPEATED = re.compile(r"(.{1,12}?)\1{39,}", re.DOTALL)
DAY_MS = 86_400_000

EXPERIMENT_KEYS = {"experiment_id", "experimentId", "experiment_ids", "query.experiment_id"}
UNORDERED = {"tags", "params", "metrics", "dataset_inputs", "datasetInputs", "dataset_summaries"}
"""Lists whose order neither server promises. A metric history is `metrics` of the whole answer, and is ordered."""
OMITTED = {"sqlstate", "error_class"}
"""Members of an error that clients don't read."""
LONGEST_LIST = 30


class Normaliser:
    """One play's placeholders. Feed it the play in order: a request first, then its answer."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.now = time.time() * 1000
        self.known: dict[str, str] = {}
        self.chosen: set[str] = set()
        self.tokens: set[str] = set()
        self.asked = ""

    def play(self, played: list[Played]) -> dict[str, dict[str, Any]]:
        """The record of a play: exchange name -> {"request": ..., "answer": ...}."""
        return {
            one.exchange.name: {"request": self.request(one.exchange), "answer": self.response(one)} for one in played
        }

    def request(self, exchange: Exchange) -> Any:
        self.asked = exchange.name
        line = f"{exchange.method} {exchange.path}"
        self._choose(line)
        self._choose(json.dumps(exchange.shows))
        shown: dict[str, Any] = {"line": self._text(line)}
        if exchange.shows is not None:
            shown["body"] = _short(self._value(exchange.shows, "body"))
        typed = exchange.headers.get("Content-Type")
        others = {k: v for k, v in exchange.headers.items() if k != "Content-Type"}
        if typed != "application/json":
            shown["content_type"] = typed
        if others:
            shown["headers"] = others
        return shown

    def response(self, played: Played) -> Any:
        response = played.response
        kept = {name: QUOTED_NAME.sub(r"filename=\1", response.headers.get(name, "")) for name in played.exchange.keep}
        shown: dict[str, Any] = {"status": response.status}
        if response.media_type == "application/json" and response.body:
            shown["json"] = _short(self._value(self._sorted(picked(response.json, played.exchange.pick)), ""))
        elif response.body:
            shown["media_type"] = response.media_type
            shown["text"] = told_short(self._text(response.body.decode("utf-8", "backslashreplace")))
        if kept:
            shown["headers"] = kept
        return shown

    def _choose(self, text: str) -> None:
        """Ids that a request brings up before any answer did are the scenario's own; a short number is no id."""
        found = {one for one in ID_OR_NUMBER.findall(text) if len(one) >= 9}
        self.chosen |= found - self.known.keys()

    def _sorted(self, value: Any, key: str = "", depth: int = 0) -> Any:
        if isinstance(value, dict):
            return {k: self._sorted(v, k, depth + 1) for k, v in value.items() if k not in OMITTED}
        if isinstance(value, list):
            items = [self._sorted(item, "", depth + 1) for item in value]
            unordered = key in UNORDERED and (key != "metrics" or depth > 1)
            return sorted(items, key=_sort_key) if unordered else items
        return value

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            pairs = {k: self._value(v, k) for k, v in value.items()}
            if value.get("key") == "mlflow.runName" and isinstance(value.get("value"), str):
                pairs["value"] = self._value(value["value"], "run_name")
            return pairs
        if isinstance(value, list):
            return [self._value(item, key) for item in value]
        if isinstance(value, str):
            return self._string(value, key)
        if isinstance(value, int) and self._is_now(value):
            return "<time>"
        return value

    def _string(self, value: str, key: str) -> str:
        if key in EXPERIMENT_KEYS and value.isdigit() and value not in self.chosen:
            return self._placeholder(value, "experiment")
        if key in {"run_name", "runName", "name"} and GENERATED_NAME.fullmatch(value):
            return self._placeholder(value, "name")
        if key in {"next_page_token", "nextPageToken"} and value:
            self.tokens.add(value)
            return "<token>"
        return self._text(value)

    def _text(self, text: str) -> str:
        text = text.replace(self.prefix, "<prefix>")
        text = SERVER.sub("<server>", DATABASE_ERROR.sub("<database error>", text))
        text = PRINTED_SET.sub(lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", text)
        for token in self.tokens:
            text = text.replace(token, "<token>").replace(quote_plus(token), "<token>")
        return ID_OR_NUMBER.sub(self._id_or_number, text)

    def _id_or_number(self, found: re.Match[str]) -> str:
        """An experiment id inside a text is told from other numbers by being known and by what stands before it."""
        value = found[0]
        if value in self.chosen:
            return value
        if not value.isdigit():
            return self._placeholder(value, "model" if value.startswith("m-") else "id")
        before = found.string[max(0, found.start() - 24) : found.start()]
        if value in self.known and BEFORE_AN_EXPERIMENT.search(before):
            return self.known[value]
        return "<time>" if len(value) == 13 and self._is_now(int(value)) else value

    def _is_now(self, value: int) -> bool:
        return self.now - DAY_MS < value < self.now + DAY_MS

    def _placeholder(self, value: str, kind: str) -> str:
        """Named after the exchange that brought the value up: another exchange more or less leaves it the same."""
        if value not in self.known:
            name = f"{kind}: {self.asked}"
            taken = sum(known.startswith(f"<{name}") for known in self.known.values())
            self.known[value] = f"<{name} #{taken + 1}>" if taken else f"<{name}>"
        return self.known[value]


def picked(response: Any, path: tuple[str, ...]) -> Any:
    """The answer with the items of its first list, path[0], reduced to the member that the rest of path leads to."""
    if not path or not isinstance(response, dict) or path[0] not in response:
        return response
    return {**response, path[0]: [reduce(getitem, path[1:], item) for item in response[path[0]]]}


def _sort_key(item: Any) -> str:
    """By what a scenario chose, before ids get their numbers."""
    return HEX_ID.sub("", json.dumps(item, sort_keys=True))


def told_short(text: str) -> str:
    """The text with its long repetitions told as Python would: `<'x' * 500>`."""
    return REPEATED.sub(lambda m: f"<{m[1]!r} * {len(m[0]) // len(m[1])}>", text)


def _short(value: Any) -> Any:
    """The same value with giant texts and lists told by their length and a digest."""
    if isinstance(value, dict):
        return {told_short(k): _short(v) for k, v in value.items()}
    if isinstance(value, list):
        items = [_short(item) for item in value]
        if len(items) <= LONGEST_LIST:
            return items
        digest = hashlib.sha256(json.dumps(items).encode()).hexdigest()[:12]
        return [*items[:2], f"<{len(items) - 3} more, sha256 {digest}>", items[-1]]
    return told_short(value) if isinstance(value, str) else value
