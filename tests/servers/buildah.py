"""Runs buildah, which builds and unpacks images without a daemon, with its storage in .cache."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

STORAGE = Path(__file__).parents[2] / ".cache" / "buildah"
PASSED_VARIABLES = ("home", "http_proxy", "https_proxy", "no_proxy", "tmpdir")


def buildah(*arguments: str, environ: Mapping[str, str] | None = None) -> str:
    """Return its output. Raise RuntimeError with both outputs if it fails."""
    storage = ["--root", str(STORAGE / "root"), "--runroot", str(STORAGE / "run"), "--storage-driver", "vfs"]
    return run("buildah", *storage, *arguments, environ=environ)


def run(*command: str, environ: Mapping[str, str] | None = None) -> str:
    given = {name: value for name, value in os.environ.items() if name.lower() in PASSED_VARIABLES}
    path = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}  # where Debian keeps debootstrap
    done = subprocess.run(
        command, env={**given, **path, **(environ or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}")
    return done.stdout.strip()
