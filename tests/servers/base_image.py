"""The base image in tests, made by debootstrap in place of the one that the Dockerfile takes from a registry.

It is the same Debian with the same minor version of Python, with the paths that the Dockerfile expects.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from tests.servers.buildah import buildah, run

NAME = "localhost/railtrack-base"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
SUITE = "bookworm"
PACKAGES = "python3,ca-certificates"
NOT_IN_SLIM_IMAGES = (
    "dev",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
    "var/lib/apt/lists",
    "var/log",
)
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
TRUSTED_HERE = Path(os.environ.get("SSL_CERT_FILE") or CERTIFICATES)


def stand_in_base() -> str:
    """Return the name of the base image. Make it unless the storage has it."""
    ingredients = [path.read_bytes() for path in (Path(__file__), TRUSTED_HERE) if path.exists()]
    recipe = hashlib.sha256(b"".join(ingredients)).hexdigest()[:12]
    name = f"{NAME}:{recipe}"
    if not buildah("images", "--quiet", "--filter", f"reference={name}"):
        for older in buildah("images", "--quiet", "--filter", f"reference={NAME}").split():
            buildah("rmi", "--force", older)
        with tempfile.TemporaryDirectory(prefix="railtrack-base-") as folder:
            root = Path(folder) / "root"
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), MIRROR)
            match_official_image(root)
            container = buildah("from", "scratch")
            buildah("add", "--quiet", container, str(root), "/")
            buildah("config", "--env", f"PATH={PATH}", container)
            buildah("commit", "--quiet", "--rm", container, name)
    return name


def match_official_image(root: Path) -> None:
    """Remove documentation and bytecode, put python3 and pip into /usr/local, and trust this machine's certificates."""
    for unwanted in NOT_IN_SLIM_IMAGES:
        shutil.rmtree(root / unwanted)
        (root / unwanted).mkdir()
    for folder in list(root.rglob("__pycache__")):
        shutil.rmtree(folder)
    local = root / "usr" / "local"
    (local / "bin" / "python3").symlink_to("/usr/bin/python3")
    pip = importlib.util.find_spec("pip")
    assert pip is not None
    assert pip.origin is not None
    shutil.copytree(Path(pip.origin).parent, local / "lib" / "python3.11" / "site-packages" / "pip")
    (local / "lib" / "python3.11" / "ensurepip").mkdir()
    for name in ("pip", "pip3", "pip3.11"):
        (local / "bin" / name).write_text("#!/bin/sh\n")
    if TRUSTED_HERE.exists():
        shutil.copyfile(TRUSTED_HERE, root / CERTIFICATES.relative_to("/"))
