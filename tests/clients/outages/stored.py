"""Whether the database and the artifact store hold what the server has acknowledged to the clients, once each."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.clients.outages.fleet import Fleet
from tests.servers.databases import rows

ReadArtifact = Callable[[str], bytes | None]
"""The content of the artifact at a path below the artifact root, None where there is none."""


def lost(fleet: Fleet, database: str, read_artifact: ReadArtifact) -> list[str]:
    """What was acknowledged and is not there."""
    metrics = set(rows(database, "SELECT run_uuid, key, step, value FROM metrics"))
    params = set(rows(database, "SELECT run_uuid, key, value FROM params"))
    tags = set(rows(database, "SELECT run_uuid, key, value FROM tags"))
    runs = {row[0] for row in rows(database, "SELECT run_uuid FROM runs")}
    versions = set(
        rows(
            database,
            "SELECT v.name, v.version, t.value FROM model_versions v JOIN model_version_tags t"
            " ON t.name = v.name AND t.version = v.version AND t.key = 'number'",
        )
    )

    def is_stored(operation: str, acknowledged: list[Any]) -> bool:
        match operation, acknowledged:
            case "log_metric", [run_id, key, step, value]:
                return (run_id, key, step, value) in metrics
            case "log_batch", [run_id, number, first, after_last]:
                return (
                    all((run_id, "batch", step, step / 8) in metrics for step in range(first, after_last))
                    and (run_id, f"param {number}", str(number)) in params
                    and (run_id, f"batch {number}", str(number)) in tags
                )
            case "set_tag", [run_id, key, value]:
                return (run_id, key, value) in tags
            case "create_run", [run_id]:
                return run_id in runs
            case "log_artifact", [run_id, path, content]:
                return read_artifact(f"0/{run_id}/artifacts/{path}") == content.encode()
            case "register", [name, version, number]:
                return (name, version, str(number)) in versions
        raise AssertionError(f"unknown: {operation} {acknowledged}")

    return [
        f"{client.version} {call.operation} {call.acknowledged}"[:300]
        for client in fleet.clients
        for call in client.calls()
        if call.acknowledged is not None and not is_stored(call.operation, call.acknowledged)
    ]


def doubled_steps(database: str) -> list[tuple[Any, ...]]:
    """Steps of a metric that are there more than once."""
    return rows(
        database, "SELECT run_uuid, key, step, count(*) FROM metrics GROUP BY 1, 2, 3 HAVING count(*) > 1 LIMIT 10"
    )


def doubled_creates(database: str) -> list[str]:
    """Runs and model versions that one call made twice. Each has its call's number."""
    runs = Counter(row[0] for row in rows(database, "SELECT name FROM runs"))
    versions = Counter(
        f"{name} number {number}"
        for name, number in rows(database, "SELECT name, value FROM model_version_tags WHERE key = 'number'")
    )
    return [name for name, count in (runs + versions).items() if count > 1]
