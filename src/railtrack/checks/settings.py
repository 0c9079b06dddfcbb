"""The settings in a report of `railtrack doctor`: their values, sources, errors and warnings."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from railtrack.artifacts.s3.factory import region_of
from railtrack.checks import Finding, ok, start_problem, warning
from railtrack.checks.start import browser_warnings, login_warnings
from railtrack.config.lookup import ResolvedSetting
from railtrack.config.settings import Settings
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError
from railtrack.http_server.tls import certificate_warnings, check_tls_settings
from railtrack.logs.redaction import redacted


class ShownSetting(NamedTuple):
    """A setting as the server uses it, without secrets."""

    name: str
    value: str
    source: str
    """The flag or variable that sets it, or "default"."""


def shown_settings(resolved: Sequence[ResolvedSetting], settings: Settings) -> list[ShownSetting]:
    """Return the settings to print. `settings`: built from `resolved`."""
    return [
        ShownSetting(one.setting.name, redacted(_shown_value(one, settings)), one.source or "default")
        for one in resolved
    ]


def _shown_value(one: ResolvedSetting, settings: Settings) -> str:
    match one.setting.path:
        case _ if one.error:
            return "***" if one.setting.secret else one.text
        case "database.uri":
            try:
                return parse_database_url(settings.database.uri).masked
            except StartError:
                return "***"
        case "database.registry_uri" | "database.replica_uri" if one.value:
            try:
                return parse_database_url(one.value).masked
            except StartError:
                return "***"
        case "artifacts.destination":
            return settings.artifacts.destination
        case "data_folder":
            return str(settings.data_folder)
        case "server.trusted_proxies":
            return ",".join(settings.server.trusted_proxies) or "none"
        case "s3.region":
            return region_of(settings)
        case _:
            return "***" if one.setting.secret and one.text else one.text


def check_settings(resolved: Sequence[ResolvedSetting]) -> list[Finding]:
    """Return a finding for each error, or one for all settings, and a finding for each warning."""
    errors = [start_problem("settings", one.error) for one in resolved if one.error]
    warnings = [warning("settings", text) for one in resolved for text in one.warnings]
    given = sum(1 for one in resolved if one.source)
    return [*(errors or [ok("settings", f"{given} set, the others have their defaults")]), *warnings]


def invalid_paths(resolved: Iterable[ResolvedSetting]) -> set[str]:
    return {one.setting.path for one in resolved if one.error}


async def check_browsers(settings: Settings) -> list[Finding]:
    """Check that other sites cannot act in the name of a user of the web interface."""
    if lines := browser_warnings(settings):
        return [warning("browsers", line) for line in lines]
    if "*" in settings.allowed_hosts:
        return [ok("browsers", "Every Host is accepted.")]
    hosts = ", ".join(settings.allowed_hosts) or "addresses, names that nobody can register, and any name over TLS"
    return [ok("browsers", f"Accepted as Host: {hosts}")]


async def check_tls(settings: Settings) -> list[Finding]:
    """Check the certificate of a server with TLS and its key."""
    try:
        check_tls_settings(settings.tls)
    except StartError as error:
        return [start_problem("TLS", error)]
    if lines := certificate_warnings(settings.tls):
        return [warning("TLS", line) for line in lines]
    return [ok("TLS", f"HTTPS with the certificate in {settings.tls.cert_file}")] if settings.tls.is_enabled else []


async def check_login(settings: Settings) -> list[Finding]:
    """Check that only this machine can reach a server without login, and that Prometheus can read its metrics."""
    if lines := login_warnings(settings):
        return [warning("login", line) for line in lines]
    if settings.needs_login:
        return [ok("login", "Requests need a login.")]
    return [ok("login", f"No login; only this machine can reach {settings.server.host}.")]
