"""Checks of artifact stores: credentials, a probe of each S3 location as at the start, and the store's clock."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from railtrack.artifacts import ArtifactStores
from railtrack.checks import Check, Finding, ok, problem, run_checks, skipped, warning
from railtrack.checks.start import (
    check_artifact_locations,
    check_credentials,
    probe_bucket,
    root_warnings,
    store_warnings,
)
from railtrack.config.settings import Settings
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import ApiError, StartError

if TYPE_CHECKING:
    from railtrack.artifacts.s3.store import S3Store

BUCKET_TIMEOUT_S = 13.0
CLOCK_TIMEOUT_S = 6.0
SKEW_WARNING_S, SKEW_PROBLEM_S = 60.0, 900.0
"""Amazon rejects signatures that are 15 minutes off (RequestTimeTooSkewed)."""


async def check_artifacts(settings: Settings) -> list[Finding]:
    """Check all stores. Raise StartError, as the start does, for invalid locations and missing credentials."""
    try:
        url = parse_database_url(settings.database.uri)
    except StartError:  # reported by the check of the database
        url = DatabaseUrl("postgresql")
    check_artifact_locations(settings, url)
    stores = ArtifactStores(settings)
    try:
        check_credentials(stores)
        checks = []
        for store in stores.buckets():
            checks.append(Check("artifact store", BUCKET_TIMEOUT_S, partial(_check_bucket, store)))
            checks.append(Check("artifact store clock", BUCKET_TIMEOUT_S, partial(_check_clock, store)))
        return [
            *(warning("artifact root", line) for line in root_warnings(settings)),
            *(warning("artifact store", line) for line in store_warnings(settings)),
            *await run_checks(checks),
        ]
    finally:
        stores.close()


async def _check_bucket(store: "S3Store") -> list[Finding]:
    uri = f"s3://{store.bucket.name}/{store.prefix}".rstrip("/")
    if failure := await probe_bucket(store):
        return [(warning if failure.is_available else problem)("artifact store", failure.message)]
    return [ok("artifact store", f"{uri} at {store.bucket.endpoint_url}: put, get, list, multipart upload, delete")]


async def _check_clock(store: "S3Store") -> list[Finding]:
    from railtrack.artifacts.s3.probe import clock_skew

    check = "artifact store clock"
    try:
        async with asyncio.timeout(CLOCK_TIMEOUT_S):
            skew = await clock_skew(store)
    except (ApiError, TimeoutError):
        return [skipped(check, "The store does not respond.")]
    if skew is None:
        return [ok(check, "The store sends no Date header.")]
    message = f"This machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the store's"
    if abs(skew) >= SKEW_PROBLEM_S:
        return [problem(check, f"{message}: the store rejects signatures.", "Synchronize this machine's clock (NTP).")]
    if abs(skew) >= SKEW_WARNING_S:
        advice = "Synchronize this machine's clock (NTP)."
        return [warning(check, f"{message}. From 15 minutes on, the store rejects signatures.", advice)]
    return [ok(check, f"{abs(skew):.0f} s from this machine's")]
