"""The statements of docs/databases.md that merge a registry of another SQLite database."""

import contextlib
import re
import sqlite3
from pathlib import Path

from railtrack.db.open import open_database, prepare
from railtrack.db.url import parse_database_url

PAGE = Path(__file__).parents[2] / "docs" / "databases.md"
COPIED = re.compile(r"INSERT INTO (\w+) SELECT \* FROM registry\.\1;")


async def test_a_registry_in_another_sqlite_database_is_merged(tmp_path: Path) -> None:
    for name in ("mlflow", "registry"):
        url = parse_database_url(f"sqlite:///{tmp_path / name}.db")
        db = open_database(url, connections=1)
        await prepare(db, url, default_location="mlflow-artifacts:/0")
        await db.close()
    (block,) = re.findall(r"```sql\n(ATTACH 'registry\.db'.*?)```", PAGE.read_text(), re.DOTALL)
    with contextlib.closing(sqlite3.connect(tmp_path / "registry.db")) as registry:
        registry.executescript(
            "INSERT INTO registered_models (workspace, name) VALUES ('default', 'resnet');"
            "INSERT INTO model_versions (workspace, name, version) VALUES ('default', 'resnet', 1);"
            "INSERT INTO model_version_tags (workspace, name, version, key, value) "
            "VALUES ('default', 'resnet', 1, 'k', 'v');"
        )
        tables = {
            name
            for (name,) in registry.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name.startswith(("registered_model", "model_version", "webhook"))
        }
    assert set(COPIED.findall(block)) == tables
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as merged:
        merged.executescript("PRAGMA foreign_keys = ON;" + block.replace("registry.db", str(tmp_path / "registry.db")))
        assert merged.execute("SELECT name, version, value FROM model_version_tags").fetchall() == [("resnet", 1, "v")]
        assert merged.execute("SELECT name FROM registered_models").fetchall() == [("resnet",)]
