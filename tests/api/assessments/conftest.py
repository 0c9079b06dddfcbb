"""A trace to assess."""

import pytest

from railtrack.db import Db

TRACE = "tr-0123456789abcdef0123456789abcdef"


async def insert_trace(db: Db, trace_id: str, experiment_id: int = 0) -> str:
    await db.execute(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, db_payload_generation) "
        "VALUES ($1, $2, 1700000000000, 'OK', 0)",
        trace_id,
        experiment_id,
    )
    return trace_id


@pytest.fixture
async def assessments(db: Db) -> str:
    """Return the path of the assessments of a trace."""
    return f"/api/3.0/mlflow/traces/{await insert_trace(db, TRACE)}/assessments"
