"""Run concurrent uploads or downloads over HTTP, in a separate process from the server under test.

    python -m bench.transfer PUT|GET|SIGNED COUNT MB URL     URL: with {} for the number of the file

Print one line of JSON: seconds, failures, and the seconds to the first byte of each response body. Uploads repeat one
random block, and downloads are compared with it. SIGNED is a PUT that computes the SHA-256 of each block before sending
it, as clients of S3 over plain http must.
"""

import hashlib
import http.client
import json
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

BLOCK = 8 * 1024 * 1024
ANSWER_LIMIT_S = 300


@dataclass
class Outcome:
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    first_byte_s: list[float] = field(default_factory=list)


def transfer(method: str, count: int, size: int, url: str) -> Outcome:
    """Transfer `count` files of `size` bytes, a multiple of BLOCK, concurrently."""
    outcome = Outcome()
    block = hashlib.shake_128(b"bench").digest(BLOCK)  # it does not compress
    threads = [
        threading.Thread(target=_one, args=(method, size, url.replace("{}", str(number)), block, outcome))
        for number in range(count)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.seconds = time.monotonic() - began
    return outcome


def _one(method: str, size: int, url: str, block: bytes, outcome: Outcome) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_LIMIT_S)
    try:
        connection.connect()
        if method != "GET":
            _put(connection, parts.path, size, block, signed=method == "SIGNED")
        else:
            outcome.first_byte_s.append(_get(connection, parts.path, size, block))
    except (OSError, http.client.HTTPException, ValueError) as error:
        outcome.failed.append(f"{method} {url}: {error!r}")
    finally:
        connection.close()


def _put(connection: http.client.HTTPConnection, path: str, size: int, block: bytes, *, signed: bool) -> None:
    connection.putrequest("PUT", path)
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    stream: socket.socket = connection.sock
    view = memoryview(block)
    for at in range(0, size, BLOCK):
        piece = view[: min(BLOCK, size - at)]
        if signed:
            hashlib.sha256(piece).digest()
        stream.sendall(piece)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise ValueError(f"{response.status} {body[:300]!r}")


def _get(connection: http.client.HTTPConnection, path: str, size: int, block: bytes) -> float:
    """Return the seconds from the request to the first byte of the body."""
    began = time.monotonic()
    connection.request("GET", path)
    response = connection.getresponse()
    if response.status != 200:
        raise ValueError(f"{response.status} {response.read()[:300]!r}")
    first = response.read(1)
    taken = time.monotonic() - began
    buffer = bytearray(block)
    buffer[:1] = first
    filled = 1
    for at in range(0, size, BLOCK):
        wanted = min(BLOCK, size - at)
        while filled < wanted:
            if not (got := response.readinto(memoryview(buffer)[filled:wanted])):
                raise ValueError("cut short")
            filled += got
        if buffer != block:  # a shorter last piece leaves the rest of the previous one
            raise ValueError("other bytes than were sent")
        filled = 0
    return taken


if __name__ == "__main__":
    verb, files, megabytes, target = sys.argv[1:]
    print(json.dumps(asdict(transfer(verb, int(files), int(megabytes) << 20, target))))
