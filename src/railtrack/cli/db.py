"""`railtrack db`: upgrade the database of an older MLflow, and report what is in a database and what slows it down."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable

from railtrack.checks.report import Output, columns, exit_code, findings_as_json, table
from railtrack.checks.tables import TableReport, check_tables
from railtrack.config.lookup import default_of
from railtrack.config.settings import SETTINGS, resolve_all, settings_from
from railtrack.db.open import open_database, wait_for_database
from railtrack.db.upgrade.run import LOCK_TIMEOUT_S, Options, upgrade_database
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import ApiError, StartError

SETTINGS_USED = ("database.uri", "data_folder")
Work = Callable[[DatabaseUrl, argparse.Namespace], Awaitable[int]]


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    upgrade_command = _add_command(
        commands,
        "upgrade",
        "Upgrade the database of MLflow 2.9 or later to the newest schema, without MLflow.",
        upgrade,
    )
    upgrade_command.add_argument("--dry-run", action="store_true", help="Print the steps, and change nothing.")
    upgrade_command.add_argument(
        "--lock-timeout",
        type=float,
        default=LOCK_TIMEOUT_S,
        metavar="SECONDS",
        help="How long a step waits for a lock on PostgreSQL. Writers wait behind it, at most so long; then it makes "
        f"way for them, and tries again (default: {LOCK_TIMEOUT_S:g}).",
    )
    check_command = _add_command(
        commands,
        "check",
        "Report the revision, which MLflow can open the database, the size of its tables, and what is slow about it.",
        check,
    )
    check_command.add_argument("--json", action="store_true", help="Print JSON.")


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, work: Work
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary, add_help=False)
    parser.add_argument("--help", action="help", help="Show this and exit.")
    parser.add_argument("url", metavar="URL", nargs="?", help="The database, as in --backend-store-uri.")
    for setting in SETTINGS:
        if setting.path in SETTINGS_USED:
            help_text = f"{setting.help} [{', '.join(setting.variables)}]".replace("%", "%%")
            parser.add_argument(*setting.flags, dest=setting.path, metavar="VALUE", help=help_text)
    parser.set_defaults(work=work)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the subcommand. Return its exit code."""
    try:
        work: Work = options.work
        return asyncio.run(_run(work, _url(options), options))
    except (StartError, ApiError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


async def _run(work: Work, url: DatabaseUrl, options: argparse.Namespace) -> int:
    return await work(url, options)


def _url(options: argparse.Namespace) -> DatabaseUrl:
    given = {path: getattr(options, path) for path in SETTINGS_USED}
    if options.url:
        given["database.uri"] = options.url
    resolved = [
        default_of(one) if one.error and one.setting.path not in SETTINGS_USED else one for one in resolve_all(given)
    ]
    url = parse_database_url(settings_from(resolved).database.uri)
    for warning in url.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    if url.engine == "sqlite" and not os.path.exists(url.path):  # noqa: PTH110 (may be no valid path)
        raise StartError(f"There is no database {url.path}.", "Set the variables that the server has, or name a URL.")
    return url


async def upgrade(url: DatabaseUrl, options: argparse.Namespace) -> int:
    if not 0.01 <= options.lock_timeout <= 60:
        raise StartError(f"Invalid lock timeout: {options.lock_timeout:g}.", "Use 0.01 to 60 seconds.")

    def report(line: str) -> None:
        print(line, flush=True)

    await upgrade_database(url, Options(report, options.dry_run, options.lock_timeout))
    return 0


async def check(url: DatabaseUrl, options: argparse.Namespace) -> int:
    """Return 1 if there is a problem, 0 otherwise."""
    db = open_database(url, connections=1, read_only=True)
    try:
        await wait_for_database(db, url, 0)
        report = await check_tables(db, url)
    finally:
        await db.close()
    print(_json(report) if options.json else _text(report))
    return exit_code(report.findings, strict=False)


def _text(report: TableReport) -> str:
    rows = [("TABLE", "ROWS", "SIZE", "INDEXES", "DEAD ROWS")]
    rows += [
        (one.name, f"{one.rows:,}", _mib(one.bytes), _mib(one.index_bytes), f"{one.dead_rows:,}")
        for one in report.tables
    ]
    return "\n".join([*table(report.findings, Output.of_stdout()), "", *columns(rows)])


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"


def _json(report: TableReport) -> str:
    members = {
        "revision": report.revision,
        "mlflow_versions": report.mlflow_versions,
        "checks": findings_as_json(report.findings),
        "tables": [one._asdict() for one in report.tables],
    }
    return json.dumps(members, indent=2, ensure_ascii=False)
