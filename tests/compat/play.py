"""Define exchanges, responses and scenarios, and run a scenario against a server.

A scenario is a generator that yields an Exchange and receives its Response. This module does not know which server
responds.
"""

import asyncio
import json
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

API = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"
ADMINISTRATOR = ("admin", "the administrator's own")
"""User name and password of the administrator of a server with login."""
FIRST_IDS = {"user": 1_100_000_000, "role": 1_200_000_000, "permission": 1_300_000_000, "assignment": 1_400_000_000}
"""First ids of a run of the scenarios with login, so that such an id is recognized wherever it occurs."""
FIRST_EXPERIMENT = 1_000_000
"""First experiment id of a run of the scenarios, so that no other number in a text is mistaken for such an id."""


@dataclass(frozen=True)
class Exchange:
    """A request to send. `body`: the bytes on the wire; `shows`: their form in the record.

    `keep` names the response headers to compare; `only` reduces a list of the response (see search_runs). `own` names a
    list of the response of which only the items that name something of this run are compared. `credentials` are a
    user's name and password; the record shows the name.
    """

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    shows: Any = None
    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    own: str = ""
    credentials: tuple[str, str] | None = None

    @property
    def sent_headers(self) -> dict[str, str]:
        """Return the headers with the credentials as Basic authorization."""
        if self.credentials is None:
            return dict(self.headers)
        encoded = b64encode(":".join(self.credentials).encode()).decode()
        return {**self.headers, "Authorization": f"Basic {encoded}"}


@dataclass(frozen=True)
class Response:
    """The response of a server. `headers` have lower-case names."""

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
        """Return the value at a path of the JSON response, or a text that names the path if it is absent.

        A scenario continues after a wrong response, so that one run reports every difference.
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
    only: tuple[str, ...] = (),
) -> Exchange:
    """Return a GET. A list in `query` repeats the parameter."""
    return Exchange(name, "GET", _url(path, query), headers={"Content-Type": "application/json"}, keep=keep, only=only)


def post(name: str, path: str, body: Any, *, only: tuple[str, ...] = ()) -> Exchange:
    """Return a POST of `body` as JSON."""
    typed = {"Content-Type": "application/json"}
    return Exchange(name, "POST", _url(path), json.dumps(body).encode(), typed, shows=body, only=only)


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
    """Return a request whose body is sent unchanged. `content_type=None` omits the header."""
    typed = {"Content-Type": content_type} if content_type else {}
    shown = body.decode("utf-8", "backslashreplace")
    return Exchange(name, method, _url(path), body, {**typed, **(headers or {})}, shown, keep)


def _url(path: str, query: Mapping[str, Any] | None = None) -> str:
    path = path if path.startswith("/") else API + path
    return f"{path}?{urlencode(query, doseq=True, safe='/')}" if query else path


def new_prefix() -> str:
    """Return a prefix for the names of a run. Its first digit keeps `<prefix>7` from looking like a generated name."""
    return f"compat-0{secrets.token_hex(4)[1:]}-"


@dataclass(frozen=True)
class Played:
    exchange: Exchange
    response: Response


async def play(scenario: Scenario, prefix: str, send: Send) -> list[Played]:
    """Run a scenario to the end. Every name that it creates starts with `prefix`, so runs do not collide."""
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
    """Wait for the next millisecond, so that no two changes of a run have the same time.

    The slower server never assigns equal times. With equal times, lists ordered by time would fall back to names.
    """
    await asyncio.sleep(0.0015)
