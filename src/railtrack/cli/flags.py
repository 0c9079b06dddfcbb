"""The flags of `railtrack server` and `railtrack doctor`, generated from the settings."""

import argparse

from railtrack.config.settings import SETTINGS


def add_flags(parser: argparse.ArgumentParser) -> None:
    for setting in SETTINGS:
        if setting.flags:
            names = ", ".join(setting.variables)
            parser.add_argument(
                *setting.flags,
                dest=setting.path,
                metavar="VALUE",
                help=f"{setting.help} [{names}; default: {setting.default or 'none'}]".replace("%", "%%"),
            )
