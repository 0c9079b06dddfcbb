"""Validation of the artifact location that a client chooses for a new experiment. Access to it has its own checks.

model_source.py uses some of it for the sources of model versions.
"""

import re
from pathlib import Path
from urllib.parse import ParseResult, SplitResult, unquote, urlparse

from railtrack.errors import invalid

LENGTH_LIMIT = 2048
DECODINGS = 5
"""Rounds of percent-decoding in which `..` is searched for; no legitimate location is escaped that often."""

HOST_ADDRESSED = frozenset({"http", "https", "ftp", "sftp", "hdfs", "viewfs", "abfss", "b2", "r2"})
"""Schemes that MLflow rejects, because its server would connect to the host that they name."""

_TRAVERSAL = re.compile(r"(?:^|[/\\:?&=;])\s*\.\.\s*(?:$|[/\\?&;#])")


def validate_location(location: str) -> str:
    """Return the location, made absolute if it is a local path. Raise ApiError, mostly with MLflow's message."""
    if len(location) > LENGTH_LIMIT:
        raise invalid(
            "Invalid artifact path length. The length of the artifact path cannot be greater than "
            f"{LENGTH_LIMIT} characters."
        )
    parts = _parsed(location)
    if parts.fragment or parts.params:
        raise invalid("'artifact_location' URL can't include fragments or params.")
    if ".." in parts.query:
        raise invalid("Invalid query string")
    if has_traversal(location):  # MLflow accepts `..` here, and checks it when something is read
        raise invalid("'artifact_location' URL can't include '..' segments.")
    reject_other_host(parts, "artifact_location")
    if parts.scheme == "runs":
        raise invalid(f"Artifact location cannot be a runs:/ URI. Given: '{location}'")
    return absolute_location(location)


def absolute_location(location: str) -> str:
    """Return the location, made absolute if it is a local path. Raise for a path on another machine."""
    parts = _parsed(location)
    if parts.scheme not in ("", "file"):
        return location
    if parts.netloc not in ("", "localhost"):
        raise invalid(
            f"{location} is not a valid remote uri. For remote access on windows, please consider using a different "
            "scheme such as SMB (e.g. smb://<hostname>/<path>)."
        )
    if parts.path.startswith("/"):
        return location
    folder = str(Path.cwd() / parts.path)
    return f"file://{folder}" if parts.scheme else folder


def _parsed(location: str) -> ParseResult:
    try:
        return urlparse(location)
    except ValueError:
        raise invalid(f"'artifact_location' is not a valid URI: '{location}'") from None


def has_traversal(location: str) -> bool:
    """Return whether the location has a `..` segment, however it is escaped."""
    for _ in range(DECODINGS):
        if _TRAVERSAL.search(location):
            return True
        decoded = unquote(location)
        if decoded == location:
            return False
        location = decoded
    return True


def reject_other_host(parts: ParseResult | SplitResult, parameter: str) -> None:
    """Raise if the location is on a host that is not the server's own. `parameter`: the field for the message."""
    if parts.scheme in HOST_ADDRESSED or (parts.scheme == "mlflow-artifacts" and parts.netloc):
        raise invalid(
            f"'{parameter}' cannot use the '{parts.scheme}' scheme: the '{parts.scheme}' scheme addresses a host other "
            "than the tracking server's configured artifact storage, so the server would connect to the host named in "
            "the URI."
        )
