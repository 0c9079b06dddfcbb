"""The command `railtrack`. Each subcommand is a module beside this one, imported only when it is called."""

import argparse
import sys
from importlib import import_module
from importlib.metadata import version

COMMANDS = {
    "server": "Run the tracking server.",
    "doctor": "Check settings, database, artifact store and machine without starting the server.",
    "users": "List, create, change and delete users of a server with login, and let an administrator in again.",
    "roles": "List, create and change roles, and assign them to users.",
    "grants": "List, set and revoke what single users may do.",
    "tokens": "List, create and revoke API tokens.",
    "audit": "List who did what on a server with login, and what was denied.",
    "verify": "Use a deployed server as a client does, step by step, and leave it unchanged.",
}


def main(arguments: list[str] | None = None) -> None:
    """Run a command, and exit with its status."""
    parser = argparse.ArgumentParser(
        prog="railtrack", description="An experiment-tracking server: a small, fast drop-in for MLflow's."
    )
    parser.add_argument("--version", action="version", version=f"railtrack {version('railtrack')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    given = sys.argv[1:] if arguments is None else arguments
    for name, summary in COMMANDS.items():
        # -h is MLflow's short flag for --host, so help is --help alone.
        command = commands.add_parser(name, help=summary, description=summary, add_help=False)
        command.add_argument("--help", action="help", help="Show this and exit.")
        if name in given:
            import_module(f"railtrack.cli.{name}").configure(command)
    options = parser.parse_args(given)
    sys.exit(import_module(f"railtrack.cli.{options.command}").run(options))
