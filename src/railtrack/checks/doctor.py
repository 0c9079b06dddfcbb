"""The checks of `railtrack doctor`. Checks that depend on an invalid setting are skipped."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from railtrack.checks import Check, Finding, run_checks, skipped, start_problem, warning
from railtrack.checks.artifacts import check_artifacts
from railtrack.checks.database import check_database
from railtrack.checks.folders import check_folders
from railtrack.checks.logins import check_provider
from railtrack.checks.machine import check_descriptors, check_memory, check_python
from railtrack.checks.ports import check_ports
from railtrack.checks.replica import check_replica
from railtrack.checks.settings import (
    ShownSetting,
    check_browsers,
    check_login,
    check_settings,
    check_tls,
    invalid_paths,
    shown_settings,
)
from railtrack.checks.start import check_registry_store, replica_url
from railtrack.config.lookup import ResolvedSetting, default_of
from railtrack.config.settings import SETTINGS, Settings, settings_from
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError


class _SettingsCheck(NamedTuple):
    """A check that takes the settings; `needs`: paths of those it cannot do without."""

    name: str
    timeout_s: float
    run: Callable[[Settings], Awaitable[Sequence[Finding]]]
    needs: frozenset[str] = frozenset()


STORE_SETTINGS = frozenset(one.path for one in SETTINGS if one.path.startswith(("artifacts.", "aws.", "s3.")))
TLS_SETTINGS = frozenset(one.path for one in SETTINGS if one.path.startswith("tls."))
HOST_SETTINGS = frozenset(
    (
        "server.host",
        "server.platform_port",
        "auth.mode",
        *(one.path for one in SETTINGS if one.path.startswith("security.")),
    )
)
LOGIN_SETTINGS = frozenset(
    ("server.host", *(one.path for one in SETTINGS if one.path.startswith(("auth.", "auth_header.", "oidc."))))
)
SETTINGS_CHECKS = (
    _SettingsCheck("database", 20.0, check_database, frozenset(("database.uri", "server.workers", "server.threads"))),
    _SettingsCheck("read replica", 15.0, check_replica, frozenset(("database.replica_uri",))),
    _SettingsCheck("artifact store", 15.0, check_artifacts, STORE_SETTINGS),
    _SettingsCheck("folders", 5.0, check_folders, frozenset(("database.uri", "data_folder", *STORE_SETTINGS))),
    _SettingsCheck("port", 10.0, check_ports, frozenset(("server.host", "server.port", "server.platform_port"))),
    _SettingsCheck("TLS", 5.0, check_tls, TLS_SETTINGS),
    _SettingsCheck("login", 5.0, check_login, frozenset(("server.host", "auth.mode", "metrics.enabled"))),
    _SettingsCheck("single sign-on", 12.0, check_provider, LOGIN_SETTINGS),
    _SettingsCheck("browsers", 5.0, check_browsers, HOST_SETTINGS),
    _SettingsCheck("memory", 5.0, check_memory, frozenset(("server.workers",))),
)
"""They run concurrently, so the longest timeout limits all of them."""


class DoctorReport(NamedTuple):
    settings: Sequence[ShownSetting]
    findings: Sequence[Finding]
    seconds: float


async def run_doctor(resolved: Sequence[ResolvedSetting], ignored: Sequence[str] = ()) -> DoctorReport:
    """Check the settings, valid or not, and what they lead to, without starting anything.

    `ignored`: messages about options that have no effect.
    """
    started = time.monotonic()
    invalid = invalid_paths(resolved)
    # Invalid settings get their default, which no check uses: the checks that need them are skipped.
    settings = settings_from(default_of(one) if one.error else one for one in resolved)
    findings = [*check_settings(resolved), *(warning("settings", message) for message in ignored)]
    if "database.uri" not in invalid:
        try:
            url = parse_database_url(settings.database.uri)
            findings += (warning("settings", message) for message in url.warnings)
            check_registry_store(settings, url)
            if replica := replica_url(settings, url):
                findings += (warning("settings", message) for message in replica.warnings)
        except StartError as error:
            invalid.add("database.uri")
            findings.append(start_problem("database address", error))
    checks = []
    for check in SETTINGS_CHECKS:
        run = partial(_skip, check.name) if check.needs & invalid else partial(check.run, settings)
        checks.append(Check(check.name, check.timeout_s, run))
    checks += [Check("file descriptors", 5.0, check_descriptors), Check("Python", 5.0, check_python)]
    findings += await run_checks(checks)
    return DoctorReport(shown_settings(resolved, settings), findings, time.monotonic() - started)


async def _skip(name: str) -> Sequence[Finding]:
    return [skipped(name, "Requires a setting that is invalid.")]
