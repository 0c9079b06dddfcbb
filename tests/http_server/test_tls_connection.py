"""Connections with TLS: the same limits, byte budget and timeouts as without, and clients that do not speak it."""

import asyncio
import contextlib
import socket
import ssl
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any

import pytest
from tests.http_server.served import (
    ALL,
    GET,
    POST,
    Disconnected,
    Receive,
    Send,
    Served,
    Tls,
    error_of,
    mirror,
    play,
    read,
    reject,
    reply,
    upload,
)
from tests.servers.certificates import Authority
from tests.servers.processes import TIMEOUT_S

from railtrack.config.settings import load
from railtrack.http_server import limits, tls_connection
from railtrack.http_server.limits import WRITE_AT_ONCE, WRITE_BUFFER
from railtrack.http_server.pace import BODY_PATIENCE_S, RESPONSE_PATIENCE_S
from railtrack.http_server.tls import server_context
from railtrack.http_server.tls_connection import USE_HTTPS

SIZE = 50_000_000


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    authority = Authority.new(tmp_path_factory.mktemp("tls"))
    settings = load({"tls.cert_file": str(authority.certify("127.0.0.1"))}, {}).tls
    return Tls(server_context(settings), authority.client())


async def large(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await reply(send, bytes(SIZE))


async def count(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    with contextlib.suppress(Disconnected):
        await reply(send, b"%d" % len(await read(receive)))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_responses_are_the_same_as_without_tls(tls: Tls, version: ssl.TLSVersion) -> None:
    responses: list[bytes] = []

    async def scene(served: Served) -> None:
        responses.append(await served.exchange(ALL))

    tls.client.maximum_version = version
    try:
        play(mirror, scene, tls)
    finally:
        tls.client.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    play(mirror, scene)
    assert responses[0] == responses[1]
    assert responses[0].count(b"HTTP/1.1 200") == 5


def test_http_1_1_is_negotiated_and_tls_1_1_is_rejected(tls: Tls) -> None:
    async def scene(served: Served) -> None:
        tls.client.set_alpn_protocols(["h2", "http/1.1"])
        client = await served.client()
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        client.close()

    play(mirror, scene, tls)
    assert tls.server.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_response_that_nobody_reads_is_written_in_parts_and_ends_after_a_minute(tls: Tls) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: any(one.flow.write_paused for one in served.connections))
        served.check(0)
        # What the client has not taken is counted, and bounded as without TLS: up to 29 bytes a record come on top.
        assert WRITE_BUFFER < served.held().unsent <= (WRITE_AT_ONCE + WRITE_BUFFER) * 1.01
        served.check(RESPONSE_PATIENCE_S - 1)
        assert len(served.connections) == 1
        await client.head()
        assert await client.reader.readexactly(SIZE // 2)  # progress
        await served.until(lambda: any(one.flow.write_paused for one in served.connections))
        served.check(RESPONSE_PATIENCE_S + 1)
        assert len(served.connections) == 1
        served.check(2 * RESPONSE_PATIENCE_S + 3)
        await served.until(lambda: not served.connections)

    play(large, scene, tls)


def test_a_body_waits_in_the_socket_until_the_application_receives_it(tls: Tls) -> None:
    taking = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await taking.wait()
        await count(scope, receive, send)

    async def scene(served: Served) -> None:
        client = await served.client()
        client.writer.write(upload(5_000_000) + bytes(5_000_000))
        await served.until(lambda: any(one.flow.read_paused for one in served.connections))
        assert served.held().bodies <= 512 * 1024
        for seconds in (0, 100, 200):
            served.check(seconds)
        assert served.is_any_busy()
        taking.set()
        assert (await client.response())[2] == b"5000000"

    play(app, scene, tls)


def test_a_body_that_stops_is_rejected(tls: Tls) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(200_000) + bytes(100_000))
        await served.until(
            lambda: any(
                one._received >= 100_000 and one.cycle and not one.flow.read_paused for one in served.connections
            )
        )
        served.check(0)
        served.check(BODY_PATIENCE_S + 1)
        assert error_of(await client.rest()) == (408, "BAD_REQUEST")

    play(count, scene, tls)


def test_a_client_that_is_still_sending_reads_a_rejection(tls: Tls) -> None:
    def send_and_read(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain:
            client = tls.client.wrap_socket(plain, server_hostname="127.0.0.1")
            client.sendall(upload(3_000_000) + bytes(3_000_000))
            return client.recv(100_000)

    async def scene(served: Served) -> None:
        answer = await asyncio.to_thread(send_and_read, served.port)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert answer.endswith(b"no")
        await served.until(lambda: not served.connections)

    play(reject, scene, tls)


def test_plain_http_gets_a_response_that_names_https(tls: Tls) -> None:
    async def scene(served: Served) -> None:
        client = await served.plain_client()
        for part in GET.splitlines(keepends=True):  # as bash's printf
            await client.send(part)
        answer = await client.rest()
        client.close()
        assert USE_HTTPS.encode() in answer
        assert error_of(answer) == (400, "BAD_REQUEST")
        await served.until(lambda: not served.connections)

    play(mirror, scene, tls)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-x\r\n", b"\xff" * 3000, bytes(70_000)])
def test_what_is_not_tls_ends_the_connection(tls: Tls, data: bytes) -> None:
    async def scene(served: Served) -> None:
        client = await served.plain_client()
        client.writer.write(data)
        client.writer.write_eof()
        await client.rest()
        await served.until(lambda: not served.connections)

    play(mirror, scene, tls)


def test_a_handshake_that_does_not_end_is_closed_after_the_time_for_a_head(tls: Tls) -> None:
    async def scene(served: Served) -> None:
        client = await served.plain_client()
        client.writer.write(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a ClientHello
        await served.until(lambda: len(served.connections) == 1)
        served.check(limits.HEAD_TIMEOUT_S - 1)
        assert len(served.connections) == 1
        served.check(limits.HEAD_TIMEOUT_S + 1)
        assert await client.rest() == b""
        await served.until(lambda: not served.connections)

    play(mirror, scene, tls)


def test_a_client_that_updates_its_keys_without_end_is_disconnected(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has to send a message for each, which would wait in memory for a client that does not read."""
    monkeypatch.setattr(tls_connection, "REPLIES_LIMIT", 270)  # ten of them

    async def scene(served: Served) -> None:
        client = await asyncio.create_subprocess_exec(
            "openssl", "s_client", "-connect", f"127.0.0.1:{served.port}", "-tls1_3",
            stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip
        assert client.stdin is not None
        await served.until(lambda: bool(served.connections))
        updates = 0
        async with asyncio.timeout(TIMEOUT_S):
            while served.connections:
                client.stdin.write(b"K\n")
                updates += 1
                await asyncio.sleep(0.01)
        assert updates > 10
        with contextlib.suppress(ProcessLookupError):
            client.kill()
        await client.wait()

    play(mirror, scene, tls)


def test_a_client_beyond_the_limit_reads_the_503_after_its_handshake(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_CONNECTIONS_LIMIT", 0)

    async def scene(served: Served) -> None:
        client = await served.client()
        assert error_of(await client.rest()) == (503, "TEMPORARILY_UNAVAILABLE")
        client.close()
        silent = await served.plain_client()
        await served.until(lambda: bool(served.connections))
        served.check(limits.REJECTED_LINGER_S + 1)
        await silent.rest()
        await served.until(lambda: not served.connections)

    play(mirror, scene, tls)


@pytest.mark.parametrize("has_notification", [False, True])
def test_a_client_that_ends_its_side_gets_its_response(tls: Tls, has_notification: bool) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        asked.set()
        await ended.wait()
        await mirror(scope, receive, send)

    def send_and_read(port: int, loop: asyncio.AbstractEventLoop) -> bytes:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain:
            client = tls.client.wrap_socket(plain, server_hostname="127.0.0.1")
            client.sendall(POST)
            if has_notification:
                client.setblocking(False)
                with contextlib.suppress(ssl.SSLWantReadError):
                    client._sslobj.shutdown()  # type: ignore[attr-defined]
                client.settimeout(TIMEOUT_S)
            else:
                socket.socket.shutdown(client, socket.SHUT_WR)
            asyncio.run_coroutine_threadsafe(asked.wait(), loop).result(TIMEOUT_S)
            loop.call_soon_threadsafe(ended.set)
            return client.recv(100_000)

    async def scene(served: Served) -> None:
        answer = await asyncio.to_thread(send_and_read, served.port, asyncio.get_running_loop())
        assert answer.startswith(b"HTTP/1.1 200 ")
        await served.until(lambda: not served.connections)

    play(app, scene, tls)


def test_a_client_certificate_can_be_required(tmp_path: Path) -> None:
    authority = Authority.new(tmp_path)
    flags = {
        "tls.cert_file": str(authority.certify("127.0.0.1")),
        "tls.client_certificates": "required",
        "tls.client_ca_file": str(authority.bundle),
    }
    contexts = Tls(server_context(load(flags, {}).tls), authority.client())

    async def scene(served: Served) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError, IndexError)):
            error_of(await served.exchange(GET))
        contexts.client.load_cert_chain(authority.certify("a client"))
        client = await served.client()
        await client.send(GET)
        assert (await client.response())[0] == 200
        client.close()

    play(mirror, scene, contexts)
