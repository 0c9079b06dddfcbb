"""Look up one setting: flag, variables, file, default. The table of settings is settings.py."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from railtrack.config import parsers
from railtrack.config.sanitize import cleaned, is_service_link, unresolved
from railtrack.errors import StartError

RAILWAY = ("RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT_ID", "RAILWAY_SERVICE_ID")
"""What Railway sets in every container. A reference that leads nowhere becomes an empty value there."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table: `variables` in the order in which they win, below the flag."""

    field: str
    variables: tuple[str, ...]
    flags: tuple[str, ...]
    parse: Callable[[str], Any]
    default: str
    help: str
    secret: bool = False
    one_value: bool = False
    """Two variables with different values are refused, rather than one of them passed over."""
    warn_empty: bool = False
    """A variable that is there and empty is worth a word, or on some platforms a refusal."""

    @property
    def name(self) -> str:
        return self.variables[0]


@dataclass(frozen=True, slots=True)
class Found:
    """A setting as it was found: where, with which text, what that means, and what is to be said of it."""

    setting: Setting
    source: str
    """The flag or variable; "" for the default."""
    text: str
    value: Any = None
    fault: StartError | None = None
    notes: tuple[str, ...] = ()


def notes(found: Iterable[Found]) -> list[str]:
    """What is to be said of settings that are right, at every start."""
    return [note for one in found for note in one.notes]


def default_of(one: Found) -> Found:
    """The same setting as if nothing had been given."""
    return Found(one.setting, "", one.setting.default, one.setting.parse(one.setting.default))


def look_up(setting: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Found:
    """The setting, right or wrong; a flag wins, then the first variable."""
    source, text = "", ""
    notes: tuple[str, ...] = ()
    try:
        source, text, notes = _given(setting, flags, environ)
        if reason := unresolved(text):
            raise StartError(f"{source}: {reason}")
        return Found(setting, source, text, _parsed(setting, source or setting.name, text), None, notes)
    except StartError as error:
        return Found(setting, source, text, None, error, notes)


def _parsed(setting: Setting, source: str, text: str) -> Any:
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "its value" if setting.secret else repr(text)
        raise StartError(f"{source}: {shown} {error}.", setting.help) from None


def _given(
    setting: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str]
) -> tuple[str, str, tuple[str, ...]]:
    """Where the value comes from, its text, and what is to be said of it; an empty variable counts as unset."""
    if flag := cleaned(flags.get(setting.field) or ""):
        return setting.flags[0], flag, ()
    given = list(_given_by_variables(setting, environ))
    notes = tuple(_service_link_note(*one) for one in given if _is_no_port(setting, one[1]))
    given = [one for one in given if not _is_no_port(setting, one[1])]
    if not given:
        return "", setting.default, notes + _empty_notes(setting, environ)
    source, text = given[0]
    if setting.one_value:
        for other, another in given[1:]:
            if another.rstrip("/") != text.rstrip("/"):
                raise StartError(f"{source} and {other} are set to different values.", "Keep one of them.")
    return source, text, notes


def _is_no_port(setting: Setting, text: str) -> bool:
    return setting.parse is parsers.port and is_service_link(text)


def _service_link_note(variable: str, text: str) -> str:
    return (
        f"{variable}: {text} is what Kubernetes sets beside a Service of that name, and no port to listen on: it is "
        "passed over. enableServiceLinks: false in the pod's spec keeps it away."
    )


def _empty_notes(setting: Setting, environ: Mapping[str, str]) -> tuple[str, ...]:
    """An empty address of the database is most often a reference that led nowhere. Raises StartError where that is
    known: SQLite in a container would take in the data, and be gone with the next one.
    """
    empty = [name for name in setting.variables if name in environ and setting.warn_empty]
    if not empty:
        return ()
    if any(name in environ for name in RAILWAY):
        raise StartError(
            f"{empty[0]} is empty: the reference in it, such as ${{{{Postgres.DATABASE_URL}}}}, was not resolved.",
            "Check that a service of that name is in the same project and environment, or remove the variable.",
        )
    return (f"{empty[0]} is set and empty, so the data goes to SQLite in the data folder.",)


def _given_by_variables(setting: Setting, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable in setting.variables:
        if text := cleaned(environ.get(variable, "")):
            yield variable, text
        elif (path := cleaned(environ.get(f"{variable}_FILE", ""))) and (text := cleaned(_file_text(variable, path))):
            yield f"{variable}_FILE", text


def _file_text(variable: str, path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{variable}_FILE: cannot read {path!r} ({error}).", "Point it to a readable file.") from None
