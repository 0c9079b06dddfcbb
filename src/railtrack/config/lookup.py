"""Declare a setting, and resolve it: flag, variables, file, default. The settings themselves: settings.py."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from railtrack.config import parsers
from railtrack.config.sanitize import is_placeholder, is_service_link, sanitized, unresolved_reference
from railtrack.config.server_options import ImpliedValue
from railtrack.errors import StartError, describe_os_error

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
    switches: Mapping[str, str]
    """Flags without a value, and the value that each stands for."""
    secret: bool
    one_value: bool
    """Reject two variables with different values, instead of ignoring one."""
    warn_if_empty: bool
    """Warn about an empty variable; on platforms where that means an unresolved reference, raise StartError."""
    path: str = ""
    """The attributes that lead to the value in Settings, such as "server.port"."""

    @property
    def name(self) -> str:
        return (*self.variables, *self.flags)[0]


def setting(
    *variables: str,
    parse: Callable[[str], T],
    default: str,
    help: str,
    flags: tuple[str, ...] = (),
    switches: Mapping[str, str] = MappingProxyType({}),
    secret: bool = False,
    one_value: bool = False,
    warn_if_empty: bool = False,
) -> T:
    """Declare the field of a settings dataclass. Its type is what `parse` returns, its default the parsed `default`."""
    declared = Setting(variables, flags, parse, default, help, switches, secret, one_value, warn_if_empty)
    return field(default=parse(default), metadata={"setting": declared})


def derived(default: Callable[[], T]) -> T:
    """Declare a field that is no setting: `settings_from` fills it in."""
    return field(default_factory=default, metadata={"derived": True})


def declared_settings(group: type["DataclassInstance"], path: str = "") -> Iterator[Setting]:
    """Yield the settings that a dataclass and the groups in it declare, with their paths."""
    for one in fields(group):
        if declared := one.metadata.get("setting"):
            yield replace(declared, path=path + one.name)
        elif "derived" not in one.metadata:
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
        if "derived" not in one.metadata
    }
    return group(**members)


def _group_type(one: Field[Any]) -> type["DataclassInstance"]:
    return cast(type["DataclassInstance"], one.type)


def resolve(
    setting: Setting,
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    implied: Mapping[str, ImpliedValue] = MappingProxyType({}),
) -> ResolvedSetting:
    """Return the setting with its value or error; a flag wins, then the first variable that is not empty.

    `implied`: values by path that replace defaults.
    """
    source, text = "", ""
    warnings: list[str] = []
    try:
        source, text = _source_and_text(setting, flags, environ, implied, warnings)
        value = _parse(setting, source or setting.name, text)
    except StartError as error:
        return ResolvedSetting(setting, source, text, None, error, tuple(warnings))
    return ResolvedSetting(setting, source, text, value, None, tuple(warnings))


def _parse(setting: Setting, source: str, text: str) -> Any:
    if reference := unresolved_reference(text):
        raise StartError(
            f"{source}: the reference {reference} was not resolved.",
            "Check its spelling, and that the service or variable exists in the same project and environment.",
        )
    if is_placeholder(text):
        raise StartError(f"{source}: {text} is a placeholder.", "Replace it by your value.")
    try:
        return setting.parse(text)
    except parsers.InvalidValue as error:
        shown = "" if setting.secret else f": {text!r}"
        raise StartError(f"Invalid {error.kind} in {source}{shown}.", error.advice) from None


def _source_and_text(
    setting: Setting,
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    implied: Mapping[str, ImpliedValue],
    warnings: list[str],
) -> tuple[str, str]:
    """Return where the value is set, "" for the default, and its text. Append to `warnings`."""
    if text := sanitized(flags.get(setting.path) or ""):
        return flags.get(name_of_flag(setting.path)) or (*setting.flags, *setting.switches)[0], text
    given = []
    for source, text in _variables(setting, environ):
        if setting.parse is parsers.port and is_service_link(text):
            warnings.append(
                f"{source}: ignoring {text}, which Kubernetes sets for a Service of that name. To keep it from doing "
                "so, set enableServiceLinks: false in the pod's spec."
            )
        else:
            given.append((source, text))
    if not given:
        _check_empty_variables(setting, environ, warnings)
        return implied.get(setting.path, ImpliedValue("", setting.default))
    source, text = given[0]
    if setting.one_value:
        for other, other_text in given[1:]:
            if other_text.rstrip("/") != text.rstrip("/"):
                raise StartError(f"{source} and {other} are set to different values.", "Keep one of them.")
    return source, text


def _check_empty_variables(setting: Setting, environ: Mapping[str, str], warnings: list[str]) -> None:
    """Warn of an empty variable, which is most often an unresolved reference.

    Raise StartError on Railway, where it certainly is one: SQLite in the container would accept the data and lose it
    with the next deployment.
    """
    empty = [name for name in setting.variables if name in environ]
    if not empty or not setting.warn_if_empty:
        return
    if any(name in environ for name in RAILWAY):
        raise StartError(
            f"{empty[0]} is empty: the reference in it, such as ${{{{Postgres.DATABASE_URL}}}}, was not resolved.",
            "Check that a service of that name is in the same project and environment, or remove the variable.",
        )
    warnings.append(f"{empty[0]} is set, but empty. Using SQLite in the data folder.")


def name_of_flag(path: str) -> str:
    """Return the key, beside `path`, under which the name of the given flag is: `-p` or `--port`."""
    return f"{path} flag"


def _variables(setting: Setting, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (variable, text) for each variable, or file that one names, which is not empty."""
    for variable in setting.variables:
        if text := sanitized(environ.get(variable, "")):
            yield variable, text
        elif path := sanitized(environ.get(f"{variable}_FILE", "")):
            try:
                text = sanitized(Path(path).read_text())
            except (OSError, UnicodeDecodeError) as error:
                reason = describe_os_error(error) if isinstance(error, OSError) else "it is not UTF-8 text"
                raise StartError(
                    f"{variable}_FILE: cannot read the file {path!r}: {reason}.", "Set it to a readable file."
                ) from None
            if text:
                yield f"{variable}_FILE", text
