"""What a scenario is made of: exchanges, the answers it gets back, and the loop that plays one to a server.

A scenario is a generator: it yields an Exchange and is sent the Answer. Nothing in here knows which server answers.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

API = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"
FIRST_EXPERIMENT = 1_000_000
"""A play's experiments are numbered from here on: no other number in a text is mistaken for one of their ids."""


@dataclass(frozen=True)
class Exchange:
    """One request, ready to be sent. `body` are the bytes on the wire; `shows` is what the record says of them.

    `keep` names the headers of the answer that are compared; `pick` reduces a list of the answer (see search_runs).
    """

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    shows: Any = None
    keep: tuple[str, ...] = ()
    pick: tuple[str, ...] = ()


@dataclass(frozen=True)
class Response:
    """What a server said. `headers` have lower-case names."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def at(self, *keys: str | int) -> Any:
        """The value at a path of the JSON answer; a text that names the path where the answer has none.

        A scenario goes on after a wrong answer, so that one play reports every difference.
        """
        value: Any = json.loads(self.body) if self.media_type == "application/json" else None
        for key in keys:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return "absent:" + ".".join(map(str, keys))
        return value


Script = Generator[Exchange, Response, Any]
Scenario = Callable[[str], Script]
Send = Callable[[Exchange], Awaitable[Response]]


def get(
    name: str,
    path: str,
    query: Mapping[str, Any] | None = None,
    *,
    keep: tuple[str, ...] = (),
    pick: tuple[str, ...] = (),
) -> Exchange:
    """A GET; a list in `query` repeats the parameter."""
    return Exchange(name, "GET", _url(path, query), headers={"Content-Type": "application/json"}, keep=keep, pick=pick)


def post(name: str, path: str, body: Any, *, pick: tuple[str, ...] = ()) -> Exchange:
    """A POST of `body` as JSON."""
    typed = {"Content-Type": "application/json"}
    return Exchange(name, "POST", _url(path), json.dumps(body).encode(), typed, shows=body, pick=pick)


def raw(
    name: str,
    path: str,
    body: bytes = b"",
    content_type: str | None = "application/json",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    keep: tuple[str, ...] = (),
) -> Exchange:
    """A request whose body is sent as it stands. `content_type=None` sends no such header."""
    typed = {"Content-Type": content_type} if content_type else {}
    shown = body.decode("utf-8", "backslashreplace")
    return Exchange(name, method, _url(path), body, {**typed, **(headers or {})}, shown, keep)


def _url(path: str, query: Mapping[str, Any] | None = None) -> str:
    path = path if path.startswith("/") else API + path
    return f"{path}?{urlencode(query, doseq=True, safe='/')}" if query else path


def new_prefix() -> str:
    """What the names of a play begin with. Its first digit keeps `<prefix>7` from looking like a generated name."""
    return f"compat-0{secrets.token_hex(4)[1:]}-"


@dataclass(frozen=True)
class Played:
    exchange: Exchange
    response: Response


async def play(scenario: Scenario, prefix: str, send: Send) -> list[Played]:
    """Play a scenario to the end. `prefix` starts every name it makes, so that it may be played again and again."""
    played: list[Played] = []
    script = scenario(prefix)
    exchange = next(script)
    names = set()
    while True:
        assert exchange.name not in names, f"two exchanges are named {exchange.name!r}"
        names.add(exchange.name)
        response = await send(exchange)
        played.append(Played(exchange, response))
        await next_millisecond()
        try:
            exchange = script.send(response)
        except StopIteration:
            return played


async def next_millisecond() -> None:
    """Let the clock's millisecond pass, so that no two changes of a play bear the same time.

    The slower server never gives them the same one; where they had it, lists ordered by time would fall back to names.
    """
    await asyncio.sleep(0.0015)
