"""What `railtrack db check` reports: revision, versions of MLflow, missing indexes, size and dead rows of tables."""

from typing import NamedTuple

from railtrack.checks import Finding, ok, warning
from railtrack.db import Db, Tx, schema
from railtrack.db.open import find_revision, older_revision_error
from railtrack.db.schema.indexes import INDEXES
from railtrack.db.upgrade.releases import versions_of
from railtrack.db.url import DatabaseUrl
from railtrack.errors import StartError

DEAD_ROWS_SHARE = 0.2
DEAD_ROWS_MIN = 10_000
"""A table with fewer dead rows is small, or PostgreSQL vacuums it soon."""
FREE_SHARE = 0.25
FREE_MIN_BYTES = 64 << 20
LARGE_ROWS = 50_000_000


class TableSize(NamedTuple):
    name: str
    rows: int
    """On PostgreSQL an estimate."""
    bytes: int
    """Without indexes."""
    index_bytes: int
    dead_rows: int


class TableReport(NamedTuple):
    revision: str
    mlflow_versions: str
    findings: list[Finding]
    tables: list[TableSize]
    """The largest first, without empty ones."""


async def check_tables(db: Db, url: DatabaseUrl) -> TableReport:
    """Check the tables without changing them. Raise StartError if they are not MLflow's."""
    async with db.read() as tx:
        revision = await find_revision(tx, url)
        if revision is None:
            raise StartError(f"{url.setting}: {url.masked} has no tables yet.", "The start of the server creates them.")
        findings = [_revision(revision, url), _mlflow(revision), await _missing_indexes(tx)]
        sizes = await (_postgresql_sizes(tx) if tx.engine == "postgresql" else _sqlite_sizes(tx))
        findings += [_dead_rows(one) for one in sizes if _has_many_dead_rows(one)]
        findings += [_large(one) for one in sizes if one.rows > LARGE_ROWS and one.name == "metrics"]
        if tx.engine == "sqlite":
            findings += await _free_pages(tx)
        else:
            findings += await _statistics(tx)
    return TableReport(revision, versions_of(revision), findings, sizes)


def _revision(revision: str, url: DatabaseUrl) -> Finding:
    if revision == schema.REVISION:
        return ok("revision", f"{revision}, the newest")
    if revision in schema.SERVED_REVISIONS:
        return warning(
            "revision",
            f"{revision}, older than {schema.REVISION}. Railtrack serves it.",
            "`railtrack db upgrade` upgrades it while servers run.",
        )
    if schema.is_older(revision):
        return warning("revision", f"{revision}, too old for Railtrack.", older_revision_error(url).advice)
    return warning("revision", f"{revision}, of a newer MLflow.")


def _mlflow(revision: str) -> Finding:
    versions = versions_of(revision)
    if not versions:
        return warning("MLflow", "No released version that Railtrack knows opens this database.")
    return ok("MLflow", f"Versions that open this database: {versions}. Each opens this revision only.")


async def _missing_indexes(tx: Tx) -> Finding:
    """Compare with the indexes of schema/ by name, those of Railtrack included. An invalid one counts as missing."""
    statements = schema.statements_by_table(tx.engine)
    wanted = {_name_of(index): table for table, made in statements.items() for index in made.indexes}
    wanted |= {name: INDEXES[name][tx.engine].partition(" ")[0] for name in INDEXES}
    rows = await tx.fetch(
        tx.per_dialect(
            # The engines' catalogues have nothing in common.
            postgresql="""
                SELECT CAST(c.relname AS text) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE i.indisvalid AND pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = ANY($1)
            """,
            sqlite="SELECT name FROM sqlite_master WHERE type = 'index' AND name = ANY($1)",
        ),
        list(wanted),
    )
    missing = sorted(wanted.keys() - {name for (name,) in rows})
    if not missing:
        return ok("indexes", f"All {len(wanted)} exist.")
    shown = ", ".join(f"{name} on {wanted[name]}" for name in missing[:5])
    more = f", and {len(missing) - 5} more" if len(missing) > 5 else ""
    return warning(
        "indexes",
        f"Missing: {shown}{more}. Requests that need them read whole tables.",
        "`railtrack db upgrade` builds those of an older MLflow, the start of the server its own. For others, run the "
        "CREATE INDEX of a new database.",
    )


def _name_of(create_index: str) -> str:
    return create_index.replace("UNIQUE ", "").split()[2]


async def _postgresql_sizes(tx: Tx) -> list[TableSize]:
    rows = await tx.fetch(
        """
        SELECT CAST(c.relname AS text), CAST(greatest(c.reltuples, s.n_live_tup, 0) AS bigint),
               pg_table_size(c.oid), pg_indexes_size(c.oid), coalesce(s.n_dead_tup, 0)
        FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
        WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid)
          AND (CAST(c.relname AS text) = ANY($1) OR starts_with(CAST(c.relname AS text), 'railtrack_'))
        ORDER BY pg_total_relation_size(c.oid) DESC, 1
        """,
        schema.tables(),
    )
    return [one for one in (TableSize(*row) for row in rows) if one.rows or one.bytes > 1 << 20]


async def _sqlite_sizes(tx: Tx) -> list[TableSize]:
    """Count rows. Sizes need the dbstat table, which not every SQLite has: without it they are 0."""
    names = await tx.fetch("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    sizes: dict[str, list[int]] = {}
    if await tx.fetch_value("SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'"):
        for table, kind, size in await tx.fetch(
            """
            SELECT m.tbl_name, m.type, sum(d.pgsize)
            FROM dbstat d JOIN sqlite_master m ON m.name = d.name WHERE d.aggregate GROUP BY 1, 2
            """
        ):
            sizes.setdefault(table, [0, 0])[kind == "index"] += size
    tables = []
    for (name,) in names:
        size, index_size = sizes.get(name, (0, 0))
        rows = await tx.fetch_value(f'SELECT count(*) FROM "{name}"')  # noqa: S608 (a name from the catalogue)
        tables.append(TableSize(name, rows, size, index_size, 0))
    return sorted((one for one in tables if one.rows), key=lambda one: (-one.bytes - one.index_bytes, one.name))


def _has_many_dead_rows(table: TableSize) -> bool:
    return table.dead_rows > max(DEAD_ROWS_MIN, DEAD_ROWS_SHARE * table.rows)


def _dead_rows(table: TableSize) -> Finding:
    return warning(
        "dead rows",
        f"{table.name} has {table.dead_rows:,} dead rows beside {table.rows:,}: reads pass over them.",
        f"VACUUM (ANALYZE) {table.name}; if this returns, lower autovacuum_vacuum_scale_factor of the table, and look "
        "for transactions that stay open.",
    )


def _large(table: TableSize) -> Finding:
    return warning(
        "size",
        f"{table.name} has {table.rows:,} rows: backups and the deletion of runs take long.",
        "Delete runs that nobody needs, and log fewer steps (docs/sizing.md).",
    )


async def _free_pages(tx: Tx) -> list[Finding]:
    pages = int(await tx.fetch_value("SELECT page_count FROM pragma_page_count"))
    free = int(await tx.fetch_value("SELECT freelist_count FROM pragma_freelist_count"))
    page_bytes = int(await tx.fetch_value("SELECT page_size FROM pragma_page_size"))
    if free * page_bytes < max(FREE_MIN_BYTES, FREE_SHARE * pages * page_bytes):
        return []
    return [
        warning(
            "free space",
            f"{free * page_bytes >> 20} of {pages * page_bytes >> 20} MiB of the file are free.",
            "Stop the server, and run `sqlite3 FILE VACUUM` to make the file smaller.",
        )
    ]


async def _statistics(tx: Tx) -> list[Finding]:
    """Report tables that PostgreSQL has never analyzed: it would plan their queries by guesses."""
    names = [
        name
        for (name,) in await tx.fetch(
            """
            SELECT CAST(relname AS text) FROM pg_stat_user_tables
            WHERE last_analyze IS NULL AND last_autoanalyze IS NULL AND n_live_tup > 10000
              AND CAST(relname AS text) = ANY($1)
            ORDER BY 1
            """,
            schema.tables(),
        )
    ]
    if not names:
        return []
    return [warning("statistics", f"Never analyzed: {', '.join(names)}.", f"ANALYZE {', '.join(names)};")]
