"""The flags of `railtrack server` and `railtrack doctor`, generated from the settings."""

import argparse

from railtrack.config.settings import SETTINGS


def add_flags(parser: argparse.ArgumentParser) -> None:
    for setting in SETTINGS:
        names = ", ".join(setting.variables)
        description = f"{setting.help} [{names}; default: {setting.default or 'none'}]".replace("%", "%%")
        if setting.flags:
            parser.add_argument(*setting.flags, dest=setting.path, metavar="VALUE", help=description)
        for switch, value in setting.switches.items():
            parser.add_argument(switch, dest=setting.path, action="store_const", const=value, help=description)
