"""Compares the database and the artifact store with what the server acknowledged to the clients."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.clients.outages.fleet import Fleet
from tests.servers.databases import rows

ReadArtifact = Callable[[str], bytes | None]
"""Return the artifact at a path below the artifact root, None if there is none."""


def lost_writes(fleet: Fleet, database: str, read_artifact: ReadArtifact) -> list[str]:
    """Return the acknowledged calls whose effect is not stored."""
    metrics = set(rows(database, "SELECT run_uuid, key, step, value FROM metrics"))
    params = set(rows(database, "SELECT run_uuid, key, value FROM params"))
    tags = set(rows(database, "SELECT run_uuid, key, value FROM tags"))
    run_ids = {row[0] for row in rows(database, "SELECT run_uuid FROM runs")}
    versions = set(rows(database, "SELECT name, version, value FROM model_version_tags WHERE key = 'number'"))

    def is_stored(operation: str, acknowledged: list[Any]) -> bool:
        match operation, acknowledged:
            case "log_metric", [run_id, n]:
                return (run_id, "single", n, n / 8) in metrics
            case "log_batch", [run_id, n, first, end]:
                return (
                    all((run_id, "batch", step, step / 8) in metrics for step in range(first, end))
                    and (run_id, f"param {n}", str(n)) in params
                    and (run_id, f"batch {n}", str(n)) in tags
                )
            case "set_tag", [run_id, n]:
                return (run_id, f"tag {n}", str(n)) in tags
            case "log_artifact", [run_id, path, content]:
                return read_artifact(f"0/{run_id}/artifacts/{path}") == content.encode()
            case "create_run", [run_id]:
                return run_id in run_ids
            case "create_model_version", [name, version, n]:
                return (name, version, str(n)) in versions
        raise AssertionError(f"unexpected record: {operation} {acknowledged}")

    return [
        f"{client.version} {call.operation} {call.acknowledged}"[:300]
        for client in fleet.clients
        for call in client.calls()
        if call.acknowledged is not None and not is_stored(call.operation, call.acknowledged)
    ]


def duplicates(database: str) -> list[str]:
    """Return the metric steps, runs and model versions that one call stored twice."""
    steps = Counter(
        f"{key} {step} of {run}" for run, key, step in rows(database, "SELECT run_uuid, key, step FROM metrics")
    )
    runs = Counter(f"run {name}" for (name,) in rows(database, "SELECT name FROM runs"))
    versions = Counter(
        f"version {number} of {name}"
        for name, number in rows(database, "SELECT name, value FROM model_version_tags WHERE key = 'number'")
    )
    return [item for item, count in (steps + runs + versions).items() if count > 1]
