"""The settings as a report: which are wrong, and which other checks have nothing to go by then."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from railtrack.artifacts.s3.factory import region_of
from railtrack.checks import Finding, ok, told, warning
from railtrack.checks.start import login_warnings
from railtrack.config.lookup import ResolvedSetting
from railtrack.config.settings import Settings
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError


class Resolved(NamedTuple):
    """A setting as the server has it, fit to be seen."""

    name: str
    value: str
    source: str
    """The flag or variable that it came from, or "default"."""


def resolved(found: Sequence[ResolvedSetting], settings: Settings) -> list[Resolved]:
    """`settings`: what was made of `found`. Of a secret only the harmless part is shown, or that there is one."""
    return [Resolved(one.setting.name, _shown(one, settings), one.source or "default") for one in found]


def _shown(one: ResolvedSetting, settings: Settings) -> str:
    match one.setting.path:
        case _ if one.error:
            return "***" if one.setting.secret else one.text
        case "database.uri":
            return _shown_database(settings.database.uri)
        case "artifacts.destination":
            return settings.artifacts.destination
        case "data_folder":
            return str(settings.data_folder)
        case "s3.region":
            return region_of(settings)
        case _:
            return "***" if one.setting.secret and one.text else one.text


def _shown_database(uri: str) -> str:
    try:
        return parse_database_url(uri).masked
    except StartError:
        return "***"


def check_settings(found: Sequence[ResolvedSetting]) -> list[Finding]:
    """A line for each that is wrong, or one for all; and a line for each note."""
    faults = [told("settings", one.error) for one in found if one.error]
    notes = [warning("settings", note) for one in found for note in one.warnings]
    given = sum(1 for one in found if one.source)
    return [*(faults or [ok("settings", f"{given} given, the others have their defaults")]), *notes]


def invalid_paths(found: Iterable[ResolvedSetting]) -> set[str]:
    return {one.setting.path for one in found if one.error}


async def check_login(settings: Settings) -> list[Finding]:
    """Whether others than this machine can reach a server that asks for no login. Raises StartError."""
    if lines := login_warnings(settings):
        return [warning("login", line) for line in lines]
    return [ok("login", f"No login, and {settings.server.host} can be reached from this machine only.")]
