"""The flags of `railtrack server` and `railtrack doctor`, generated from the settings and MLflow's other options."""

import argparse
from collections.abc import Mapping, Sequence

from railtrack.config.lookup import name_of_flag
from railtrack.config.mlflow_options import SATISFIED, UNSUPPORTED
from railtrack.config.settings import SETTINGS


class _StoreWithName(argparse.Action):
    """Store the value, or the constant of a switch, and the name by which the flag was given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)
        setattr(namespace, name_of_flag(self.dest), option_string)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting, under its path, and for each option of MLflow without effect, under its name."""
    for setting in SETTINGS:
        names = ", ".join(setting.variables)
        description = f"{setting.help} [{names}; default: {setting.default or 'none'}]".replace("%", "%%")
        if setting.flags:
            parser.add_argument(
                *setting.flags, action=_StoreWithName, dest=setting.path, metavar="VALUE", help=description
            )
        for switch, value in setting.switches.items():
            parser.add_argument(
                switch, action=_StoreWithName, nargs=0, const=value, dest=setting.path, help=description
            )
    for option in UNSUPPORTED:
        for flag in option.flags:
            description = f"Has no effect: {option.effect} {option.advice}".rstrip()
            if option.is_switch:
                parser.add_argument(flag, dest=flag, action="store_true", help=description)
            else:
                parser.add_argument(flag, dest=flag, metavar="VALUE", help=description)
    for flag in SATISFIED:
        if flag.startswith("-"):
            parser.add_argument(flag, dest=flag, action="store_true", help="Has no effect: it is so anyway.")


def server_flags() -> Mapping[str, argparse.Action]:
    """Return the actions of all flags, by name."""
    parser = argparse.ArgumentParser(add_help=False)
    add_flags(parser)
    return {name: action for action in parser._actions for name in action.option_strings}
