"""A small client of a deployed server, for `railtrack verify`: its address, the login, JSON both ways. No retries."""

import base64
import json
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlencode, urljoin, urlsplit

from railtrack.errors import StartError
from railtrack.http_client.client import HttpClient, Origin, TransferError

ANSWER_BYTES = 64 << 20
SHOWN = 500
"""Characters of an unexpected answer that are told."""


class Unexpected(Exception):
    """The server did not do what it was asked: what it did, and the next step, which may be ""."""

    def __init__(self, fault: str, advice: str = "") -> None:
        super().__init__(fault)
        self.fault = fault
        self.advice = advice


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        """The status, and what MLflow's errors say, or else the body."""
        text = self.body.decode(errors="replace")
        with suppress(ValueError, KeyError, TypeError):
            text = str(json.loads(text)["message"])
        text = " ".join(text.split())
        return f"{self.status} {text[:SHOWN]}{'...' if len(text) > SHOWN else ''}".strip()


class Client:
    """`url`: the server's, perhaps with a path, and with user and password, which are never shown."""

    def __init__(self, url: str, authorization: str = "") -> None:
        """`authorization`: the header's value; a login in the URL wins over it. Raises StartError."""
        parts = _split(url)
        self.shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._origin = Origin.of(url)
        self._prefix = parts.path.rstrip("/")
        self._http = HttpClient(self._origin)
        self._headers = {"host": self._origin.netloc, "user-agent": "railtrack-verify", "accept-encoding": "identity"}
        if parts.username:
            authorization = basic(unquote(parts.username), unquote(parts.password or ""))
        if authorization:
            self._headers["authorization"] = authorization

    async def send(
        self, method: str, path: str, query: dict[str, str] | None = None, body: bytes = b"", kind: str = ""
    ) -> Answer:
        """`path` below the server's, as it is in a URL; `kind`: the body's content type. Raises Unexpected."""
        target = f"{self._prefix}/{path}{f'?{urlencode(query, quote_via=quote)}' if query else ''}"
        headers = {**self._headers, "content-type": kind} if kind else self._headers
        try:
            answer = await self._http.send(method, target, headers, body)
            return Answer(answer.status, answer.headers, await answer.read(ANSWER_BYTES))
        except TransferError as error:
            raise Unexpected(f"No answer from {self.shown}: {error}") from error

    async def ask(self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> Any:
        """The JSON of a call of MLflow's API that is to succeed. Raises Unexpected."""
        sent = b"" if body is None else json.dumps(body).encode()
        answer = await self.send(method, f"api/2.0/mlflow/{path}", query, sent, "application/json" if sent else "")
        if answer.status != 200:
            raise Unexpected(f"{path} answers {answer}")
        try:
            return json.loads(answer.body)
        except ValueError:
            raise Unexpected(f"{path} answers no JSON: {answer}") from None

    def target_of(self, link: str) -> str | None:
        """What to send() for a link on the server's page; None when it leads elsewhere."""
        base = f"{self._origin.url}{self._prefix}/"
        found = urljoin(base, link)
        return found.removeprefix(base) if found.startswith(base) else None

    def close(self) -> None:
        self._http.close()


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise StartError("The URL of the server is one such as https://name.up.railway.app or http://127.0.0.1:5000.")
