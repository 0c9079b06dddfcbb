"""Upgrade a database, or report what an upgrade would do. The engines: postgres_run.py, sqlite_run.py."""

from collections.abc import Callable
from typing import NamedTuple

from railtrack.db import Tx, schema
from railtrack.db.open import explain_failure, find_revision
from railtrack.db.upgrade.conversions import Conversion, conversions_between
from railtrack.db.upgrade.plan import Plan
from railtrack.db.upgrade.releases import OLDEST, RELEASES, is_upgradable
from railtrack.db.url import DatabaseUrl
from railtrack.errors import ApiError, StartError

Report = Callable[[str], None]
"""Print or log a line about the progress."""

LOCK_TIMEOUT_S = 1.0


class Options(NamedTuple):
    report: Report
    is_dry_run: bool = False
    lock_timeout_s: float = LOCK_TIMEOUT_S
    """How long a step waits for a lock, and so blocks writers that wait behind it, before it makes way and retries."""
    wait_s: int = 0
    """How long to wait for PostgreSQL to accept connections."""


class Start(NamedTuple):
    """What an upgrade begins with."""

    revision: str
    conversions: list[Conversion]


async def upgrade_database(url: DatabaseUrl, options: Options) -> bool:
    """Bring MLflow's tables to the newest schema. Return True if there was something to do. Raise StartError.

    It may be killed at any step and run again. A database that is empty, or newer, is left as it is.
    """
    if url.engine == "sqlite":
        from railtrack.db.upgrade.sqlite_run import upgrade
    else:
        from railtrack.db.upgrade.postgres_run import upgrade
    try:
        return await upgrade(url, options)
    except StartError:
        raise
    except ApiError as error:
        raise StartError(error.message, "Run the command again: it continues where it stopped.") from error
    except Exception as error:
        raise explain_failure(error, url).start_error(url) from error


async def find_start(tx: Tx, url: DatabaseUrl, report: Report) -> Start | None:
    """Return where the upgrade starts, None if there is nothing to do. Raise StartError for other tables."""
    revision = await find_revision(tx, url)
    if revision is None:
        report("The database has no tables yet. The start of the server creates them.")
        return None
    if revision == schema.REVISION:
        report(f"Nothing to do: the database has the newest revision, {revision} (MLflow {RELEASES[revision]}).")
        return None
    if revision not in schema.revisions():
        report(f"Nothing to do: the database has revision {revision} of a newer MLflow.")
        return None
    if not is_upgradable(revision):
        raise StartError(
            f"{url.setting}: the database has revision {revision}, from before MLflow 2.9 ({OLDEST}).",
            "Upgrade it with MLflow 2.9.2 first: mlflow db upgrade",
        )
    return Start(revision, conversions_between(revision, schema.REVISION))


def describe(start: Start, plan: Plan, report: Report) -> None:
    """Report the steps, with their statements, for a dry run."""
    version, newest = RELEASES.get(start.revision, "in between"), RELEASES[schema.REVISION]
    report(f"From revision {start.revision} (MLflow {version}) to {schema.REVISION} (MLflow {newest}):")
    for step in plan.expand:
        report("\n".join([step.title, *(f"    {' '.join(statement.split())}" for statement in step.statements)]))
    for conversion in start.conversions:
        report(conversion.title)
    for step in plan.contract:
        report("\n".join([step.title, *(f"    {' '.join(statement.split())}" for statement in step.statements)]))
    report("This was a dry run: nothing was changed.")


async def set_revision(tx: Tx, start: Start) -> None:
    await tx.execute(
        "UPDATE alembic_version SET version_num = $1 WHERE version_num = $2", schema.REVISION, start.revision
    )


def check_rows(before: dict[str, int], after: dict[str, int], start: Start) -> list[str]:
    """Return the tables that have lost rows, apart from those whose rows move."""
    moved = {table for conversion in start.conversions for table in conversion.tables}
    return [
        f"{table} ({count} rows before, {after.get(table, 0)} after)"
        for table, count in before.items()
        if table not in moved and after.get(table, 0) < count
    ]
