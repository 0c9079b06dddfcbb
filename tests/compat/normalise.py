"""Make two runs of a scenario comparable: replace ids, times, generated names and page tokens by placeholders.

An id has the same placeholder throughout a run, so swapped ids are detected. Values chosen by a scenario stay.
"""

import hashlib
import json
import re
import time
from datetime import datetime
from functools import reduce
from operator import getitem
from typing import Any
from urllib.parse import quote_plus

from tests.compat.play import FIRST_IDS, Exchange, Played

HEX_ID = re.compile(r"(?<![0-9a-fA-F])(?:m-)?[0-9a-fA-F]{32}(?![0-9a-fA-F])")
UUID = re.compile(r"(?<![\w-])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![\w-])")
ID_OR_NUMBER = re.compile(UUID.pattern + "|" + HEX_ID.pattern + r"|(?<![\w.-])\d+(?![\w-]|\.\w)")
ACCESS_IDS = range(min(FIRST_IDS.values()), max(FIRST_IDS.values()) + 100_000_000)
OWN_ROLE = re.compile(r"(?<=__user_)\d{10}(?=__)")
"""The user's id in the name of the role for its own grants."""
BEFORE_AN_EXPERIMENT = re.compile(r"(?i)experiment|\bids?\b|artifacts?[:/ ]|path=|path: '|to '|as '|s3://|file:")
DATABASE_ERROR = re.compile(r"(\(raised as a result.*\n)?\((sqlite3|psycopg2|builtins)\..*\[SQL: .*", re.DOTALL)
PRINTED_SET = re.compile(r"\{('[^'{}]*'(?:, '[^'{}]*')+)\}")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SERVER = re.compile(r"http://127\.0\.0\.1:\d+")
GENERATED_NAME = re.compile(r"[a-z]+-[a-z]+-\d{1,4}")
REPEATED = re.compile(r"(.{1,12}?)\1{39,}", re.DOTALL)
DAY_MS = 86_400_000

EXPERIMENT_KEYS = {"experiment_id", "experimentId", "experiment_ids", "query.experiment_id"}
UNORDERED = {
    "permissions",
    "role_permissions",
    "tags",
    "params",
    "metrics",
    "dataset_summaries",
}
"""Lists in no defined order. A metric history is `metrics` at the top level of a response, and is ordered."""
OMITTED = {"sqlstate", "error_class"}
"""Members of an error that clients do not read."""
LONGEST_LIST = 30


class Normaliser:
    """The placeholders of one run. Pass its exchanges in order: a request, then its response."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.now = time.time() * 1000
        self.known: dict[str, str] = {}
        self.chosen: set[str] = set()
        self.tokens: set[str] = set()
        self.asked = ""

    def play(self, played: list[Played]) -> dict[str, dict[str, Any]]:
        """Return the record of a run: exchange name -> {"request": ..., "answer": ...}."""
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
            shown["body"] = _abbreviated(self._value(exchange.shows, "body"))
        typed = exchange.headers.get("Content-Type")
        others = {k: v for k, v in exchange.headers.items() if k != "Content-Type"}
        if typed != "application/json":
            shown["content_type"] = typed
        if others:
            shown["headers"] = others
        if exchange.credentials:
            shown["user"] = self._text(exchange.credentials[0])
        return shown

    def response(self, played: Played) -> Any:
        response = played.response
        kept = {name: self._text(response.headers.get(name, "")) for name in played.exchange.keep}
        shown: dict[str, Any] = {"status": response.status}
        if response.media_type == "application/json" and response.body:
            compared = self._own(reduced(response.json, played.exchange.only), played.exchange.own)
            shown["json"] = _abbreviated(self._value(self._sorted(compared), ""))
        elif response.body:
            shown["media_type"] = response.media_type
            shown["text"] = abbreviate(self._text(response.body.decode("utf-8", "backslashreplace")))
        if kept:
            shown["headers"] = kept
        return shown

    def _own(self, response: Any, name: str) -> Any:
        """Return the response with the list of this name reduced to the items of this run, in order of their names."""
        if not name or not isinstance(response, dict) or name not in response:
            return response
        own = [item for item in response[name] if self.prefix in json.dumps(item)]
        return {**response, name: sorted(own, key=lambda item: item.get("username") or item["name"])}

    def _choose(self, text: str) -> None:
        """Note ids that occur in a request before any response: the scenario chose them. Ignore short numbers."""
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
            pairs = {k: self._value(v, k) for k, v in value.items() if (k, v) != ("next_page_token", "")}
            if "last_update_time" in value and "digest" in value:  # of an evaluation dataset, which is that of the time
                pairs["digest"] = "<digest>"
            if isinstance(number := value.get("experiment_id"), int):  # of a scorer
                pairs["experiment_id"] = self._string(str(number), "experiment_id")
            if value.get("key") == "mlflow.runName" and isinstance(value.get("value"), str):
                pairs["value"] = self._value(value["value"], "run_name")
            return pairs
        if isinstance(value, list):
            return [self._value(item, key) for item in value]
        if isinstance(value, str):
            return self._string(value, key)
        if isinstance(value, int) and self._is_now(value):
            return "<time>"
        if isinstance(value, int) and value in ACCESS_IDS:
            return self._access_id(value)
        return value

    def _string(self, value: str, key: str) -> str:
        if key in EXPERIMENT_KEYS and value.isdigit() and value not in self.chosen:
            return self._placeholder(value, "experiment")
        if key in {"run_name", "runName", "name"} and GENERATED_NAME.fullmatch(value):
            return self._placeholder(value, "name")
        if key in {"next_page_token", "nextPageToken"} and value:
            self.tokens.add(value)
            return "<token>"
        if TIMESTAMP.fullmatch(value) and self._is_now(datetime.fromisoformat(value).timestamp() * 1000):
            return "<time>"
        return self._text(value)

    def _text(self, text: str) -> str:
        text = text.replace(self.prefix, "<prefix>")
        text = SERVER.sub("<server>", DATABASE_ERROR.sub("<database error>", text))
        text = PRINTED_SET.sub(lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", text)
        for token in self.tokens:
            text = text.replace(token, "<token>").replace(quote_plus(token), "<token>")
        text = OWN_ROLE.sub(lambda found: self._access_id(int(found[0])), text)
        return ID_OR_NUMBER.sub(self._id_or_number, text)

    def _access_id(self, value: int) -> str:
        """Return the placeholder of the id of a user, role, permission or assignment."""
        kind = max((first, kind) for kind, first in FIRST_IDS.items() if first <= value)[1]
        return self._placeholder(str(value), kind)

    def _id_or_number(self, found: re.Match[str]) -> str:
        """Return the placeholder of an id. A number is an experiment id if it is known and the text before it fits."""
        value = found[0]
        if value in self.chosen:
            return value
        if value.isdigit() and int(value) in ACCESS_IDS:
            return self._access_id(int(value))
        if not value.isdigit():
            return self._placeholder(value, "model" if value.startswith("m-") else "id")
        before = found.string[max(0, found.start() - 24) : found.start()]
        if value in self.known and BEFORE_AN_EXPERIMENT.search(before):
            return self.known[value]
        return "<time>" if len(value) == 13 and self._is_now(int(value)) else value

    def _is_now(self, value: float) -> bool:
        return self.now - DAY_MS < value < self.now + DAY_MS

    def _placeholder(self, value: str, kind: str) -> str:
        """Return a placeholder named after the exchange that introduced the value, independent of others."""
        if value not in self.known:
            name = f"{kind}: {self.asked}"
            taken = sum(known.startswith(f"<{name}") for known in self.known.values())
            self.known[value] = f"<{name} #{taken + 1}>" if taken else f"<{name}>"
        return self.known[value]


def reduced(response: Any, path: tuple[str, ...]) -> Any:
    """Return the response with each item of the list path[0] reduced to its member at path[1:]."""
    if not path or not isinstance(response, dict) or path[0] not in response:
        return response
    return {**response, path[0]: [reduce(getitem, path[1:], item) for item in response[path[0]]]}


def _sort_key(item: Any) -> str:
    """Return a key that ignores ids, so that the order depends only on values chosen by the scenario."""
    return HEX_ID.sub("", json.dumps(item, sort_keys=True))


def abbreviate(text: str) -> str:
    """Return the text with long repetitions written as in Python: `<'x' * 500>`."""
    return REPEATED.sub(lambda m: f"<{m[1]!r} * {len(m[0]) // len(m[1])}>", text)


def _abbreviated(value: Any) -> Any:
    """Return the value with long texts abbreviated, and long lists replaced by their length and digest."""
    if isinstance(value, dict):
        return {abbreviate(k): _abbreviated(v) for k, v in value.items()}
    if isinstance(value, list):
        items = [_abbreviated(item) for item in value]
        if len(items) <= LONGEST_LIST:
            return items
        digest = hashlib.sha256(json.dumps(items).encode()).hexdigest()[:12]
        return [*items[:2], f"<{len(items) - 3} more, sha256 {digest}>", items[-1]]
    return abbreviate(value) if isinstance(value, str) else value
