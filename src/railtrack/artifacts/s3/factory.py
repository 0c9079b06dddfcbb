"""Make buckets from the settings: endpoint, region, addressing, credentials. Connects to nothing.

The first `s3://` location imports this module, and with it all of S3.
"""

import asyncio
import re
import time
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from railtrack.artifacts.s3.client import Bucket
from railtrack.artifacts.s3.credentials import Provider, aws_host, provider_of
from railtrack.artifacts.s3.probe import probe_presigned_urls
from railtrack.artifacts.s3.signing import Credentials
from railtrack.artifacts.s3.store import S3Store
from railtrack.artifacts.s3.upload_memory import UploadMemory
from railtrack.config.settings import Settings
from railtrack.http_client.client import Origin

AUTO_REGION = (".r2.cloudflarestorage.com", "storage.railway.app", ".storageapi.dev", ".storage.dev")
"""Hosts of stores without regions, where signatures are for `auto`: Cloudflare R2, and Railway's buckets on Tigris."""
VIRTUAL_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", "storage.railway.app", ".storageapi.dev", ".storage.dev")
"""Hosts that expect the bucket in the host name. Others take it in the path."""
PRIVATE_HOSTS = (".internal", ".local", ".localhost", ".svc", ".lan", ".home.arpa")
PRESIGNED_PROBE_INTERVAL_S = 60.0
PRESIGNED_PROBE_WAIT_S = 2.0
BACKBLAZE = re.compile(r"s3\.([a-z0-9-]+)\.backblazeb2\.com")


class _PresignedProbe(NamedTuple):
    result: "asyncio.Task[bool]"
    retry_at: float
    """On the monotonic clock: when a failed probe is repeated."""


class S3Stores:
    """The buckets of one process, each with its connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets: dict[str, Bucket] = {}
        self._memory = UploadMemory()
        self._direct: dict[str, _PresignedProbe] = {}
        self._provider: Provider | None = None

    def store(self, bucket: str, prefix: str) -> S3Store:
        return S3Store(self._bucket(bucket), prefix, self._memory)

    async def direct(self, store: object) -> S3Store | None:
        """Return the store if presigned URLs are enabled, clients can reach its host, and a probe has succeeded.

        The first request for a bucket waits a moment for the probe. Return None while it is under way.
        """
        if not isinstance(store, S3Store) or not self._enables_presigned(store.bucket.endpoint):
            return None
        probe = self._direct.get(store.bucket.name)
        if probe is None or (probe.retry_at < time.monotonic() and probe.result.done() and not probe.result.result()):
            probe = _PresignedProbe(
                asyncio.create_task(probe_presigned_urls(store)), time.monotonic() + PRESIGNED_PROBE_INTERVAL_S
            )
            self._direct[store.bucket.name] = probe
        await asyncio.wait([probe.result], timeout=PRESIGNED_PROBE_WAIT_S)
        return store if probe.result.done() and probe.result.result() else None

    def _enables_presigned(self, endpoint: Origin) -> bool:
        mode = "on" if self._settings.artifacts.is_presigned_only else self._settings.s3.presigned
        return mode == "on" or (mode == "auto" and not is_private(endpoint.host))

    def check_credentials(self) -> None:
        """Raise the ApiError that names the missing setting."""
        self._credentials_provider()

    def close(self) -> None:
        for probe in self._direct.values():
            probe.result.cancel()
        for bucket in self._buckets.values():
            bucket.close()

    async def _credentials(self) -> Credentials:
        return await self._credentials_provider()()

    def _credentials_provider(self) -> Provider:
        """Return the provider. Raise on first use that there are no credentials, not when locations are read."""
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
                path=urlsplit(self._settings.s3.endpoint).path,
                ca_bundle=self._settings.aws.ca_bundle,
                ignores_tls=self._settings.s3.ignores_tls,
                headers={"x-amz-expected-bucket-owner": owner} if (owner := self._settings.s3.bucket_owner) else {},
                upload_headers=dict(self._settings.s3.upload_headers),
                virtual_host=uses_virtual_host(self._settings.s3.addressing, endpoint, name),
                endpoint_in_region=None if self._settings.s3.region else partial(endpoint_of, self._settings),
            )
        return self._buckets[name]


def endpoint_of(settings: Settings, region: str) -> Origin:
    """Return the endpoint in the settings, or Amazon's in the region."""
    return Origin.of(settings.s3.endpoint or f"https://{aws_host('s3', region)}")


def region_of(settings: Settings) -> str:
    """Return the region that requests are signed for: the setting, or the region in the endpoint's host."""
    if settings.s3.region:
        return settings.s3.region
    host = Origin.of(settings.s3.endpoint).host if settings.s3.endpoint else ""
    if host.endswith(AUTO_REGION):
        return "auto"
    backblaze = BACKBLAZE.fullmatch(host)
    return backblaze[1] if backblaze else "us-east-1"


def uses_virtual_host(addressing: str, endpoint: Origin, bucket: str) -> bool:
    """Whether the bucket is in the host name. With a dot in its name, no certificate would match."""
    if addressing != "auto":
        return addressing == "virtual"
    return endpoint.host.endswith(VIRTUAL_HOSTS) and not (endpoint.secure and "." in bucket)


def is_private(host: str) -> bool:
    """Whether only machines of a private network can reach the host: presigned URLs would not work for most clients."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_HOSTS)
