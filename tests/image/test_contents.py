"""Contents and metadata of the image."""

import json
import re
import stat
import tomllib
from pathlib import Path

import build_ui
from tests.image.conftest import SECRET
from tests.servers.image import ROOT, Image

SITE_PACKAGES = "opt/railtrack/lib/python3.11/site-packages"
LIMIT_MB = 250
ADDED_LIMIT_MB = 95
OFFICIAL_BASE_MB = 135
"""Size of the Dockerfile's base image: the published sizes of python:3.11-slim-bookworm, rounded up."""
SOURCES = (".pyx", ".pxd", ".pyi", ".c", ".h")
TOOLS = re.compile(r"(gcc|g\+\+|cc|c\+\+|ld|as|make|pip3?(\.\d+)?|uv|uvx|git|curl|wget|hatchling)(-\d+)?")


def test_the_image_configures_how_it_runs(image: Image) -> None:
    config = image.config
    assert config["User"] == "1000"
    assert config["WorkingDir"] == "/mlflow"
    assert config["Entrypoint"] == ["/mlflow/docker-entrypoint.sh"]
    assert not config["Cmd"]
    assert list(config["ExposedPorts"]) == ["5000/tcp"]
    assert not config["Volumes"]  # Railway rejects images with volumes
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "/mlflow/docker-healthcheck.sh"]
    assert image.environment.items() >= {
        ("MLFLOW_HOST", "0.0.0.0"),
        ("MLFLOW_PORT", "5000"),
        ("RAILTRACK_DATA", "/mlflow/data"),
    }


def test_the_command_also_has_mlflows_name(image: Image) -> None:
    assert str((image.root / "opt/railtrack/bin/mlflow").readlink()) == "railtrack"


def test_the_labels_match_the_project(image: Image) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = {name.rpartition(".")[2]: text for name, text in image.config["Labels"].items()}
    assert labels["title"] == "Railtrack"
    assert labels["version"] == project["version"]
    assert labels["licenses"] == project["license"]


def test_the_image_is_small(image: Image) -> None:
    base, added = (size / 1e6 for size in image.layers)
    assert base + added < LIMIT_MB
    assert added < ADDED_LIMIT_MB
    assert OFFICIAL_BASE_MB + ADDED_LIMIT_MB < LIMIT_MB


def test_the_image_has_no_tools_that_build_install_or_download(image: Image) -> None:
    programs = [path for folder in ("usr/bin", "usr/local/bin", "usr/sbin") for path in (image.root / folder).iterdir()]
    programs += (image.root / "opt/railtrack/bin").iterdir()
    assert len(programs) > 100
    assert [path.name for path in programs if TOOLS.fullmatch(path.name)] == []
    packages = [path for path in image.root.rglob("*") if path.name in ("pip", "ensurepip", "uv", "setuptools")]
    assert packages == []
    ours = list((image.root / "opt/railtrack").rglob("*"))
    assert [path for path in ours if path.suffix in SOURCES or path.stem in ("tests", "_testbase")] == []


def test_the_image_has_exactly_the_locked_packages(image: Image) -> None:
    lock = {one["name"]: one for one in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    wanted, left = set[str](), ["railtrack"]
    while left:
        wanted.add(name := left.pop())
        left += [one["name"] for one in lock[name].get("dependencies", ()) if one["name"] not in wanted]
    found = dict(
        re.fullmatch(r"(.+)-([^-]+)\.dist-info", path.name).groups()  # type: ignore[union-attr]
        for path in (image.root / SITE_PACKAGES).glob("*.dist-info")
    )
    versions = {name.replace("_", "-"): version for name, version in found.items()}
    assert versions == {name: lock[name]["version"] for name in wanted}


def test_the_sbom_lists_every_package_and_the_web_interface(image: Image) -> None:
    sbom = json.loads((image.root / "opt/railtrack/sbom.cdx.json").read_text())
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.5")
    installed = {path.name.split("-")[0] for path in (image.root / SITE_PACKAGES).glob("*.dist-info")} - {"railtrack"}
    listed = {one["name"].replace("-", "_"): one for one in sbom["components"]}
    interface = listed.pop("mlflow_web_interface")
    assert interface["version"] == build_ui.MLFLOW
    assert installed
    assert installed <= set(listed)
    assert all(one["version"] and one["purl"] for one in listed.values())
    assert "timestamp" not in sbom["metadata"], "a timestamp would make builds of the same sources differ"


def test_the_image_contains_the_compressed_interface_and_its_license(image: Image) -> None:
    folder = image.root / SITE_PACKAGES / "railtrack" / "_ui"
    here = json.loads((ROOT / "src/railtrack/_ui/files.json").read_bytes())
    assert json.loads((folder / "files.json").read_bytes()) == here
    [main] = (folder / "files/static/js").glob("main.*.js.br")
    assert main.with_suffix(".gzip").exists()
    assert "Apache License" in (folder / "LICENSE.txt").read_text()


def test_every_module_has_bytecode(image: Image) -> None:
    """The server's user cannot write bytecode, so every start would compile modules without it."""
    modules = list((image.root / SITE_PACKAGES).rglob("*.py"))
    assert len(modules) > 300
    written = {path.relative_to(image.root) for path in image.root.rglob("*.cpython-311.pyc")}
    wanted = {path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc" for path in modules}
    assert {path.relative_to(image.root) for path in wanted} - written == set()


def is_writable(path: Path) -> bool:
    """Return whether user 1000 or OpenShift's group 0 may write to the path."""
    found = path.lstat()
    by_group = found.st_gid == 0 and found.st_mode & stat.S_IWGRP
    return not path.is_symlink() and bool(found.st_uid == 1000 or by_group or found.st_mode & stat.S_IWOTH)


def test_the_user_may_write_only_to_the_data_folder(image: Image) -> None:
    ours = [path for folder in ("opt", "mlflow") for path in (image.root / folder).rglob("*")]
    assert len(ours) > 1000
    assert [path for path in ours if is_writable(path)] == [image.root / "mlflow/data"]


def test_the_image_contains_no_secret_of_the_build_context_or_environment(image: Image) -> None:
    assert SECRET not in json.dumps(image.inspected)
    needle = SECRET.encode()
    files = [path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 3000
    assert [path for path in files if needle in path.read_bytes()] == []
    names = {path.name for path in files}
    assert names & {".env", ".git", "mlflow.db", "uv.lock", "pyproject.toml", "conftest.py"} == set()
