"""A client of the ASGI application in this process: requests as dictionaries, answers with what tests look at."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode

from railtrack.app import App
from railtrack.auth import Policy
from railtrack.config.settings import Settings

API = "/api/2.0/mlflow/"


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """A path without a leading slash is below /api/2.0/mlflow/."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def get(self, path: str, query: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """`query`: a list is sent by repetition."""
        return await self.send("GET", path, query=query, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Response:
        return await self.send("POST", path, json=json, **options)

    async def ok(self, method: str, path: str, json: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer of a request that is to succeed."""
        response = await self.send(method, path, json=json, query=query)
        assert response.status == 200, response.text
        return response.json

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        query: Mapping[str, Any] | None = None,
        body: bytes | Sequence[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        peer: str = "127.0.0.1",
    ) -> Response:
        """`json`: any value, sent as application/json; `body`: bytes instead, in pieces where it is a list; `peer`: the
        address that the connection comes from."""
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if json is not None:
            body = dumps(json)
            given.setdefault("content-type", "application/json")
        path, _, text = path.partition("?")
        text = text or urlencode(query or {}, doseq=True, quote_via=quote)
        scope = _scope(method, path, text, given) | {"client": (peer, 50_000)}
        sent = await _exchange(self._app, scope, [body] if isinstance(body, bytes) else list(body))
        start, *parts = sent
        answered: dict[str, str] = {}
        for name, value in start["headers"]:
            earlier = answered.get(name.decode().lower())
            answered[name.decode().lower()] = (
                f"{earlier}, {value.decode('latin-1')}" if earlier else value.decode("latin-1")
            )
        return Response(start["status"], answered, b"".join(part.get("body", b"") for part in parts))

    async def hang_up(self, method: str, path: str, *, body: Sequence[bytes]) -> None:
        """Send `body` as the first part of a longer one, and close the connection without waiting for an answer."""
        await _exchange(self._app, _scope(method, path, "", {}), list(body), hang_up=True)


def _scope(method: str, path: str, query: str, headers: Mapping[str, str]) -> dict[str, Any]:
    full = path if path.startswith("/") else API + path
    return {
        "type": "http",
        "method": method,
        "path": unquote_to_bytes(full).decode(errors="replace"),
        "raw_path": full.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.encode(), value.encode("latin-1")) for name, value in {"host": "localhost", **headers}.items()
        ],
    }


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


async def _exchange(
    app: App, scope: dict[str, Any], pieces: list[bytes], *, hang_up: bool = False
) -> list[dict[str, Any]]:
    """The messages that the application sends; `hang_up`: the body is cut off after `pieces`."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": hang_up or at < len(pieces)}
        for at, piece in enumerate(pieces, 1)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        if not hang_up:
            await asyncio.Event().wait()  # a client that stays connected until it is answered
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@contextlib.asynccontextmanager
async def running_app(settings: Settings, policy: Policy | None = None) -> AsyncIterator[Client]:
    """The application with these settings, open as a worker has it."""
    app = App(settings, policy)
    app.open()
    try:
        yield Client(app)
    finally:
        await app.close()
