"""Runs and datasets put straight into the database, with what no client could have logged, too."""

from typing import Any

from railtrack.db import Db


async def store_run(db: Db, name: str, start_time: int | None = 0, **what: Any) -> str:
    """A run as it is in the database. `what`: columns of runs, and the metrics, params and tags by key."""
    run_id = what.get("run_id", f"{name:>032}".replace(" ", "0"))
    async with db.write() as tx:
        await tx.execute(
            """
            INSERT INTO runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri,
                experiment_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """,
            run_id,
            name,
            what.get("user_id", ""),
            what.get("status", "RUNNING"),
            start_time,
            what.get("end_time"),
            what.get("lifecycle_stage", "active"),
            f"mlflow-artifacts:/0/{run_id}/artifacts",
            what.get("experiment_id", 0),
        )
        for key, value in what.get("metrics", {}).items():
            await tx.execute(
                """
                INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES ($1, $2, 1, 0, $3, $4)
                """,
                key,
                0.0 if value is None else value,
                value is None,
                run_id,
            )
        for table in ("params", "tags"):
            for key, value in what.get(table, {}).items():
                await tx.execute(f"INSERT INTO {table} (key, value, run_uuid) VALUES ($1, $2, $3)", key, value, run_id)
    return run_id


async def store_dataset(db: Db, run_id: str, name: str, digest: str, context: str) -> None:
    """An input of the run; the dataset is stored with its first use."""
    dataset, link = f"{name}-{digest}", f"{run_id[-20:]}-{name}"
    async with db.write() as tx:
        if not await tx.fetch_value("SELECT 1 FROM datasets WHERE dataset_uuid = $1", dataset):
            await tx.execute(
                """
                INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source)
                VALUES ($1, 0, $2, $3, 'local', '{}')
                """,
                dataset,
                name,
                digest,
            )
        await tx.execute(
            """
            INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)
            VALUES ($1, 'DATASET', $2, 'RUN', $3)
            """,
            link,
            dataset,
            run_id,
        )
        await tx.execute(
            "INSERT INTO input_tags (input_uuid, name, value) VALUES ($1, 'mlflow.data.context', $2)", link, context
        )
