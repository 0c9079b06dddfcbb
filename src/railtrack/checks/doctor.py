"""Which checks `railtrack doctor` makes of a set of settings, and what it leaves out when a setting is wrong."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from railtrack.checks import Check, Finding, run_checks, skipped, told
from railtrack.checks.artifacts import check_artifacts
from railtrack.checks.database import check_database
from railtrack.checks.folders import check_folders
from railtrack.checks.machine import check_descriptors, check_memory, check_python
from railtrack.checks.ports import check_ports
from railtrack.checks.settings import Resolved, check_login, check_settings, invalid_paths, resolved
from railtrack.config.lookup import ResolvedSetting, default_of
from railtrack.config.settings import SETTINGS, Settings, settings_from
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError


class _Subject(NamedTuple):
    """A check of the settings, with those that it cannot do without."""

    name: str
    limit_s: float
    run: Callable[[Settings], Awaitable[Sequence[Finding]]]
    needs: frozenset[str] = frozenset()


STORE_SETTINGS = frozenset(one.path for one in SETTINGS if one.path.startswith(("artifacts.", "aws.", "s3.")))
SUBJECTS = (
    _Subject("database", 20.0, check_database, frozenset(("database.uri", "server.workers", "server.threads"))),
    _Subject("artifact store", 15.0, check_artifacts, STORE_SETTINGS),
    _Subject("folders", 5.0, check_folders, frozenset(("database.uri", "data_folder", *STORE_SETTINGS))),
    _Subject("port", 10.0, check_ports, frozenset(("server.host", "server.port", "server.platform_port"))),
    _Subject("login", 5.0, check_login, frozenset(("server.host", "auth.mode"))),
    _Subject("memory", 5.0, check_memory, frozenset(("server.workers",))),
)
"""They run at once: the longest limit is the longest that all take."""


class Examination(NamedTuple):
    settings: Sequence[Resolved]
    findings: Sequence[Finding]
    seconds: float


async def examine(found: Sequence[ResolvedSetting]) -> Examination:
    """What there is to say of these settings, right or wrong, without starting anything."""
    began = time.monotonic()
    wrong = invalid_paths(found)
    # The wrong ones are replaced so that there is a Settings; no check that reads one of them is made.
    settings = settings_from(default_of(one) if one.error else one for one in found)
    findings = check_settings(found)
    if "database.uri" not in wrong and (fault := _address_fault(settings)):
        wrong.add("database.uri")
        findings.append(told("database address", fault))
    checks = [_check(subject, settings, wrong) for subject in SUBJECTS]
    checks += [Check("file descriptors", 5.0, check_descriptors), Check("Python", 5.0, check_python)]
    findings += await run_checks(checks)
    return Examination(resolved(found, settings), findings, time.monotonic() - began)


def _address_fault(settings: Settings) -> StartError | None:
    try:
        parse_database_url(settings.database.uri)
    except StartError as error:
        return error
    return None


def _check(subject: _Subject, settings: Settings, wrong: set[str]) -> Check:
    if subject.needs & wrong:
        return Check(subject.name, subject.limit_s, partial(_skip, subject.name))
    return Check(subject.name, subject.limit_s, partial(subject.run, settings))


async def _skip(name: str) -> Sequence[Finding]:
    return [skipped(name, "A setting that it needs is wrong.")]
