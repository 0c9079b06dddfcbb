"""From settings to buckets: where the store is, which region signs for it, how a bucket is addressed. Connects nowhere.

The modules of S3 are imported by the first `s3://` location, through this one.
"""

import asyncio
import re
import time
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple

from railtrack.artifacts.s3.client import Bucket
from railtrack.artifacts.s3.credentials import Provider, aws_host, provider_of
from railtrack.artifacts.s3.probe import presigned_work
from railtrack.artifacts.s3.signing import Credentials
from railtrack.artifacts.s3.store import S3Store
from railtrack.artifacts.s3.upload_memory import PartMemory
from railtrack.config.settings import Settings
from railtrack.http_client.client import Origin

AUTO_REGION = (".r2.cloudflarestorage.com", "storage.railway.app", ".storageapi.dev", ".storage.dev")
"""Hosts of stores without regions, which sign for `auto`: Cloudflare R2, and Railway's buckets on Tigris."""
VIRTUAL_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", "storage.railway.app", ".storageapi.dev", ".storage.dev")
"""Hosts that want the bucket in the host name; others take it in the path."""
PRIVATE_HOSTS = (".internal", ".local", ".localhost", ".svc", ".lan", ".home.arpa")
TRIAL_KEPT_S = 60.0
TRIAL_WAIT_S = 2.0
BACKBLAZE = re.compile(r"s3\.([a-z0-9-]+)\.backblazeb2\.com")


class _Trial(NamedTuple):
    result: "asyncio.Task[bool]"
    until: float
    """When one that failed is made again."""


class S3Stores:
    """The buckets of one process, each with its connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets: dict[str, Bucket] = {}
        self._memory = PartMemory()
        self._direct: dict[str, _Trial] = {}
        self._provider: Provider | None = None

    def store(self, bucket: str, prefix: str) -> S3Store:
        return S3Store(self._bucket(bucket), prefix, self._memory)

    async def direct(self, store: object) -> S3Store | None:
        """The store when presigned URLs are wanted, lead to where clients can come, and were seen to work.

        The first who asks of a bucket waits a moment for the trial; until it has ended the answer is None.
        """
        if not isinstance(store, S3Store) or not self._wants_presigned(store.bucket.endpoint):
            return None
        trial = self._direct.get(store.bucket.name)
        if trial is None or (trial.until < time.monotonic() and trial.result.done() and not trial.result.result()):
            trial = _Trial(asyncio.create_task(presigned_work(store)), time.monotonic() + TRIAL_KEPT_S)
            self._direct[store.bucket.name] = trial
        await asyncio.wait([trial.result], timeout=TRIAL_WAIT_S)
        return store if trial.result.done() and trial.result.result() else None

    def _wants_presigned(self, endpoint: Origin) -> bool:
        wanted = self._settings.s3.presigned
        return wanted == "on" or (wanted == "auto" and not is_private(endpoint.host))

    def check_credentials(self) -> None:
        """Raise the ApiError that says what is missing."""
        self._credentials_provider()

    def close(self) -> None:
        for trial in self._direct.values():
            trial.result.cancel()
        for bucket in self._buckets.values():
            bucket.close()

    async def _credentials(self) -> Credentials:
        return await self._credentials_provider()()

    def _credentials_provider(self) -> Provider:
        """Made late: that there are none is told when they are asked for, not when locations are read."""
        if self._provider is None:
            self._provider = provider_of(self._settings.aws, region_of(self._settings))
        return self._provider

    def _bucket(self, name: str) -> Bucket:
        if name not in self._buckets:
            region = region_of(self._settings)
            endpoint = endpoint_of(self._settings, region)
            self._buckets[name] = Bucket(
                name,
                endpoint,
                region,
                self._credentials,
                ca_bundle=self._settings.aws.ca_bundle,
                virtual_host=is_virtual(self._settings.s3.addressing, endpoint, name),
                elsewhere=None if self._settings.s3.region else partial(endpoint_of, self._settings),
            )
        return self._buckets[name]


def endpoint_of(settings: Settings, region: str) -> Origin:
    """The one that is set, or Amazon's in the region."""
    return Origin.of(settings.s3.endpoint or f"https://{aws_host('s3', region)}")


def region_of(settings: Settings) -> str:
    """The region that signatures are for: as set, or as the endpoint's host has it."""
    if settings.s3.region:
        return settings.s3.region
    host = Origin.of(settings.s3.endpoint).host if settings.s3.endpoint else ""
    if host.endswith(AUTO_REGION):
        return "auto"
    backblaze = BACKBLAZE.fullmatch(host)
    return backblaze[1] if backblaze else "us-east-1"


def is_virtual(addressing: str, endpoint: Origin, bucket: str) -> bool:
    """Whether the bucket stands in the host name; with a dot in it no certificate would fit."""
    if addressing != "auto":
        return addressing == "virtual"
    return endpoint.host.endswith(VIRTUAL_HOSTS) and not (endpoint.secure and "." in bucket)


def is_private(host: str) -> bool:
    """Whether only machines of a private network find the host: a presigned URL would lead most clients nowhere."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_HOSTS)
