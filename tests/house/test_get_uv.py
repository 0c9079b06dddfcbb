"""tools/get_uv.py with an index that a test serves: installation and errors."""

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tools import get_uv

pytestmark = pytest.mark.slow

SCRIPT = Path(get_uv.__file__)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """Serve a package index with all wheels of uv, each with a script as executable, and yield its URL."""
    page = tmp_path / "simple" / "uv"
    page.mkdir(parents=True)
    for tag, _ in get_uv.WHEELS.values():
        name = f"uv-{get_uv.VERSION}-py3-none-{tag}.whl"
        with zipfile.ZipFile(page / name, "w") as wheel:
            wheel.writestr(f"uv-{get_uv.VERSION}.data/scripts/uv", "#!/bin/sh\necho the uv of a test\n")
    links = [f'<a href="../uv/{path.name}#sha256=0" data-x="1">{path.name}</a>' for path in page.glob("*.whl")]
    (page / "index.html").write_text("\n".join(links))
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: QuietHandler(*args, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/simple"
    server.shutdown()
    thread.join()
    server.server_close()


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    command = [sys.executable, "-I", SCRIPT, folder / "uv-folder"]
    return subprocess.run(command, capture_output=True, text=True, env=given, timeout=300)


def test_a_uv_with_another_digest_is_rejected(index: str, tmp_path: Path) -> None:
    result = run(tmp_path, PIP_INDEX_URL=index)
    assert result.returncode == 1
    assert "whose SHA-256 is not" in result.stderr
    assert not (tmp_path / "uv-folder").exists()


def test_an_unreachable_index_is_reported_in_one_line(tmp_path: Path) -> None:
    result = run(tmp_path, PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert result.returncode == 1
    assert result.stderr.startswith("Could not download uv from http://127.0.0.1:9/simple/uv/")
    assert len(result.stderr.splitlines()) == 1


def test_an_index_without_this_version_is_reported_in_one_line(index: str, tmp_path: Path) -> None:
    (tmp_path / "simple" / "uv" / "index.html").write_text("<a href='other.whl'>other.whl</a>")
    result = run(tmp_path, PIP_INDEX_URL=index)
    assert result.returncode == 1
    assert result.stderr.startswith(f"{index}/uv/ does not list uv-{get_uv.VERSION}")


def test_the_index_is_that_of_pips_settings(index: str, tmp_path: Path) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nindex-url = {index}/\n")
    assert "whose SHA-256 is not" in run(tmp_path, PIP_CONFIG_FILE=str(settings)).stderr
    unreachable = run(tmp_path, PIP_CONFIG_FILE=str(settings), PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert "Could not download uv" in unreachable.stderr, "a variable wins over a file"


def test_the_executable_is_extracted_alone_and_runs(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)
    tag, _ = get_uv.WHEELS["linux-x86_64"]
    wheel = get_uv.download(f"uv-{get_uv.VERSION}-py3-none-{tag}.whl")
    assert zipfile.is_zipfile(io.BytesIO(wheel))
    get_uv.install(wheel, tmp_path / "folder")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["uv"]
    output = subprocess.run([tmp_path / "folder" / "uv"], capture_output=True, text=True, check=True)
    assert output.stdout == "the uv of a test\n"


def test_every_pinned_digest_is_a_sha_256() -> None:
    digests = {digest for _, digest in get_uv.WHEELS.values()}
    assert len(digests) == len(get_uv.WHEELS)
    assert {len(bytes.fromhex(digest)) for digest in digests} == {hashlib.sha256().digest_size}
