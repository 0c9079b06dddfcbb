"""MLflow's web interface: the page and its static files, which build_ui.py extracts from MLflow's wheel and compresses.

Constant responses for features that this server lacks are in disabled_features.py.
"""

import gzip
import hashlib
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO, cast

import msgspec

from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.errors import not_found
from railtrack.wire.compression import VARY_BY_ENCODING, preferred_encoding
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, Header, StreamResponse
from railtrack.wire.routing import endpoint

FOLDER = Path(__file__).parents[2] / "_ui"
CHUNK_BYTES = 64 * 1024
"""Bytes of a file in memory at a time, for each request."""

PRESETS = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.settings.telemetry.enabled_v1": False,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "_mlflow_model_registry_promo_modal_dismissed_v1": True,
}
"""Initial localStorage of a new browser: model-training mode instead of GenAI, no telemetry and no banner about it, the
assistant closed, and no dialog that promotes the registry page in use."""

PRESET_SCRIPT = f"""<script>try {{
  for (const [key, value] of Object.entries({json.dumps(PRESETS)}))
    if (localStorage.getItem(key) === null) localStorage.setItem(key, JSON.stringify(value))
}} catch {{}}</script>"""

RECOVERY_SCRIPT = """<script>{
  let isWaiting = false
  addEventListener("error", ({target}) => {
    const isCode = target.tagName === "SCRIPT" || (target.tagName === "LINK" && target.rel === "stylesheet")
    if (!isCode || isWaiting || Date.now() - sessionStorage.getItem("railtrack.reloaded") < 60_000) return
    isWaiting = true
    reloadOnceHealthy()
  }, true)
  const reloadOnceHealthy = () => fetch("health", {cache: "no-store", signal: AbortSignal.timeout(5_000)})
    .then(({ok}) => {
      if (!ok) throw new Error("not healthy")
      sessionStorage.setItem("railtrack.reloaded", Date.now())
      location.reload()
    })
    .catch(() => setTimeout(reloadOnceHealthy, 1_000))
}</script>"""
"""Reload the page, which keeps its route, after a part of its code failed to load: the server restarts, or was upgraded
and has that part under another name. The script waits until the server is healthy. It reloads at most once a minute,
because a part that is still missing after a reload stays missing."""

LOGIN_SCRIPT = """<script>{
  const open = XMLHttpRequest.prototype.open
  XMLHttpRequest.prototype.open = function (method, url, isAsync = true, user = null, password = null) {
    open.call(this, method, url, isAsync)
    if (user !== null) this.setRequestHeader("Authorization", `Basic ${btoa(`${user}:${password}`)}`)
  }
  const send = window.fetch
  window.fetch = async (...request) => {
    const response = await send(...request)
    if (response.status === 401 && !new Headers(request[1]?.headers).has("Authorization")) location.reload()
    return response
  }
}</script>"""
"""For a server with login. The interface logs out by a request with an invalid user name. Browsers send it only after
a challenge, and a request with a session gets none. After a session has ended, a reload leads to the login page."""

HIDDEN = (
    "[data-assistant-ui]",
    'a[href^="#/mcp-registry"]',
    'a[href^="#/settings/llm-connections"]',
    'a[href^="#/skills"]',
)
"""Selectors of what the interface offers for features that this server lacks, and server-info cannot switch off: the
button of the assistant, and links to pages that could only show an error. Record 5 lists them."""

HIDING_STYLE = f"<style>{', '.join(HIDDEN)} {{ display: none !important }}</style>"

CHARSET_SCRIPT = """<script>{
  const create = URL.createObjectURL
  URL.createObjectURL = object => create.call(
    URL, object instanceof Blob && object.type === "text/html" ? new Blob([object], {type: "text/html;charset=utf-8"})
      : object)
}</script>"""
"""The interface shows an HTML artifact as a blob of UTF-8 without a charset. Without one in the artifact, too, browsers
take it for Windows-1252, and its Korean text is not readable."""

HEAD = f"{PRESET_SCRIPT}{RECOVERY_SCRIPT}{LOGIN_SCRIPT}{CHARSET_SCRIPT}{HIDING_STYLE}"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Plotly's parallel coordinates compile functions at run time. HTML artifacts, most of which have inline
        # scripts, are shown in a sandboxed frame with a blob: URL, which inherits this policy.
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
    )
)
"""The browser contacts no other host, whatever the page or an artifact on it refers to. X-Frame-Options, which is a
setting, determines who may frame the page."""

ENCODINGS = ("br", "gzip")
"""Of the stored files. Brotli is preferred if a client accepts both equally."""

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
"""A name with a digest of the content, which therefore never changes."""

IMMUTABLE: Header = (b"cache-control", b"public, max-age=31536000, immutable")
REVALIDATE: Header = (b"cache-control", b"no-cache")

MISSING_UI_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Railtrack</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto; line-height: 1.5">
<h1>Railtrack is running, without its web interface</h1>
<p>MLflow clients can use this server as it is. The build extracts the web interface from MLflow's wheel,
and this one skipped it (<code>RAILTRACK_UI=skip</code>).</p>
<p>To add it, build again with access to the package index: <code>make install</code> in a clone,
or <code>pip install --force-reinstall --no-deps .</code></p>
"""


class UiFile(msgspec.Struct, frozen=True):
    """A file with its sizes in bytes; `br` and `gzip` if it is stored compressed, then in both encodings only."""

    digest: str
    size: int
    br: int | None = None
    gzip: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """files.json, as build_ui.py writes it: the files by URL path."""

    files: dict[str, UiFile]


class WebInterface:
    """The interface in `folder`, or a page that explains its absence. Only files of the manifest are opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "files"
        self._files: dict[str, UiFile] = {}
        self._page = BytesResponse(MISSING_UI_PAGE, MEDIA_TYPES["html"], 404)
        if (folder / "files.json").exists():
            self._files = msgspec.json.decode((folder / "files.json").read_bytes(), type=Manifest).files
            self._page = _page((self._folder / "index.html").read_text())

    def page(self, http: HttpRequest) -> BytesResponse:
        """Return the single page. It routes by the fragment of the URL."""
        return _not_modified(self._page, http) or self._page

    def file(self, name: str, http: HttpRequest) -> BytesResponse | StreamResponse:
        """Return a static file in the client's preferred encoding, streamed unless it is small."""
        file = self._files.get(name)
        if file is None:
            raise not_found(f"The web interface has no file {name[:500]!r}.")
        encoding = preferred_encoding(http.header(b"accept-encoding"), ENCODINGS) if file.gzip else ""
        media_type = MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        headers = _file_headers(name, file, encoding)
        if not_modified := _not_modified(BytesResponse(b"", media_type, headers=headers), http):
            return not_modified
        length: int = getattr(file, encoding) if encoding else file.size
        path = self._folder / (f"{name}.{encoding or 'gzip'}" if file.gzip else name)
        decompress = bool(file.gzip) and not encoding
        if length > CHUNK_BYTES:
            return StreamResponse(_chunks(path, decompress), media_type, length, headers=headers)
        with _open(path, decompress) as body:
            return BytesResponse(body.read(), media_type, headers=headers)


def _page(html: str) -> BytesResponse:
    body = html.replace("<head>", f"<head>{HEAD}", 1).encode()
    policy = (b"content-security-policy", CONTENT_SECURITY_POLICY.encode())
    etag = _etag(hashlib.sha256(body).hexdigest()[:20])
    return BytesResponse(body, MEDIA_TYPES["html"], headers=(etag, REVALIDATE, policy))


def _file_headers(name: str, file: UiFile, encoding: str) -> tuple[Header, ...]:
    caching = IMMUTABLE if HASHED_NAME.search(name) else REVALIDATE
    headers: tuple[Header, ...] = (_etag(f"{file.digest}-{encoding}"), caching)
    if file.gzip:
        headers += (VARY_BY_ENCODING,)
    if encoding:
        headers += ((b"content-encoding", encoding.encode()),)
    return headers


def _etag(value: str) -> Header:
    return b"etag", f'"{value}"'.encode()


def _not_modified(reply: BytesResponse, http: HttpRequest) -> BytesResponse | None:
    """Return a 304 if the client already has the version with the etag of `reply`."""
    etag = dict(reply.headers).get(b"etag", b"").decode()
    if not etag or not http.has_version(etag):
        return None
    return BytesResponse(b"", reply.media_type, 304, reply.headers)


async def _chunks(path: Path, decompress: bool) -> AsyncGenerator[bytes, None]:
    """Read the file in the event loop: a thread hop takes longer than 64 KiB that are mostly in the page cache."""
    with _open(path, decompress) as body:
        while chunk := body.read(CHUNK_BYTES):
            yield chunk


def _open(path: Path, decompress: bool) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if decompress else path.open("rb")


INTERFACE = WebInterface(FOLDER)


@endpoint("GET", "/", access=SIGNED_IN)
async def page(ctx: Context, http: HttpRequest) -> BytesResponse | StreamResponse:
    """Return the web interface's page."""
    return INTERFACE.page(http)


@endpoint("GET", "/static-files/{path...}", access=SIGNED_IN)
async def static_file(ctx: Context, http: HttpRequest) -> BytesResponse | StreamResponse:
    """Return a file of the web interface."""
    return INTERFACE.file(http.params["path"], http)
