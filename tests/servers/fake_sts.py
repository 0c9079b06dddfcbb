"""AssumeRole of AWS's STS, by TLS at port 443 of a loopback address: awscrt connects to no other port.

Binding that port takes root, or a lower `net.ipv4.ip_unprivileged_port_start`, which is 0 in containers.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from tests.servers.certificates import Authority
from tests.servers.processes import worker_address

CREDENTIALS = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
DENIED = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not for you.</Message></Error></ErrorResponse>"


@dataclass
class StsRequest:
    headers: dict[str, str]
    form: dict[str, str]


@dataclass
class FakeSts:
    address: str
    ca_bundle: str
    status: int = 200
    requests: list[StsRequest] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ENDPOINT_URL_STS": f"https://{self.address}", "AWS_CA_BUNDLE": self.ca_bundle}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.strip().split("\r\n")[1:]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = (await reader.readexactly(int(headers["content-length"]))).decode()
            self.requests.append(StsRequest(headers, dict(parse_qsl(body))))
            content = CREDENTIALS if self.status == 200 else DENIED
            writer.write(f"HTTP/1.1 {self.status} So\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode())
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def fake_sts(authority: Authority) -> AsyncIterator[FakeSts]:
    server = FakeSts(worker_address(), str(authority.bundle))
    listening = await asyncio.start_server(server.serve, server.address, 443, ssl=authority.server(server.address))
    try:
        yield server
    finally:
        listening.close()
