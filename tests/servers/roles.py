"""Who gives a role's keys, as a small HTTP server on the test's own loop: a container's agent, and an instance's
metadata service. STS is moto's.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

ROLE = "/latest/meta-data/iam/security-credentials/"
TOKEN = "the token of the service"
HOUR_S = 3600.0


@dataclass
class Asked:
    method: str
    target: str
    headers: dict[str, str]


@dataclass
class RoleServer:
    """Issue keys KEY1, KEY2 and so on, each for `lifetime` seconds. `answers` are sent first instead."""

    port: int = 0
    scheme: str = "http"
    lifetime: float = HOUR_S
    delay: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    given: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def targets(self) -> list[str]:
        return [one.target for one in self.asked]

    def answer(self, asked: Asked) -> tuple[int, str]:
        if self.answers:
            return self.answers.pop(0)
        if asked.target == "/latest/api/token":
            return (200, TOKEN) if asked.method == "PUT" else (405, "")
        if asked.target.startswith("/latest/") and asked.headers.get("x-aws-ec2-metadata-token") != TOKEN:
            return 401, "Unauthorized"
        return (200, "the-role") if asked.target == ROLE else (200, json.dumps(self.keys()))

    def keys(self) -> dict[str, Any]:
        self.given += 1
        expires = datetime.now(UTC) + timedelta(seconds=self.lifetime)
        return {
            "Code": "Success",
            "AccessKeyId": f"KEY{self.given}",
            "SecretAccessKey": "secret",
            "Token": f"token{self.given}",
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self.asked.append(Asked(method, target, headers))
            status, body = self.answer(self.asked[-1])
            await asyncio.sleep(self.delay)
            writer.write(
                f"HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def role_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[RoleServer]:
    server = RoleServer(scheme="https" if tls else "http")
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
