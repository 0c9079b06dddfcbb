"""AWS Signature Version 4 for S3: headers of a request that this process sends, and URLs that a client may use.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
UNRESERVED = "-_.~"

Query = Sequence[tuple[str, str]]


class Credentials(NamedTuple):
    access_key: str
    secret_key: str
    token: str = ""
    """The session token of temporary credentials."""
    expires: float = math.inf
    """Seconds since the epoch."""


class Signer(NamedTuple):
    """Whose signature, for which region's S3."""

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
        """`headers` (names in lower case) and those that sign them; `path` is percent-encoded."""
        moment = _moment(now)
        signed = {**headers, "host": host, "x-amz-content-sha256": payload_hash, "x-amz-date": moment}
        if self.credentials.token:
            signed["x-amz-security-token"] = self.credentials.token
        signature = self._signature(moment, method, path, encoded(query), signed, payload_hash)
        signed["authorization"] = (
            f"{ALGORITHM} Credential={self._credential(moment)}, SignedHeaders={_names(signed)}, Signature={signature}"
        )
        return signed

    def query(self, method: str, host: str, path: str, query: Query, seconds: int, now: datetime | None = None) -> str:
        """The query string that lets whoever has it send this one request, with any body, for `seconds`."""
        moment = _moment(now)
        signed = {"host": host}
        fields = [
            *query,
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", self._credential(moment)),
            ("X-Amz-Date", moment),
            ("X-Amz-Expires", str(seconds)),
            ("X-Amz-SignedHeaders", _names(signed)),
        ]
        if self.credentials.token:
            fields.append(("X-Amz-Security-Token", self.credentials.token))
        text = encoded(fields)
        return f"{text}&X-Amz-Signature={self._signature(moment, method, path, text, signed, UNSIGNED)}"

    def _scope(self, moment: str) -> str:
        return f"{moment[:8]}/{self.region}/s3/aws4_request"

    def _credential(self, moment: str) -> str:
        return f"{self.credentials.access_key}/{self._scope(moment)}"

    def _signature(
        self, moment: str, method: str, path: str, query: str, headers: Mapping[str, str], payload_hash: str
    ) -> str:
        lines = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in sorted(headers.items()))
        request = f"{method}\n{path}\n{query}\n{lines}\n{_names(headers)}\n{payload_hash}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = f"AWS4{self.credentials.secret_key}".encode()
        for part in self._scope(moment).split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, f"{ALGORITHM}\n{moment}\n{self._scope(moment)}\n{digest}".encode(), "sha256").hex()


def encoded(query: Query) -> str:
    """The query string in the one form that is signed: sorted, and everything but unreserved characters escaped."""
    pairs = sorted((quote(name, safe=UNRESERVED), quote(value, safe=UNRESERVED)) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _names(headers: Mapping[str, str]) -> str:
    return ";".join(sorted(headers))


def _moment(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
