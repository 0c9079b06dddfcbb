"""The sdist and the wheel: built as a release is, installed into an empty environment, used by a real client."""

import os
import re
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import build_ui
import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.railtrack import RailtrackServer
from tools import get_uv

ROOT = Path(__file__).parents[2]
UV = ROOT / ".cache" / f"uv-{get_uv.VERSION}" / "uv"
PROGRAM = ROOT / "tests" / "image" / "client_program.py"
NO_INDEX = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
"""A build that asks for the web interface fails."""


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Run the command and return its output. Fail with it if the command fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MLFLOW_"))}
    done = subprocess.run(command, cwd=cwd, env=kept | environ, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        body: bytes = response.read()
    return body


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder, cwd=ROOT, **NO_INDEX)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, without a package index."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        # Python 3.11.2, of Debian 12, has no filters.
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (sources,) = folder.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=sources, **NO_INDEX)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `railtrack` command of an environment into which nothing but the wheel was installed."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    cache = {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(ROOT / ".cache" / "uv")), "UV_SYSTEM_CERTS": "1"}
    run(UV, "venv", "--quiet", "--python", sys.executable, environment, cwd=ROOT, **cache)
    python = environment / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, wheel, cwd=environment, **cache)
    return environment / "bin" / "railtrack"


@pytest.fixture(scope="module")
def server(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    made = RailtrackServer(tmp_path_factory.mktemp("server"), None, {})
    made.command = [str(installed), "server"]
    made.start()
    yield made
    made.stop()


def test_the_sdist_and_the_wheel_have_the_web_interface_and_its_license(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/src/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    for present in (names, packed):
        assert {"railtrack/_ui/files.json", "railtrack/_ui/LICENSE.txt"} <= present
        assert {"railtrack/_ui/files/index.html", "railtrack/app.py", "railtrack/py.typed"} <= present
        assert len([name for name in present if name.startswith("railtrack/_ui/files/static/js/")]) > 100
    assert not [name for name in packed if name.startswith(("tests", "bench", "tools", "build_ui"))]


def test_the_wheel_needs_only_the_declared_dependencies(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        required = re.findall(r"^Requires-Dist: ([\w.-]+)", archive.read(metadata).decode(), re.M)
    assert "msgspec" in required
    assert "mlflow" not in required


def test_an_installed_wheel_serves_the_page(server: RailtrackServer) -> None:
    page = get(f"{server.url}/").decode()
    scripts = re.findall(r'src="(static-files/static/js/main[^"]+)"', page)
    assert scripts
    for script in scripts:
        assert len(get(f"{server.url}/{script}")) > 10_000
    assert build_ui.MLFLOW in get(f"{server.url}/version").decode()


def test_an_installed_wheel_serves_a_client(server: RailtrackServer, tmp_path: Path) -> None:
    environ = client_environment(server.url, tmp_path)
    output = run(client_interpreter("3.17.2"), PROGRAM, "from a wheel", cwd=tmp_path, **environ)
    run_id = output.split()[-1]
    assert re.fullmatch(r"[0-9a-f]{32}", run_id)
    assert server.logged_errors() == []
