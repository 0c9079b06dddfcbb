"""Run a command on the users and tokens of a server's database, whether the server runs or not."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from railtrack.auth.audit import record_command
from railtrack.checks.report import columns
from railtrack.config.lookup import ResolvedSetting, default_of
from railtrack.config.settings import SETTINGS, resolve_all, settings_from
from railtrack.db import Db, Tx
from railtrack.db.open import open_database, prepare, wait_for_database
from railtrack.db.retry import retry_on_conflict
from railtrack.db.url import parse_database_url
from railtrack.errors import ApiError, StartError
from railtrack.mlflow.artifact_location import absolute_location

SETTINGS_USED = ("database.uri", "data_folder")
Work = Callable[[Db, argparse.Namespace], Awaitable[None]]


def add_command(commands: Any, name: str, summary: str, work: Work) -> argparse.ArgumentParser:
    """Add a subcommand that runs `work` on the database. Return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary, add_help=False)
    parser.add_argument("--help", action="help", help="Show this and exit.")
    add_options(parser, work)
    return parser


def add_options(parser: argparse.ArgumentParser, work: Work) -> None:
    """Let a command run `work` on the database."""
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    for setting in SETTINGS:
        if setting.path in SETTINGS_USED:
            help_text = f"{setting.help} [{', '.join(setting.variables)}]".replace("%", "%%")
            parser.add_argument(*setting.flags, dest=setting.path, metavar="VALUE", help=help_text)
    parser.set_defaults(work=work)


def run(options: argparse.Namespace) -> int:
    """Run the subcommand, and again if it conflicts with another transaction. Return its exit code."""
    try:
        asyncio.run(_run(options))
    except (StartError, ApiError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    settings = settings_from(_used(resolve_all({path: getattr(options, path) for path in SETTINGS_USED})))
    url = parse_database_url(settings.database.uri)
    for warning in url.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    if url.engine == "sqlite" and not os.path.exists(url.path):  # noqa: ASYNC240, PTH110 (nothing else runs here)
        advice = "Set the variables that the server has, or start it once."
        raise StartError(f"There is no database {url.path}.", advice)
    db = open_database(url, connections=1)
    try:
        await wait_for_database(db, url, 0)
        await prepare(db, url, default_location=absolute_location(settings.artifacts.experiment_location(0)))
        options.is_audited = settings.audit.enabled
        await retry_on_conflict(options.work, db, options)
    finally:
        await db.close()


def _used(resolved: Sequence[ResolvedSetting]) -> list[ResolvedSetting]:
    """Return the settings. An invalid one that is not used here has its default."""
    return [default_of(one) if one.error and one.setting.path not in SETTINGS_USED else one for one in resolved]


async def audit(
    tx: Tx, options: argparse.Namespace, action: str, resource_type: str, resource_id: str, detail: str = ""
) -> None:
    """Record a change by a command in the audit log, with the system's user who runs it."""
    if options.is_audited:
        await record_command(tx, f"railtrack {action}", resource_type, resource_id, detail)


def print_rows(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    """Print rows with the same keys, as a table or as JSON."""
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        texts = [[_text(value) for value in row.values()] for row in rows]
        print("\n".join(columns([[name.upper().replace("_", " ") for name in rows[0]], *texts])))


def print_row(row: dict[str, Any], options: argparse.Namespace, text: str) -> None:
    """Print one result, as `text` or as JSON."""
    print(json.dumps(row, indent=2, ensure_ascii=False) if options.json else text)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
