"""A parser of command lines that reads and reports them as MLflow's command does."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

USAGE_ERROR = 2


class CommandParser(argparse.ArgumentParser):
    """A flag takes the next argument as its value even if that starts with a dash: `--gunicorn-opts "-t 60"`.

    Flags cannot be abbreviated, and an error is one line.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        return super().parse_known_args(self._with_joined_values(args), namespace)

    def _with_joined_values(self, arguments: Sequence[str]) -> list[str]:
        """Return `--flag=value` and `-fvalue` for a flag and its value."""
        joined: list[str] = []
        following = iter(arguments)
        for argument in following:
            action = self._option_string_actions.get(argument)
            if action is None or action.nargs is not None or (value := next(following, None)) is None:
                joined.append(argument)
            else:
                joined.append(f"{argument}={value}" if argument.startswith("--") else f"{argument}{value}")
        return joined

    def check_command_is_first(self, arguments: Sequence[str]) -> None:
        """Exit if an unknown flag precedes the command: argparse would take the flag's value for the command."""
        name = arguments[0].partition("=")[0] if arguments else ""
        if name.startswith("-") and name not in self._option_string_actions:
            from railtrack.cli.flags import server_flags  # it imports all settings

            commands = {
                **dict.fromkeys(server_flags(), "railtrack server "),
                **dict.fromkeys(self._option_string_actions, "railtrack "),
            }
            similar = _similar(name, commands)
            meant = f" Did you mean `{commands[similar[0]]}{similar[0]}`?" if similar else ""
            self.error(f"There is no option {name} before the command.{meant}")

    def report_unknown(self, arguments: Sequence[str], command: str) -> NoReturn:
        """Exit with a line that names the first unknown argument, and the flag that may be meant."""
        parser = self._command_parser(command)
        name = arguments[0].partition("=")[0]
        similar = _similar(name, parser._option_string_actions)
        meant = f" Did you mean {similar[0]}?" if similar else ""
        kind = "option" if name.startswith("-") else "argument"
        parser.error(f"There is no {kind} {name}.{meant}")

    def _command_parser(self, command: str) -> argparse.ArgumentParser:
        commands = next(one for one in self._actions if isinstance(one, argparse._SubParsersAction))
        parser: argparse.ArgumentParser = commands.choices[command]
        return parser

    def error(self, message: str) -> NoReturn:
        sentence = f"{message[0].upper()}{message[1:].rstrip('.')}." if not message.endswith("?") else message
        self.exit(USAGE_ERROR, f"Error: {sentence} `{self.prog} --help` lists all options.\n")


def _similar(name: str, known: Iterable[str]) -> list[str]:
    """Return the most similar one of the known names, or none."""
    from difflib import get_close_matches  # a server has no use for it

    return get_close_matches(name, list(known), n=1)
