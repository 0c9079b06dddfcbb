"""Declare a setting, and resolve it: flag, variables, file, default. The settings themselves: settings.py."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from railtrack.config import parsers
from railtrack.config.sanitize import cleaned, is_service_link, unresolved
from railtrack.errors import StartError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Group = TypeVar("Group", bound="DataclassInstance")

RAILWAY = ("RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT_ID", "RAILWAY_SERVICE_ID")
"""Variables that Railway sets in every container. It replaces an unresolved reference with an empty value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of a setting. Earlier variables win over later ones, and flags over variables."""

    variables: tuple[str, ...]
    flags: tuple[str, ...]
    parse: Callable[[str], Any]
    default: str
    help: str
    secret: bool
    one_value: bool
    """Reject two variables with different values, instead of ignoring one."""
    warn_if_empty: bool
    """Warn about an empty variable; on platforms where that means an unresolved reference, raise StartError."""
    path: str = ""
    """The attributes that lead to the value in Settings, such as "server.port"."""

    @property
    def name(self) -> str:
        return self.variables[0]


def setting(
    *variables: str,
    parse: Callable[[str], T],
    default: str,
    help: str,
    flags: tuple[str, ...] = (),
    secret: bool = False,
    one_value: bool = False,
    warn_if_empty: bool = False,
) -> T:
    """Declare the field of a settings dataclass. Its type is what `parse` returns, its default the parsed `default`."""
    declared = Setting(variables, flags, parse, default, help, secret, one_value, warn_if_empty)
    return field(default=parse(default), metadata={"setting": declared})


def declared_settings(group: type["DataclassInstance"], path: str = "") -> Iterator[Setting]:
    """Yield the settings that a dataclass and the groups in it declare, with their paths."""
    for one in fields(group):
        if declared := one.metadata.get("setting"):
            yield replace(declared, path=path + one.name)
        else:
            yield from declared_settings(_group_type(one), f"{path}{one.name}.")


@dataclass(frozen=True, slots=True)
class ResolvedSetting:
    """A setting with the source and text of its value, and the parsed value or the error."""

    setting: Setting
    source: str
    """The flag or variable; "" for the default."""
    text: str
    value: Any = None
    error: StartError | None = None
    warnings: tuple[str, ...] = ()


def warnings(resolved: Iterable[ResolvedSetting]) -> list[str]:
    """Return the warnings about settings, to log at every start."""
    return [warning for one in resolved for warning in one.warnings]


def default_of(one: ResolvedSetting) -> ResolvedSetting:
    """Return the same setting with its default."""
    return ResolvedSetting(one.setting, "", one.setting.default, one.setting.parse(one.setting.default))


def assemble(group: type[Group], resolved: Iterable[ResolvedSetting]) -> Group:
    """Build a dataclass of settings. Raise the error of the first invalid one."""
    values: dict[str, Any] = {}
    for one in resolved:
        if one.error:
            raise one.error
        values[one.setting.path] = one.value
    return _assemble(group, values, "")


def _assemble(group: type[Group], values: Mapping[str, Any], path: str) -> Group:
    members = {
        one.name: values[path + one.name]
        if "setting" in one.metadata
        else _assemble(_group_type(one), values, f"{path}{one.name}.")
        for one in fields(group)
    }
    return group(**members)


def _group_type(one: Field[Any]) -> type["DataclassInstance"]:
    return cast(type["DataclassInstance"], one.type)


def resolve(setting: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> ResolvedSetting:
    """Return the setting with its value or error; a flag wins, then the first variable."""
    source, text = "", ""
    warnings: tuple[str, ...] = ()
    try:
        source, text, warnings = _given(setting, flags, environ)
        if reason := unresolved(text):
            raise StartError(f"{source}: {reason}")
        return ResolvedSetting(setting, source, text, _parsed(setting, source or setting.name, text), None, warnings)
    except StartError as error:
        return ResolvedSetting(setting, source, text, None, error, warnings)


def _parsed(setting: Setting, source: str, text: str) -> Any:
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "its value" if setting.secret else repr(text)
        raise StartError(f"{source}: {shown} {error}.", setting.help) from None


def _given(
    setting: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str]
) -> tuple[str, str, tuple[str, ...]]:
    """Return the source, text and warnings of a setting. An empty variable counts as unset."""
    if flag := cleaned(flags.get(setting.path) or ""):
        return setting.flags[0], flag, ()
    given = list(_given_by_variables(setting, environ))
    warnings = tuple(_service_link_note(*one) for one in given if _is_no_port(setting, one[1]))
    given = [one for one in given if not _is_no_port(setting, one[1])]
    if not given:
        return "", setting.default, warnings + _empty_notes(setting, environ)
    source, text = given[0]
    if setting.one_value:
        for other, another in given[1:]:
            if another.rstrip("/") != text.rstrip("/"):
                raise StartError(f"{source} and {other} are set to different values.", "Keep one of them.")
    return source, text, warnings


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
    empty = [name for name in setting.variables if name in environ and setting.warn_if_empty]
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
