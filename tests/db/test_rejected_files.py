"""SQLite files that cannot be served are left as they are, byte for byte."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.db.test_open import run_sql, start, start_error


def another_application(path: Path, *, wal: bool = False) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('0123456789ab')")


def older_mlflow(path: Path) -> None:
    start(f"sqlite:///{path}")
    run_sql(
        f"sqlite:///{path}", "UPDATE alembic_version SET version_num = '75868b020152'", "PRAGMA journal_mode = DELETE"
    )


def truncated(path: Path) -> None:
    another_application(path)
    path.write_bytes(path.read_bytes()[:4096])


REJECTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "another application": (another_application, "in use by another application"),
    "another application with WAL": (lambda path: another_application(path, wal=True), "in use by another application"),
    "an older MLflow": (older_mlflow, "railtrack db upgrade sqlite:///"),
    "text": (lambda path: path.write_text("This is no SQLite file. " * 100), "file is not a database"),
    "a truncated file": (truncated, "database disk image is malformed"),
}


@pytest.mark.parametrize(("make", "fault"), REJECTED.values(), ids=REJECTED)
def test_a_rejected_file_is_left_as_it_is(make: Callable[[Path], object], fault: str, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    make(path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert fault in start_error(f"sqlite:///{path}")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert {one.name.removeprefix(path.name) for one in tmp_path.iterdir()} <= {"", "-wal", "-shm"}
    assert not Path(f"{path}-wal").exists() or Path(f"{path}-wal").stat().st_size == 0


def test_a_folder_is_rejected(tmp_path: Path) -> None:
    assert "unable to open database file" in start_error(f"sqlite:///{tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_the_journal_of_an_interrupted_writer_is_recovered(tmp_path: Path) -> None:
    """Only a connection that may write can roll it back."""
    path = tmp_path / "mlflow.db"
    start(f"sqlite:///{path}")
    run_sql(f"sqlite:///{path}", "PRAGMA journal_mode = DELETE")
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE experiments SET name = 'half'")
        connection.execute(
            "CREATE TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
            "WHERE i < 20000) SELECT i, hex(randomblob(50)) FROM n"
        )
        copy.write_bytes(path.read_bytes())
        Path(f"{copy}-journal").write_bytes(Path(f"{path}-journal").read_bytes())
    start(f"sqlite:///{copy}")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
