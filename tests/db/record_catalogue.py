"""Writes down what MLflow 3.17.2 makes of an empty database: mlflow_3_17_2_catalogue.<engine>.json.

python -m tests.db.record_catalogue
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.db.catalogue import catalogue, rows
from tests.db.with_mlflow import mlflow_store
from tests.servers.databases import ENGINES, scratch_database
from tests.servers.postgres import postgres_server


def recorded(engine: str) -> Any:
    """{"catalogue": ..., "rows": ...} of a database that MLflow made."""
    return json.loads(_file(engine).read_text())


def _file(engine: str) -> Path:
    return Path(__file__).with_name(f"mlflow_3_17_2_catalogue.{engine}.json")


def main() -> None:
    with postgres_server() as postgres, tempfile.TemporaryDirectory() as folder:
        for engine in ENGINES:
            with scratch_database(engine, Path(folder), postgres) as url:
                mlflow_store("create", url)
                record = {"catalogue": catalogue(url), "rows": rows(url)}
            _file(engine).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
