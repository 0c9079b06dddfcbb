"""Build hook: extract MLflow's web interface from MLflow's wheel, compress it, and add it to Railtrack's wheel.

The result is kept in src/railtrack/_ui (ignored by git), so that only the first build of a clone downloads anything.
src/railtrack/api/ui/pages.py serves it.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import brotli
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MLFLOW = "3.18.0"
SHA256 = "be7d84ba0d0b12392f5b53260cdb3e6d7b7ef4b80c29da90a89b5a1f6db7102f"
"""SHA-256 of mlflow-3.18.0-py3-none-any.whl."""

LAYOUT = 2
"""Version of the folder's layout. A folder of another version is rebuilt."""

INSIDE = "mlflow/server/js/build/"
LICENSE = f"mlflow-{MLFLOW}.dist-info/licenses/LICENSE.txt"
BROTLI_QUALITY = 10
"""On two cores: 8 s for 6.3 MB. 11 takes 18 s for 6.2 MB, 9 takes 2 s for 6.8 MB."""

MAX_COMPRESSED_RATIO = 0.9
"""A file is stored compressed only if that makes it smaller than this part of its size. Images are not."""

FOLDER = Path("src/railtrack/_ui")


class UiBuildHook(BuildHookInterface):  # type: ignore[misc, type-arg, unused-ignore]
    """Runs before a wheel is built, including the editable one of `uv sync`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the interface into src/railtrack/_ui, where hatchling finds it."""
        folder = Path(self.root) / FOLDER
        if os.environ.get("RAILTRACK_UI") == "skip":
            self.app.display_warning("RAILTRACK_UI=skip: this build may lack the web interface.")
        elif not is_current(folder):
            self.app.display_info(f"Extracting the web interface from mlflow {MLFLOW}")
            build(folder)


def is_current(folder: Path) -> bool:
    """Return whether `folder` contains what this hook would write."""
    try:
        written = json.loads((folder / "files.json").read_bytes())
    except FileNotFoundError:
        return False
    return bool(written["layout"] == LAYOUT and written["sha256"] == SHA256)


def build(folder: Path) -> None:
    """Download and compress the interface. A build that is killed leaves no incomplete `folder`."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="_ui-") as scratch:
        fresh = Path(scratch) / "ui"
        with zipfile.ZipFile(fetch_wheel(Path(scratch))) as wheel:
            write(wheel, fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


def fetch_wheel(scratch: Path) -> Path:
    """Download MLflow's wheel with pip, and so with the user's index, proxy and certificates."""
    pinned = scratch / "requirements.txt"
    pinned.write_text(f"mlflow=={MLFLOW} --hash=sha256:{SHA256}\n")
    options = "--quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: --require-hashes"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options.split(),
        "--dest",
        scratch,
        "-r",
        pinned,
    ]
    if subprocess.run(command, env=with_index(os.environ)).returncode:  # noqa: S603 (all arguments are constants)
        raise SystemExit(
            f"Could not download the web interface, which is in the wheel of mlflow {MLFLOW}. Check the package "
            "index (PIP_INDEX_URL), or put the wheel into a folder (PIP_FIND_LINKS). "
            "To build without it, set RAILTRACK_UI=skip."
        )
    return next(scratch.glob("mlflow-*.whl"))


def with_index(environ: Any) -> dict[str, str]:
    """Return the environment for pip, with the index that uv uses."""
    index = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
    return {**({"PIP_INDEX_URL": index} if index else {}), **environ}


def write(wheel: zipfile.ZipFile, folder: Path) -> None:
    """Write the files of the interface, and files.json with the facts that the server needs."""
    # Threads suffice: zlib and brotli release the GIL. The largest file goes first.
    entries = sorted(wheel.infolist(), key=lambda entry: -entry.file_size)
    bodies = {e.filename.removeprefix(INSIDE): wheel.read(e) for e in entries if is_served(e.filename)}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        facts = threads.map(lambda item: write_file(folder, *item), bodies.items())
        files = dict(sorted(zip(bodies, facts, strict=True)))
    (folder / "LICENSE.txt").write_bytes(wheel.read(LICENSE))
    manifest = {"layout": LAYOUT, "mlflow": MLFLOW, "sha256": SHA256, "files": files}
    (folder / "files.json").write_text(json.dumps(manifest, indent=0))


def is_served(filename: str) -> bool:
    """Return whether this entry of the wheel is a file of the interface."""
    return filename.startswith(INSIDE) and not filename.endswith("/")


def write_file(folder: Path, name: str, body: bytes) -> dict[str, Any]:
    """Write a file, compressed both ways or not at all. Return its digest, its size, and the compressed sizes."""
    target = folder / "files" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    fact = {"digest": hashlib.sha256(body).hexdigest()[:20], "size": len(body)}
    gzip_body = gzip.compress(body, 9, mtime=0)
    if name == "index.html" or len(gzip_body) > MAX_COMPRESSED_RATIO * len(body):
        target.write_bytes(body)
        return fact
    brotli_body = brotli.compress(body, quality=BROTLI_QUALITY)
    target.with_name(f"{target.name}.gzip").write_bytes(gzip_body)
    target.with_name(f"{target.name}.br").write_bytes(brotli_body)
    return {**fact, "gzip": len(gzip_body), "br": len(brotli_body)}


if __name__ == "__main__":
    build(Path(__file__).parent / FOLDER)
