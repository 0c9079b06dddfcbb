"""Where artifacts lie: the keys, each location in S3 tried out as the start does it, and its clock."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from railtrack.artifacts import ArtifactStores
from railtrack.checks import Check, Finding, ok, problem, run_checks, skipped, warning
from railtrack.checks.start import check_artifact_locations, check_credentials, try_bucket
from railtrack.config.settings import Settings
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import ApiError, StartError

if TYPE_CHECKING:
    from railtrack.artifacts.s3.store import S3Store

BUCKET_LIMIT_S = 13.0
CLOCK_LIMIT_S = 6.0
SKEW_WARNED_S, SKEW_REFUSED_S = 60.0, 900.0
"""Amazon refuses signatures that are 15 minutes off (RequestTimeTooSkewed)."""


async def check_artifacts(settings: Settings) -> list[Finding]:
    """Raises StartError, as the start would, for locations that are none and keys that are missing."""
    check_artifact_locations(settings, _database(settings))
    stores = ArtifactStores(settings)
    try:
        check_credentials(stores)
        return await run_checks([check for store in stores.buckets() for check in _checks_of(store)])
    finally:
        stores.close()


def _database(settings: Settings) -> DatabaseUrl:
    """The database, which must not lie among the artifacts. An address that is none lies nowhere."""
    try:
        return parse_database_url(settings.database.uri)
    except StartError:
        return DatabaseUrl("postgresql")


def _checks_of(store: "S3Store") -> Sequence[Check]:
    return (
        Check("artifact store", BUCKET_LIMIT_S, partial(_try_out, store)),
        Check("artifact store clock", BUCKET_LIMIT_S, partial(_clock, store)),
    )


async def _try_out(store: "S3Store") -> list[Finding]:
    place = f"s3://{store.bucket.name}/{store.prefix}".rstrip("/")
    if found := await try_bucket(store):
        return [(warning if found.works else problem)("artifact store", found.told)]
    return [ok("artifact store", f"{place} at {store.bucket.endpoint.url}: put, get, list, upload in parts, delete")]


async def _clock(store: "S3Store") -> list[Finding]:
    from railtrack.artifacts.s3.probe import clock_skew

    check = "artifact store clock"
    try:
        async with asyncio.timeout(CLOCK_LIMIT_S):
            skew = await clock_skew(store)
    except (ApiError, TimeoutError):
        return [skipped(check, "The store does not answer.")]
    if skew is None:
        return [ok(check, "The store does not tell its time.")]
    told = f"This machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the store's"
    if abs(skew) >= SKEW_REFUSED_S:
        return [problem(check, f"{told}: signatures are refused.", "Have this machine set its clock by NTP.")]
    if abs(skew) >= SKEW_WARNED_S:
        return [warning(check, f"{told}; from 15 minutes on, signatures are refused.", "Set it by NTP.")]
    return [ok(check, f"{abs(skew):.0f} s apart from this machine's")]
