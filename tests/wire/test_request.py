"""Request bodies that are streamed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.processes import until
from tests.servers.s3_quirks import BUCKET, quirky_s3

from railtrack.artifacts.s3.upload_memory import PART_BYTES
from railtrack.errors import ApiError
from railtrack.wire.request import ClientGone, HttpRequest


def streaming(*messages: dict[str, Any]) -> HttpRequest:
    """A request whose client sends these, and nothing more."""
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return HttpRequest({"type": "http", "headers": []}, receive)


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_stream_ends_with_the_body() -> None:
    http = streaming(piece(b"one"), piece(b""), piece(b"two", more=False))
    assert [part async for part in http.stream()] == [b"one", b"two"]


async def test_a_disconnect_is_distinguished_from_the_end_of_the_body() -> None:
    http = streaming(piece(b"one"), {"type": "http.disconnect"})
    with pytest.raises(ClientGone):
        _ = [part async for part in http.stream()]


async def test_a_client_that_disconnects_leaves_no_parts() -> None:
    async def messages() -> AsyncIterator[dict[str, Any]]:
        yield piece(b"x" * PART_BYTES)
        yield piece(b"x")
        await until(lambda: "PUT part" in store.kinds())
        yield {"type": "http.disconnect"}

    async with quirky_s3() as store:
        http = HttpRequest({"type": "http", "headers": []}, messages().__anext__)
        stores = stores_at(f"s3://{BUCKET}", store.environment)
        with pytest.raises(ClientGone):
            await stores.proxied().store.put("a", http.stream())
        stores.close()
    assert (store.uploads, store.objects) == ({}, {})


async def test_a_body_that_came_with_the_head_is_taken_from_there_within_its_limit() -> None:
    async def receive() -> dict[str, Any]:
        return piece(b"whole", more=False)

    http = HttpRequest({"type": "http", "headers": [], "body": b"whole"}, receive)
    assert (await http.body(), http.received) == (b"whole", 5)
    with pytest.raises(ApiError, match="longer than 4 bytes") as caught:
        await http.body(limit=4)
    assert caught.value.status == 413
