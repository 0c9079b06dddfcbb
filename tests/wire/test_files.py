"""Files as HTTP responses: validators. tests/api/artifacts/test_proxy.py covers the rest over the API."""

from collections.abc import AsyncGenerator

import pytest

from railtrack.wire.files import file_response
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, StreamResponse


class Stored:
    """Ten bytes."""

    size = 10
    modified = 1_700_000_000.0

    def __init__(self, etag: str) -> None:
        self.etag = etag
        self.closed = False

    async def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        yield b"0123456789"[start:stop]

    def close(self) -> None:
        self.closed = True


def status(etag: str, **headers: str) -> int:
    async def receive() -> dict[str, object]:
        raise AssertionError("there is no body to wait for")

    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    file = Stored(etag)
    reply = file_response(HttpRequest({"type": "http", "method": "GET", "headers": sent}, receive), "a", file)
    assert isinstance(reply, BytesResponse | StreamResponse)
    assert file.closed == isinstance(reply, BytesResponse)
    return reply.status


@pytest.mark.parametrize(
    ("etag", "condition", "expected"),
    [
        ('"a"', '"a"', 206),
        ('"a"', 'W/"a"', 200),
        ('"a"', '"b"', 200),
        ('W/"a"', 'W/"a"', 200),  # it stands for several versions, whose parts must not be put together
        ('W/"a"', '"a"', 200),
        ('"a"', "Tue, 14 Nov 2023 22:13:20 GMT", 200),
    ],
)
def test_a_download_goes_on_only_with_the_very_same_version(etag: str, condition: str, expected: int) -> None:
    assert status(etag, range="bytes=1-", if_range=condition) == expected


@pytest.mark.parametrize(
    ("etag", "known", "expected"),
    [
        ('"a"', 'W/"a"', 304),
        ('W/"a"', 'W/"a"', 304),
        ('W/"a"', '"a"', 304),
        ('W/"a"', '"b"', 200),
        ('"a"', "*", 304),
    ],
)
def test_a_version_is_known_by_a_weak_validator_too(etag: str, known: str, expected: int) -> None:
    assert status(etag, if_none_match=known) == expected
    assert status(etag, if_none_match=known, range="bytes=99-") == (304 if expected == 304 else 416)
