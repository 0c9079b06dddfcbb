"""Folders to write to: looked at, never made."""

from pathlib import Path

import pytest

from railtrack.checks import Finding
from railtrack.checks.folders import check_space_and_type, file_system_type
from railtrack.checks.start import Folder

MOUNTS = """\
1 0 0:1 / / rw,relatime - overlay overlay rw,lowerdir=/x
2 1 0:2 / /mlflow/data rw,relatime shared:1 - ext4 /dev/vdb rw
3 1 0:3 / /mlflow/data/shared rw - nfs4 10.0.0.1:/export rw
4 1 0:4 / /with\\040blank rw - xfs /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x", "overlay"),
        ("/mlflow/data/mlflow.db", "ext4"),
        ("/mlflow/database", "overlay"),
        ("/mlflow/data/shared/a/b", "nfs4"),
        ("/with blank/a", "xfs"),
    ],
)
def test_the_innermost_mount_determines_the_file_system(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert file_system_type(Path(path), tmp_path / "mountinfo") == kind
    assert file_system_type(Path(path), tmp_path / "nothing") == ""


@pytest.fixture(autouse=True)
def _on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run in a container, on whose own file system folders are worth a warning."""
    monkeypatch.setattr("railtrack.checks.folders.MOUNTS", tmp_path / "none")


async def looked(path: Path, *, is_database: bool = False) -> Finding:
    [found] = await check_space_and_type(Folder(path, "RAILTRACK_DATA", is_database))
    return found


async def test_a_missing_folder_is_checked_by_its_nearest_parent_and_not_created(tmp_path: Path) -> None:
    found = await looked(tmp_path / "a" / "b")
    assert (found.status, ", to be created at the start, writable, " in found.finding) == ("ok", True)
    assert (await looked(tmp_path / "a")).finding.startswith(f"{tmp_path}/a, to be created")


async def test_a_file_instead_of_a_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    found = await looked(tmp_path / "a" / "b")
    assert found.status == "problem"
    assert found.finding == f"RAILTRACK_DATA: {tmp_path}/a is not a folder."


async def test_container_layers_and_network_file_systems_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr("railtrack.checks.folders.MOUNTS", mounts)
    mounts.write_text("1 0 0:1 / / rw - overlay overlay rw\n")
    assert "is in the container (overlay), and is deleted with it" in (await looked(tmp_path)).finding
    mounts.write_text("1 0 0:1 / / rw - nfs4 10.0.0.1:/ rw\n")
    found = await looked(tmp_path, is_database=True)
    assert (found.status, "whose locks SQLite cannot rely on" in found.finding) == ("warning", True)
    assert (await looked(tmp_path)).status == "ok"


@pytest.mark.parametrize(("free", "status"), [(63 << 20, "problem"), (900 << 20, "warning"), (2 << 30, "ok")])
async def test_little_free_space_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert (await looked(tmp_path)).status == status
