"""Requests that a handler sends to its own server on behalf of the caller: access, limits and the audit log apply."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlencode

from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest, Receive, Scope
from railtrack.wire.response import Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class SubrequestClient:
    """Sends requests one after the other. Methods raise ApiError for a response with an error."""

    def __init__(self, application: Application, http: HttpRequest, prefix: str) -> None:
        """`prefix`: of the server's paths; `http`: the caller's request."""
        self._application = application
        self._http = http
        self._prefix = prefix

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send JSON, or the query of a GET, to a path below `/api/2.0/mlflow/`, and return the JSON of the response."""
        full = f"/api/2.0/mlflow/{path}"
        if method == "GET":
            return await self._send(method, full, query=urlencode(body or {}))
        return await self._send(method, full, json.dumps(body or {}).encode(), b"application/json")

    async def upload(self, run_id: str, path: str, data: bytes) -> None:
        """Store an artifact of a run."""
        query = urlencode({"run_uuid": run_id, "path": path}, quote_via=quote)
        await self._send("POST", "/ajax-api/2.0/mlflow/upload-artifact", data, b"application/octet-stream", query)

    async def _send(self, method: str, path: str, body: bytes = b"", content_type: bytes = b"", query: str = "") -> Any:
        path = self._prefix + path
        headers = [(b"content-length", str(len(body)).encode())]
        if content_type:
            headers.append((b"content-type", content_type))
        scope = self._http.subrequest_scope(method, path, query.encode(), headers)
        pending = [{"type": "http.request", "body": body, "more_body": False}]
        status, chunks = 0, []

        async def receive() -> dict[str, Any]:
            if not pending:
                await asyncio.Event().wait()  # for a disconnect, which does not happen
            return pending.pop()

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                chunks.append(message.get("body", b""))

        await self._application(scope, receive, send)
        content = json.loads(b"".join(chunks) or b"{}")
        if status != 200:
            raise ApiError(content.get("error_code", "INTERNAL_ERROR"), content.get("message", ""), status=status)
        return content
