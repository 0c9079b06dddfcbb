"""The command `railtrack`. Each subcommand is a module beside this one, imported only when it is called."""

import argparse
import os
import sys
from importlib import import_module
from importlib.metadata import version

from railtrack.cli.parser import CommandParser
from railtrack.errors import StartError

COMMANDS = {
    "server": "Run the tracking server.",
    "doctor": "Check settings, database, artifact store and machine without starting the server.",
    "demo": "Fill a running server with a made-up training to look around in, or remove it again.",
    "tail": "Print the metrics of a run as they are logged, until it ends.",
    "users": "List, create, change and delete users of a server with login, and let an administrator in again.",
    "roles": "List, create and change roles, and assign them to users.",
    "grants": "List, set and revoke what single users may do.",
    "tokens": "List, create and revoke API tokens.",
    "audit": "List who did what on a server with login, and what was denied.",
    "db": "Upgrade the database of an older MLflow, and check a database.",
    "verify": "Use a deployed server as a client does, step by step, and leave it unchanged.",
}
OUTPUT_CLOSED = 141
"""The exit code of shells for a process ended by SIGPIPE."""
MODULES = {"ui": "server"}
"""MLflow's other name of the server."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command, and exit with its status."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    if env_file := vars(options).pop("env_file"):
        from railtrack.config.settings import add_env_file

        try:
            add_env_file(env_file)
        except StartError as error:
            sys.exit(f"Error: {error}")
    try:
        sys.exit(import_module(f"railtrack.cli.{MODULES.get(options.command, options.command)}").run(options))
    except BrokenPipeError:
        # The reader of the output has exited, such as `head`. Python would fail again when it flushes at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OUTPUT_CLOSED)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the command and its flags. Exit with 2, after one line, for those that do not exist."""
    parser = CommandParser(
        prog="railtrack", description="An experiment-tracking server: a small, fast drop-in for MLflow's."
    )
    parser.add_argument("--version", action="version", version=f"railtrack {version('railtrack')}")
    parser.add_argument("--env-file", metavar="FILE", help="Read variables from this file; those that are set win.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    completes = "_ARGCOMPLETE" in os.environ
    for name, summary in COMMANDS.items():
        aliases = [alias for alias, module in MODULES.items() if module == name]
        # -h is MLflow's short flag for --host, so help is --help alone.
        command = commands.add_parser(name, aliases=aliases, help=summary, description=summary, add_help=False)
        command.add_argument("--help", action="help", help="Show this and exit.")
        if completes or any(one in arguments for one in (name, *aliases)):
            import_module(f"railtrack.cli.{name}").configure(command)
    if completes:
        # The shell calls the program to complete a line (`_ARGCOMPLETE`); this prints the candidates and exits.
        import_module("argcomplete").autocomplete(parser)
    parser.check_command_is_first(arguments)
    options: argparse.Namespace
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.report_unknown(unknown, options.command)
    return options
