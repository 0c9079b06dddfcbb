"""What a client may give as the artifact location of a new experiment. Serving from it has checks of its own.

The sources of model versions (registry/sources.py) are held to some of the same.
"""

import re
from pathlib import Path
from urllib.parse import ParseResult, SplitResult, unquote, urlparse

from railtrack.errors import invalid

LENGTH_LIMIT = 2048
DECODINGS = 5
"""Rounds of percent-decoding in which a climb is looked for; no honest location is escaped that often."""

HOST_ADDRESSED = frozenset({"http", "https", "ftp", "sftp", "hdfs", "viewfs", "abfss", "b2", "r2"})
"""Schemes that MLflow refuses, because its server would connect to the host that they name."""

_CLIMB = re.compile(r"(?:^|[/\\:?&=;])\s*\.\.\s*(?:$|[/\\?&;#])")


def checked_location(location: str) -> str:
    """The location, made absolute where it is a local path. Raises ApiError, mostly in MLflow's words."""
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
    if climbs(location):  # MLflow takes `..` here, and guards only what reads from there later
        raise invalid("'artifact_location' URL can't include '..' segments.")
    refuse_other_host(parts, "artifact_location")
    if parts.scheme == "runs":
        raise invalid(f"Artifact location cannot be a runs:/ URI. Given: '{location}'")
    return absolute_location(location)


def absolute_location(location: str) -> str:
    """The location, a local path made absolute. Raises INVALID_PARAMETER_VALUE for a path on another machine."""
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


def climbs(location: str) -> bool:
    """Whether a `..` segment is in the location, in whatever disguise."""
    for _ in range(DECODINGS):
        if _CLIMB.search(location):
            return True
        decoded = unquote(location)
        if decoded == location:
            return False
        location = decoded
    return True


def refuse_other_host(parts: ParseResult | SplitResult, parameter: str) -> None:
    """`parameter`: the field that holds the location, as the complaint names it."""
    if parts.scheme in HOST_ADDRESSED or (parts.scheme == "mlflow-artifacts" and parts.netloc):
        raise invalid(
            f"'{parameter}' cannot use the '{parts.scheme}' scheme: the '{parts.scheme}' scheme addresses a host other "
            "than the tracking server's configured artifact storage, so the server would connect to the host named in "
            "the URI."
        )
