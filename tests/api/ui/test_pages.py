"""The web interface's page and files over the dispatcher, without a database; the pages themselves are in tests/ui."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import brotli
import msgspec
import pytest
from tests.client import Answer, Client

from railtrack.api.ui.pages import CHUNK, FOLDER, MEDIA_TYPES, Interface, Manifest
from railtrack.wire.csrf import BrowserGuard
from railtrack.wire.dispatch import Dispatcher
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import Raw, Stream
from railtrack.wire.routing import ROUTES, Routes

FILES = msgspec.json.decode((FOLDER / "files.json").read_bytes(), type=Manifest).files
MAIN = next(name for name in FILES if name.startswith("static/js/main.") and name.endswith(".js"))
DECODERS: dict[str, Any] = {"br": brotli.decompress, "gzip": gzip.decompress, "": bytes}


@pytest.fixture
def browser() -> Client:
    routes = {key: route for key, route in ROUTES.items() if route.handler.__module__ == "railtrack.api.ui.pages"}
    guard = BrowserGuard(loopback=True, proxies=TrustedProxies(()))
    return Client(Dispatcher(Routes.of(routes), guard, lambda http, route: None))


def digest(answer: Answer) -> str:
    """Of the content that the client is left with."""
    return hashlib.sha256(DECODERS[answer.headers.get("content-encoding", "")](answer.body)).hexdigest()[:20]


async def get(browser: Client, name: str, **headers: str) -> Answer:
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    return await browser.get(f"/static-files/{name}", headers=given)


async def test_the_page_presets_a_new_browser_and_is_asked_for_again_each_time(browser: Client) -> None:
    page = await browser.get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    assert '"mlflow.workflowType_v1": "machine_learning"' in page.text
    assert page.text.index("localStorage") < page.text.index(MAIN)


async def test_the_page_lets_nothing_contact_another_host(browser: Client) -> None:
    policy = (await browser.get("/")).headers["content-security-policy"]
    sources = {source for directive in policy.split("; ") for source in directive.split()[1:]}
    assert sources <= {"'self'", "blob:", "data:", "'unsafe-inline'", "'unsafe-eval'"}
    assert policy.startswith("default-src 'self';")


async def test_an_unchanged_page_is_not_sent_again(browser: Client) -> None:
    etag = (await browser.get("/")).headers["etag"]
    again = await browser.get("/", headers={"if-none-match": etag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert (await browser.get("/", headers={"if-none-match": '"other"'})).status == 200


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
async def test_every_file_arrives_whole_in_every_encoding(browser: Client, encoding: str) -> None:
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
    ("accepted", "sent"),
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
async def test_the_client_gets_the_encoding_that_it_ranks_highest(browser: Client, accepted: str, sent: str) -> None:
    answer = await get(browser, MAIN, accept_encoding=accepted)
    assert answer.headers.get("content-encoding", "") == sent
    assert answer.headers["vary"] == "accept-encoding"


async def test_a_name_with_a_digest_is_kept_for_good_and_any_other_is_asked_for_again(browser: Client) -> None:
    assert (await get(browser, MAIN)).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (await get(browser, "favicon.ico")).headers["cache-control"] == "no-cache"


async def test_an_unchanged_file_is_not_sent_again_and_encodings_are_told_apart(browser: Client) -> None:
    first = await get(browser, MAIN, accept_encoding="br")
    etag = first.headers["etag"]
    again = await get(browser, MAIN, accept_encoding="br", if_none_match=f'"x", W/{etag}')
    assert (again.status, again.body) == (304, b"")
    assert (again.headers["etag"], again.headers["vary"]) == (etag, "accept-encoding")
    other = await get(browser, MAIN, accept_encoding="gzip", if_none_match=etag)
    assert (other.status, other.headers["etag"] == etag) == (200, False)


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
async def test_head_tells_what_get_would_bring(browser: Client, encoding: str) -> None:
    whole = await get(browser, MAIN, accept_encoding=encoding)
    head = await browser.send("HEAD", f"/static-files/{MAIN}", headers={"accept-encoding": encoding})
    told = ("content-length", "content-type", "content-encoding", "etag", "cache-control")
    assert [head.headers.get(name) for name in told] == [whole.headers.get(name) for name in told]
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
        "index.html%00.js",
        "..\\files.json",
        f"{MAIN}.br",
        "a" * 10_000,
    ],
)
async def test_what_is_no_file_of_the_interface_is_not_found(browser: Client, name: str) -> None:
    answer = await get(browser, name)
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert len(answer.body) < 1_000


def request(**headers: str) -> HttpRequest:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HttpRequest({"type": "http", "method": "GET", "path": "/", "headers": given}, receive=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
async def test_a_large_file_is_never_in_memory_as_a_whole(encoding: str) -> None:
    reply = Interface(FOLDER).file(MAIN, request(accept_encoding=encoding))
    assert isinstance(reply, Stream)
    assert max([len(chunk) async for chunk in reply.chunks]) <= CHUNK


def test_a_build_without_the_interface_says_how_to_get_it(tmp_path: Path) -> None:
    reply = Interface(tmp_path).page(request())
    assert (reply.status, reply.media_type) == (404, "text/html; charset=utf-8")
    assert b"make install" in reply.body


def test_a_build_without_the_interface_has_no_version_to_be_known(tmp_path: Path) -> None:
    reply = Interface(tmp_path).page(request(if_none_match="*"))
    assert isinstance(reply, Raw)
    assert reply.status == 404


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "2.0/mlflow/users/current", {}),
        ("GET", "2.0/mlflow/gateway-proxy?gateway_path=api%2F2.0%2Fendpoints%2F", {"endpoints": []}),
        ("GET", "3.0/mlflow/assistant/config", {"providers": {}, "projects": {}, "remote_access_allowed": False}),
        ("GET", "3.0/mlflow/assistant/providers", {"providers": []}),
        ("POST", "3.0/mlflow/ui-telemetry", {"status": "disabled"}),
    ],
)
async def test_features_that_are_not_there_are_told_so(
    browser: Client, method: str, path: str, answer: dict[str, Any]
) -> None:
    got = await browser.send(method, f"/ajax-api/{path}", json={"records": []} if method == "POST" else None)
    assert (got.status, got.json) == (200, answer)


async def test_the_interfaces_telemetry_is_switched_off(browser: Client) -> None:
    assert (await browser.get("/ajax-api/3.0/mlflow/ui-telemetry")).json["disable_ui_telemetry"] is True
