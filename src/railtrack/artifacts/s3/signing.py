"""AWS Signature Version 4 for S3, computed by awscrt: headers for requests, query strings for presigned URLs.

awscrt signs with fixed credentials in the calling thread: nothing here starts a thread, so it may run before a fork.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSigningAlgorithm,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
UNRESERVED = "-_.~"
"""Characters besides letters and digits that stay unescaped in a signed path or query."""

Query = Sequence[tuple[str, str]]


class Credentials(NamedTuple):
    access_key: str
    secret_key: str
    token: str = ""
    """The session token of temporary credentials."""
    expires: float = math.inf
    """Seconds since the epoch."""


class Signer(NamedTuple):
    """Sign requests to one region's S3 with one set of credentials. `now` fixes the time in tests."""

    credentials: Credentials
    region: str

    def headers(
        self,
        method: str,
        host: str,
        path: str,
        query: Query,
        headers: Mapping[str, str],
        payload_hash: str,
        now: datetime | None = None,
    ) -> dict[str, str]:
        """Return `headers` (lower-case names) with those that sign them. `path` is percent-encoded."""
        request = HttpRequest(method, _target(path, query), HttpHeaders([("host", host), *headers.items()]))
        config = self._config(
            now,
            signature_type=AwsSignatureType.HTTP_REQUEST_HEADERS,
            signed_body_value=payload_hash,
            signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        )
        aws_sign_request(request, config).result()
        return {name.lower(): value for name, value in request.headers}

    def query(self, method: str, host: str, path: str, query: Query, seconds: int, now: datetime | None = None) -> str:
        """Return the query string of a URL that sends this one request, with any body, for `seconds`."""
        request = HttpRequest(method, _target(path, query), HttpHeaders([("host", host)]))
        config = self._config(
            now,
            signature_type=AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
            signed_body_value=UNSIGNED_PAYLOAD,
            expiration_in_seconds=seconds,
        )
        aws_sign_request(request, config).result()
        signed: str = request.path
        return signed.partition("?")[2]

    def _config(self, now: datetime | None, **options: Any) -> AwsSigningConfig:
        return AwsSigningConfig(
            algorithm=AwsSigningAlgorithm.V4,
            credentials_provider=_provider(self.credentials),
            region=self.region,
            service="s3",
            date=now or datetime.now(UTC),
            # S3 signs the path as it is sent: `a//b` and `a/../b` are names of objects.
            use_double_uri_encode=False,
            should_normalize_uri_path=False,
            **options,
        )


def encode_query(query: Query) -> str:
    """Return the query string in its canonical form: sorted, everything but unreserved characters escaped."""
    pairs = sorted((quote(name, safe=UNRESERVED), quote(value, safe=UNRESERVED)) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _target(path: str, query: Query) -> str:
    return f"{path}?{encode_query(query)}" if query else path


@lru_cache(maxsize=2)
def _provider(credentials: Credentials) -> AwsCredentialsProvider:
    """Return awscrt's form of the credentials. Making one takes a quarter of the time of a signature."""
    return AwsCredentialsProvider.new_static(credentials.access_key, credentials.secret_key, credentials.token or None)
