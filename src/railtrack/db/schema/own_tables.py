"""Railtrack's own tables, all named `railtrack_*`, made at start where they are missing. MLflow never looks at them.

None refers to a table of MLflow's: a foreign key would stand in the way of its migrations.
"""

from railtrack.db import Tx

STATEMENTS = (
    # What is still to be sent to webhooks. `due_ms`: when the next attempt may begin; whoever begins one moves it on.
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
    """Each that is not there yet, in the transaction that also creates or judges MLflow's."""
    for statement in STATEMENTS:
        await tx.execute(statement)
