"""A client of MLflow's API for `railtrack verify`: URL, login and JSON. No retries."""

import base64
import json
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlencode, urljoin, urlsplit

from railtrack.checks.client_tls import client_context
from railtrack.config.client_settings import client_tls
from railtrack.errors import StartError
from railtrack.http_client.client import HttpClient, Origin, TransferError

RESPONSE_LIMIT_BYTES = 64 << 20
SHOWN_LIMIT = 500
"""Characters of a response that an error message shows."""


class UnexpectedResponse(Exception):
    """The server failed, or its response is wrong: the fault, advice ("" for none) and the status (0 if unknown)."""

    def __init__(self, fault: str, advice: str = "", status: int = 0) -> None:
        super().__init__(fault)
        self.status = status
        self.fault = fault
        self.advice = advice


class ApiResponse(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        """Return the status, and the message of MLflow's error or the body."""
        text = self.body.decode(errors="replace")
        with suppress(ValueError, KeyError, TypeError):
            text = str(json.loads(text)["message"])
        text = " ".join(text.split())
        return f"{self.status} {text[:SHOWN_LIMIT]}{'...' if len(text) > SHOWN_LIMIT else ''}".strip()


class VerifyClient:
    """`url`: of the server, optionally with a path, and with user and password, which are never shown."""

    def __init__(self, url: str, authorization: str = "") -> None:
        """`authorization`: header of the requests; a login in the URL overrides it. May raise StartError."""
        parts = _split(url)
        self.shown_url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._origin = Origin.of(url)
        self._prefix = parts.path.rstrip("/")
        self._http = HttpClient(self._origin, tls=client_context(client_tls()) if self._origin.secure else None)
        self._headers = {"host": self._origin.netloc, "user-agent": "railtrack-verify", "accept-encoding": "identity"}
        if parts.username:
            authorization = basic_authorization(unquote(parts.username), unquote(parts.password or ""))
        if authorization:
            self._headers["authorization"] = authorization

    @property
    def sends_login(self) -> bool:
        return "authorization" in self._headers

    async def send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "",
        *,
        from_page: bool = False,
    ) -> ApiResponse:
        """Send a request to a URL-encoded path below the server's. Raise UnexpectedResponse if there is no response.

        `from_page`: with the headers by which a browser reports that a page of the server requests it.
        """
        target = f"{self._prefix}/{path}{f'?{urlencode(query, quote_via=quote)}' if query else ''}"
        headers = {**self._headers, "content-type": content_type} if content_type else self._headers
        if from_page:
            headers = headers | self._page_headers()
        try:
            response = await self._http.send(method, target, headers, body)
            return ApiResponse(response.status, response.headers, await response.read(RESPONSE_LIMIT_BYTES))
        except TransferError as error:
            raise UnexpectedResponse(f"No response from {self.shown_url}: {error}") from error

    async def call(self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> Any:
        """Call MLflow's API and return the JSON of the response. Raise UnexpectedResponse unless it succeeds."""
        content = b"" if body is None else json.dumps(body).encode()
        response = await self.send(
            method, f"api/2.0/mlflow/{path}", query, content, "application/json" if content else ""
        )
        if response.status != 200:
            raise UnexpectedResponse(f"{path} returned {response}", status=response.status)
        try:
            return json.loads(response.body)
        except ValueError:
            raise UnexpectedResponse(f"{path} did not return JSON: {response}") from None

    def _page_headers(self) -> dict[str, str]:
        """Return Origin, and Sec-Fetch-Site, which browsers send over TLS only."""
        return {"origin": self._origin.url} | ({"sec-fetch-site": "same-origin"} if self._origin.secure else {})

    def at(self, url: str) -> "VerifyClient":
        """Return a client of another URL, which has the login if the origin is the same. Raise UnexpectedResponse."""
        try:
            is_own = Origin.of(_split(url).geturl()) == self._origin
        except StartError:
            raise UnexpectedResponse(f"{url} is not a valid URL") from None
        return VerifyClient(url, self._headers.get("authorization", "") if is_own else "")

    def path_of(self, link: str) -> str | None:
        """Return the path for send() of a link on the server's page, None if it leads to another server."""
        base = f"{self._origin.url}{self._prefix}/"
        url = urljoin(base, link)
        return url.removeprefix(base) if url.startswith(base) else None

    def close(self) -> None:
        self._http.close()


def basic_authorization(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise StartError(
        "Invalid URL of the server.", "Use a URL such as https://name.up.railway.app or http://127.0.0.1:5000."
    )
