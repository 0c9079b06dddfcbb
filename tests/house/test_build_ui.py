"""The build hook on a small wheel made here. tests/api/ui/test_pages.py checks the real one."""

import gzip
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import brotli
import build_ui
import pytest

SCRIPT = b"console.log('a script, long enough to be worth compressing');" * 100
IMAGE = os.urandom(2_000)


@pytest.fixture
def wheel(tmp_path: Path) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(tmp_path / "mlflow.whl", "w")
    archive.writestr(f"{build_ui.INSIDE}index.html", "<head></head>" * 100)
    archive.writestr(f"{build_ui.INSIDE}static/js/main.0123abcd.js", SCRIPT)
    archive.writestr(f"{build_ui.INSIDE}static/media/logo.png", IMAGE)
    archive.writestr("mlflow/server/handlers.py", "not of the interface")
    archive.writestr(build_ui.LICENSE, "the licence")
    archive.close()
    return zipfile.ZipFile(tmp_path / "mlflow.whl")


def test_only_the_interface_is_extracted_and_compressible_files_are_compressed_twice(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    folder = tmp_path / "_ui"
    build_ui.write(wheel, folder)
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    script = "files/static/js/main.0123abcd.js"
    assert written == {
        "files.json",
        "LICENSE.txt",
        "files/index.html",
        f"{script}.br",
        f"{script}.gzip",
        "files/static/media/logo.png",
    }
    assert brotli.decompress((folder / f"{script}.br").read_bytes()) == SCRIPT
    assert gzip.decompress((folder / f"{script}.gzip").read_bytes()) == SCRIPT
    assert (folder / "files/static/media/logo.png").read_bytes() == IMAGE


def test_the_list_of_files_has_the_sizes_that_were_written(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    folder = tmp_path / "_ui"
    build_ui.write(wheel, folder)
    files = json.loads((folder / "files.json").read_bytes())["files"]
    script = files["static/js/main.0123abcd.js"]
    assert script["size"] == len(SCRIPT)
    for encoding in ("br", "gzip"):
        stored = folder / "files/static/js" / f"main.0123abcd.js.{encoding}"
        assert script[encoding] == stored.stat().st_size
    assert files["static/media/logo.png"].keys() == {"digest", "size"}


def test_a_folder_of_another_layout_or_wheel_or_none_is_not_current(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    folder = tmp_path / "_ui"
    assert not build_ui.is_current(folder)
    build_ui.write(wheel, folder)
    assert build_ui.is_current(folder)
    manifest = json.loads((folder / "files.json").read_bytes())
    for other in ({"layout": build_ui.LAYOUT + 1}, {"sha256": "0" * 64}):
        (folder / "files.json").write_text(json.dumps(manifest | other))
        assert not build_ui.is_current(folder)


def build_without_a_network(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the hook as hatchling does, with a package index that nobody answers at."""
    script = (
        "import build_ui, hatchling.bridge.app as app\n"
        f"hook = build_ui.UiBuildHook({str(project)!r}, {{}}, None, None, '', 'wheel', app.Application())\n"
        "hook.initialize('standard', {})\n"
    )
    given = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    given |= {"PIP_CONFIG_FILE": os.devnull, "PYTHONPATH": str(Path(build_ui.__file__).parent), **environment}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, env=given, timeout=300)


def test_a_build_that_cannot_download_the_interface_fails_with_advice(tmp_path: Path) -> None:
    package = tmp_path / "src" / "railtrack"
    package.mkdir(parents=True)
    result = build_without_a_network(tmp_path)
    assert result.returncode == 1
    assert "RAILTRACK_UI=skip" in result.stderr
    assert not list(package.iterdir())


def test_a_build_can_skip_the_interface(tmp_path: Path) -> None:
    (tmp_path / "src" / "railtrack").mkdir(parents=True)
    result = build_without_a_network(tmp_path, RAILTRACK_UI="skip")
    assert result.returncode == 0, result.stderr
    assert "may lack the web interface" in result.stderr + result.stdout


def test_pip_uses_the_index_of_uv_unless_it_has_another() -> None:
    assert build_ui.with_index({"UV_DEFAULT_INDEX": "http://a"})["PIP_INDEX_URL"] == "http://a"
    both = {"UV_DEFAULT_INDEX": "http://a", "PIP_INDEX_URL": "http://b"}
    assert build_ui.with_index(both)["PIP_INDEX_URL"] == "http://b"
    assert "PIP_INDEX_URL" not in build_ui.with_index({})
