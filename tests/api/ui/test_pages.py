"""The page and static files of the web interface over the dispatcher, without a database. tests/ui uses a browser."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import brotli
import msgspec
import pytest
from tests.client import Client, Response

from railtrack.api.ui.pages import CHUNK_BYTES, FOLDER, MEDIA_TYPES, Manifest, WebInterface
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, StreamResponse

FILES = msgspec.json.decode((FOLDER / "files.json").read_bytes(), type=Manifest).files
MAIN = next(name for name in FILES if name.startswith("static/js/main.") and name.endswith(".js"))
DECODERS: dict[str, Any] = {"br": brotli.decompress, "gzip": gzip.decompress, "": bytes}


def digest(answer: Response) -> str:
    """Return the digest of the decompressed content."""
    return hashlib.sha256(DECODERS[answer.headers.get("content-encoding", "")](answer.body)).hexdigest()[:20]


async def get(browser: Client, name: str, **headers: str) -> Response:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return await browser.get(f"/static-files/{name}", headers=sent)


async def test_the_page_presets_local_storage_and_is_revalidated(browser: Client) -> None:
    page = await browser.get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    assert '"mlflow.workflowType_v1": "machine_learning"' in page.text
    assert page.text.index("localStorage") < page.text.index(MAIN)


async def test_the_page_allows_no_request_to_another_host(browser: Client) -> None:
    policy = (await browser.get("/")).headers["content-security-policy"]
    sources = {source for directive in policy.split("; ") for source in directive.split()[1:]}
    assert sources <= {"'self'", "blob:", "data:", "'unsafe-inline'", "'unsafe-eval'"}
    assert policy.startswith("default-src 'self';")


async def test_an_unchanged_page_returns_304(browser: Client) -> None:
    etag = (await browser.get("/")).headers["etag"]
    again = await browser.get("/", headers={"if-none-match": etag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert (await browser.get("/", headers={"if-none-match": '"other"'})).status == 200


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
async def test_every_file_is_complete_in_every_encoding(browser: Client, encoding: str) -> None:
    for name, file in FILES.items():
        answer = await get(browser, name, accept_encoding=encoding)
        assert answer.status == 200, name
        assert digest(answer) == file.digest, name
        assert int(answer.headers["content-length"]) == len(answer.body), name
        assert answer.headers.get("content-encoding", "") == (encoding if file.gzip else ""), name


def test_every_kind_of_file_has_a_media_type() -> None:
    unknown = {name for name in FILES if name.rpartition(".")[2] not in {*MEDIA_TYPES, "eot"}}
    assert not unknown


async def test_a_module_script_is_javascript(browser: Client) -> None:
    name = next(name for name in FILES if name.endswith(".mjs"))
    assert (await get(browser, name)).headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0.1, gzip", "gzip"),
        ("br;q=0, gzip;q=0.001", "gzip"),
        ("BR", "br"),
        ("*", "br"),
        ("br;q=0, *", "gzip"),
        ("*;q=0, gzip", "gzip"),
        ("*;q=0", ""),
        ("identity", ""),
        ("deflate, zstd", ""),
        ("br;q=nonsense, gzip;q=-1", ""),
        ("", ""),
    ],
)
async def test_the_preferred_encoding_is_used(browser: Client, accepted: str, expected: str) -> None:
    answer = await get(browser, MAIN, accept_encoding=accepted)
    assert answer.headers.get("content-encoding", "") == expected
    assert answer.headers["vary"] == "Origin, accept-encoding"


async def test_a_name_with_a_digest_is_cached_and_any_other_is_revalidated(browser: Client) -> None:
    assert (await get(browser, MAIN)).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (await get(browser, "favicon.ico")).headers["cache-control"] == "no-cache"


async def test_an_unchanged_file_returns_304_for_the_same_encoding_only(browser: Client) -> None:
    first = await get(browser, MAIN, accept_encoding="br")
    etag = first.headers["etag"]
    again = await get(browser, MAIN, accept_encoding="br", if_none_match=f'"x", W/{etag}')
    assert (again.status, again.body) == (304, b"")
    assert (again.headers["etag"], again.headers["vary"]) == (etag, "Origin, accept-encoding")
    other = await get(browser, MAIN, accept_encoding="gzip", if_none_match=etag)
    assert (other.status, other.headers["etag"] == etag) == (200, False)


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
async def test_head_returns_the_headers_of_get(browser: Client, encoding: str) -> None:
    whole = await get(browser, MAIN, accept_encoding=encoding)
    head = await browser.send("HEAD", f"/static-files/{MAIN}", headers={"accept-encoding": encoding})
    names = ("content-length", "content-type", "content-encoding", "etag", "cache-control")
    assert [head.headers.get(name) for name in names] == [whole.headers.get(name) for name in names]
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nope.js",
        "../files.json",
        "../LICENSE.txt",
        "%2e%2e/files.json",
        "..%2ffiles.json",
        "static/../index.html",
        "static/js",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "//proc/self/environ",
        "..\\files.json",
        f"{MAIN}.br",
        "a" * 10_000,
    ],
)
async def test_an_unknown_file_is_not_found(browser: Client, name: str) -> None:
    answer = await get(browser, name)
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert len(answer.body) < 1_000


def request(**headers: str) -> HttpRequest:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HttpRequest({"type": "http", "method": "GET", "path": "/", "headers": sent}, receive=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
async def test_a_large_file_is_streamed_in_chunks(encoding: str) -> None:
    reply = WebInterface(FOLDER).file(MAIN, request(accept_encoding=encoding))
    assert isinstance(reply, StreamResponse)
    assert max([len(chunk) async for chunk in reply.chunks]) <= CHUNK_BYTES


def test_a_build_without_the_interface_explains_how_to_add_it(tmp_path: Path) -> None:
    reply = WebInterface(tmp_path).page(request())
    assert (reply.status, reply.media_type) == (404, "text/html; charset=utf-8")
    assert b"make install" in reply.body


def test_a_build_without_the_interface_never_returns_304(tmp_path: Path) -> None:
    reply = WebInterface(tmp_path).page(request(if_none_match="*"))
    assert isinstance(reply, BytesResponse)
    assert reply.status == 404
