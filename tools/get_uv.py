"""Download uv into a folder with the standard library alone, since Debian's python3 has neither pip nor venv.

`make` calls it once. The package index is the one that pip would use.
"""

import configparser
import hashlib
import io
import os
import platform
import re
import ssl
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

VERSION = "0.13.9"
WHEELS = {
    # The static musl build runs on any Linux.
    "linux-x86_64": (
        "musllinux_1_1_x86_64",
        "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
    ),
    "linux-aarch64": (
        "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
    "darwin-arm64": (
        "macosx_11_0_arm64",
        "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
    ),
    "darwin-x86_64": (
        "macosx_10_12_x86_64",
        "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
    ),
}
"""Platform tag of uv's wheel and SHA-256 of the file, by system and machine."""

PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE"))


def main(folder: Path) -> None:
    """Put the executable at `folder`/uv, or exit with one line that states the reason."""
    if sys.version_info < (3, 11):  # noqa: UP036 (the one script that an older Python may run)
        sys.exit(
            f"Railtrack needs Python 3.11 or newer, but {sys.executable} is {platform.python_version()}. "
            "Use another one: make PYTHON=python3.12 serve"
        )
    here = f"{platform.system()}-{platform.machine()}".lower()
    if here not in WHEELS:
        sys.exit(f"No wheel of uv is known for {here}. Install uv {VERSION} at {folder}/uv manually.")
    tag, digest = WHEELS[here]
    wheel = download(f"uv-{VERSION}-py3-none-{tag}.whl")
    if hashlib.sha256(wheel).hexdigest() != digest:
        sys.exit(f"The package index sent a uv {VERSION} whose SHA-256 is not {digest}. Check PIP_INDEX_URL.")
    install(wheel, folder)


def download(filename: str) -> bytes:
    """Download a file that the index lists for the project."""
    page_url = f"{pip_setting('index-url', 'https://pypi.org/simple').rstrip('/')}/uv/"
    context = ssl.create_default_context()
    certificates = pip_setting("cert", "")
    if certificates:
        context.load_verify_locations(Path(certificates).expanduser())
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(page_url, timeout=60) as page:
            link = re.search(rf'href="([^"#]*{re.escape(filename)})[#"]', page.read().decode())
        if not link:
            sys.exit(f"{page_url} does not list {filename}. Set PIP_INDEX_URL to another index.")
        with opener.open(urllib.parse.urljoin(page_url, link[1]), timeout=60) as file:
            return bytes(file.read())
    except OSError as error:
        sys.exit(f"Could not download uv from {page_url}: {error}. Set PIP_INDEX_URL to another index.")


def pip_setting(name: str, default: str) -> str:
    """Return a setting of pip: from its variable, or else the last of its files that sets it."""
    files = configparser.ConfigParser(strict=False, interpolation=None)
    files.read(Path(path).expanduser() for path in PIP_FILES if path)
    in_files = files.get("global", name, fallback=default)
    return os.environ.get(f"PIP_{name.upper().replace('-', '_')}") or in_files


def install(wheel: bytes, folder: Path) -> None:
    """Extract the executable from the wheel. It gets its name only when it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"uv.{os.getpid()}.part"
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        part.write_bytes(archive.read(f"uv-{VERSION}.data/scripts/uv"))
    part.chmod(0o755)
    part.replace(folder / "uv")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
