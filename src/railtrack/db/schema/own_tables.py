"""Railtrack's tables, all named `railtrack_*`, created at the start if they are missing. MLflow ignores them.

None refers to a table of MLflow's: a foreign key would block MLflow's migrations.
"""

from railtrack.db import Tx

STATEMENTS = (
    # Pending webhook deliveries. `due_ms` is when the next attempt may begin; a process that begins one moves it on.
    """
    CREATE TABLE IF NOT EXISTS railtrack_webhook_deliveries (
        delivery_id VARCHAR(36) NOT NULL,
        webhook_id  VARCHAR(256) NOT NULL,
        payload     TEXT NOT NULL,
        created_ms  BIGINT NOT NULL,
        attempts    INTEGER NOT NULL,
        due_ms      BIGINT NOT NULL,
        CONSTRAINT railtrack_webhook_deliveries_pk PRIMARY KEY (delivery_id)
    )
    """,
    "CREATE INDEX IF NOT EXISTS railtrack_webhook_deliveries_due ON railtrack_webhook_deliveries (due_ms)",
    "CREATE INDEX IF NOT EXISTS railtrack_webhook_deliveries_webhook ON railtrack_webhook_deliveries (webhook_id)",
)


async def create_own_tables(tx: Tx) -> None:
    """Create the missing tables in the transaction that creates or checks MLflow's."""
    for statement in STATEMENTS:
        await tx.execute(statement)
