"""MLflow's web interface: the page, its static files, and the constant answers that keep it quiet.

The files come compressed out of MLflow's wheel (build_ui.py); what they show comes from the other modules.
"""

import gzip
import hashlib
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO, cast

import msgspec

from railtrack.auth import PUBLIC
from railtrack.context import Context
from railtrack.errors import not_found
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import Header, Raw, Stream
from railtrack.wire.routing import endpoint

FOLDER = Path(__file__).parents[2] / "_ui"
CHUNK = 64 * 1024
"""Bytes of a file that are in memory at a time, for each request."""

PRESETS = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.settings.telemetry.enabled_v1": False,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "_mlflow_model_registry_promo_modal_dismissed_v1": True,
}
"""What the interface finds in the localStorage of a browser that is new to it: its model-training mode, not
the GenAI one, no telemetry and no banner about it, an assistant that stays closed, and no dialog that covers the
registry to advertise the form in which it is shown anyway."""

PRESET_SCRIPT = f"""<script>try {{
  for (const [key, value] of Object.entries({json.dumps(PRESETS)}))
    if (localStorage.getItem(key) === null) localStorage.setItem(key, JSON.stringify(value))
}} catch {{}}</script>"""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Plotly's parallel coordinates compile functions at run time. HTML artifacts are shown in a sandboxed
        # frame on a blob: URL, which inherits this policy, and nearly all of them have inline scripts.
        "script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' blob: 'unsafe-inline'",
        "img-src 'self' blob: data:",
        "font-src 'self' data:",
        "media-src 'self' blob: data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob: data:",
        "object-src 'self' blob:",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""No host but our own is contacted, whatever a page or an artifact on it refers to."""

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/vnd.microsoft.icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "cjs": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "ttf": "font/ttf",
    "txt": "text/plain; charset=utf-8",
    "woff": "font/woff",
    "woff2": "font/woff2",
}
HASHED_NAME = re.compile(r"\.[0-9a-f]{8,}\.")
"""A name that bears a digest of the content: what it means never changes."""

UNCHANGING: Header = (b"cache-control", b"public, max-age=31536000, immutable")
ASK_FIRST: Header = (b"cache-control", b"no-cache")

ABSENT_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Railtrack</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto; line-height: 1.5">
<h1>Railtrack is running, without its web interface</h1>
<p>MLflow clients can use this server as it is. The web interface is taken out of MLflow's wheel when
Railtrack is built, and this build was told to leave it out (<code>RAILTRACK_UI=skip</code>).</p>
<p>To have it, build again with access to the package index: <code>make install</code> in a clone,
or <code>pip install --force-reinstall --no-deps .</code></p>
"""


class UiFile(msgspec.Struct, frozen=True):
    """One file as build_ui.py wrote it, sizes in bytes; `br` and `gzip` where it is stored compressed."""

    digest: str
    size: int
    br: int | None = None
    gzip: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """What files.json says: all the files there are, by the path they are asked for."""

    files: dict[str, UiFile]


class Interface:
    """The interface in `folder`, or its absence. Only what is listed there is opened: no path can climb."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "files"
        self._files: dict[str, UiFile] = {}
        self._page = Raw(ABSENT_PAGE, MEDIA_TYPES["html"], 404)
        if (folder / "files.json").exists():
            self._files = msgspec.json.decode((folder / "files.json").read_bytes(), type=Manifest).files
            self._page = _page((self._folder / "index.html").read_text())

    def page(self, http: HttpRequest) -> Raw:
        """The one page that there is; it finds its way behind the `#` by itself."""
        return _not_modified(self._page, http) or self._page

    def file(self, name: str, http: HttpRequest) -> Raw | Stream:
        """A static file, compressed as the client likes it best."""
        file = self._files.get(name)
        if file is None:
            raise not_found(f"The web interface has no file {name[:500]!r}.")
        encoding = _best_encoding(http.header(b"accept-encoding")) if file.gzip else ""
        media_type = MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        head = Raw(b"", media_type, headers=_headers(name, file, encoding))
        return _not_modified(head, http) or self._filled(head, name, file, encoding)

    def _filled(self, head: Raw, name: str, file: UiFile, encoding: str) -> Raw | Stream:
        """`head` with its body: at once when it is small, else chunk by chunk."""
        length: int = getattr(file, encoding) if encoding else file.size
        path = self._folder / (f"{name}.{encoding or 'gzip'}" if file.gzip else name)
        inflate = bool(file.gzip) and not encoding
        if length > CHUNK:
            return Stream(_chunks(path, inflate), head.media_type, length, headers=head.headers)
        with _open(path, inflate) as body:
            return Raw(body.read(), head.media_type, headers=head.headers)


def _page(html: str) -> Raw:
    body = html.replace("<head>", f"<head>{PRESET_SCRIPT}", 1).encode()
    policy = (b"content-security-policy", CONTENT_SECURITY_POLICY.encode())
    etag = _etag(hashlib.sha256(body).hexdigest()[:20])
    return Raw(body, MEDIA_TYPES["html"], headers=(etag, ASK_FIRST, policy))


def _headers(name: str, file: UiFile, encoding: str) -> tuple[Header, ...]:
    caching = UNCHANGING if HASHED_NAME.search(name) else ASK_FIRST
    headers: tuple[Header, ...] = (_etag(f"{file.digest}-{encoding}"), caching)
    if file.gzip:
        headers += ((b"vary", b"accept-encoding"),)
    if encoding:
        headers += ((b"content-encoding", encoding.encode()),)
    return headers


def _etag(text: str) -> Header:
    return b"etag", f'"{text}"'.encode()


def _not_modified(reply: Raw, http: HttpRequest) -> Raw | None:
    """304 when the client has what `reply` would bring, by its etag."""
    etag = dict(reply.headers).get(b"etag", b"").decode()
    if not etag or not http.has_version(etag):
        return None
    return Raw(b"", reply.media_type, 304, reply.headers)


def _best_encoding(accept: str) -> str:
    """What an Accept-Encoding header ranks highest of "br" and "gzip", brotli in a tie; "" for neither."""
    ranks = {}
    for part in accept.lower().split(","):
        name, _, parameter = part.partition(";")
        ranks[name.strip()] = _rank(parameter)
    best = max(("br", "gzip"), key=lambda encoding: ranks.get(encoding, ranks.get("*", 0.0)))
    return best if ranks.get(best, ranks.get("*", 0.0)) > 0 else ""


def _rank(parameter: str) -> float:
    """The number in `q=0.8`; 1 when there is none, 0 when it cannot be read."""
    if not parameter.strip():
        return 1.0
    match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
    return float(match[1]) if match else 0.0


async def _chunks(path: Path, inflate: bool) -> AsyncGenerator[bytes, None]:
    """The file piece by piece, read in the event loop: to hand over 64 KiB of our own package, mostly in the
    page cache, to a thread takes longer than to read it."""
    with _open(path, inflate) as body:
        while chunk := body.read(CHUNK):
            yield chunk


def _open(path: Path, inflate: bool) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if inflate else path.open("rb")


INTERFACE = Interface(FOLDER)


@endpoint("GET", "/", access=PUBLIC)
async def page(ctx: Context, http: HttpRequest) -> Raw | Stream:
    return INTERFACE.page(http)


@endpoint("GET", "/static-files/{path...}", access=PUBLIC)
async def static_file(ctx: Context, http: HttpRequest) -> Raw | Stream:
    return INTERFACE.file(http.params["path"], http)


# The interface asks for these on every page; the answers are those of a server without such features.


@endpoint("GET", "users/current", access=PUBLIC, ajax_only=True)
async def current_user(ctx: Context, http: HttpRequest) -> Raw:
    """Nobody, so no account menu. MLflow without login answers 404, which shows in the browser's console."""
    return Raw(b"{}")


@endpoint("GET", "gateway-proxy", access=PUBLIC, ajax_only=True)
async def gateway_endpoints(ctx: Context, http: HttpRequest) -> Raw:
    return Raw(b'{"endpoints":[]}')


@endpoint("GET", "ui-telemetry", access=PUBLIC, api="3.0", ajax_only=True)
async def telemetry_settings(ctx: Context, http: HttpRequest) -> Raw:
    return Raw(b'{"disable_ui_telemetry":true,"disable_ui_events":[],"ui_rollout_percentage":0}')


@endpoint("POST", "ui-telemetry", access=PUBLIC, api="3.0", ajax_only=True)
async def telemetry(ctx: Context, http: HttpRequest) -> Raw:
    """Events are neither kept nor forwarded."""
    return Raw(b'{"status":"disabled"}')


@endpoint("GET", "assistant/config", access=PUBLIC, api="3.0", ajax_only=True)
async def assistant_config(ctx: Context, http: HttpRequest) -> Raw:
    return Raw(b'{"providers":{},"projects":{},"remote_access_allowed":false}')


@endpoint("GET", "assistant/providers", access=PUBLIC, api="3.0", ajax_only=True)
async def assistant_providers(ctx: Context, http: HttpRequest) -> Raw:
    return Raw(b'{"providers":[]}')
