"""Records what MLflow makes of an empty database: mlflow_<version>_catalogue.<engine>.json.

python -m tests.db.record_catalogue
"""

import json
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from tests.db.catalogue import catalogue, rows
from tests.db.with_mlflow import FOLDERS, REFERENCE, mlflow_store
from tests.servers.databases import ENGINES, scratch_database
from tests.servers.postgres import postgres_server


def recorded(engine: str, version: str = REFERENCE) -> Any:
    """Return {"catalogue": ..., "rows": ...} of a database that this MLflow made."""
    return json.loads(_file(engine, version).read_text())


def _file(engine: str, version: str) -> Path:
    return Path(__file__).with_name(f"mlflow_{version.replace('.', '_')}_catalogue.{engine}.json")


def main() -> None:
    with postgres_server() as postgres:
        for version, engine in product(FOLDERS, ENGINES):
            with (
                tempfile.TemporaryDirectory() as folder,
                scratch_database(engine, Path(folder), postgres) as url,
            ):
                mlflow_store("create", url, version)
                record = {"catalogue": catalogue(url), "rows": rows(url)}
            _file(engine, version).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
