"""Turn the path that a client sent into a key of an artifact store. This is the only check for path traversal.

A key has the form `a/b/c`: no empty, `.` or `..` segment, no slash at either end. "" is the store's root.
"""

import re
from urllib.parse import unquote

from railtrack.errors import ApiError, invalid

KEY_BYTES = 2048
SEGMENT_BYTES = 255
"""The longest name that common file systems support (NAME_MAX)."""
SEGMENTS = 100
MAX_DECODINGS = 5
"""Rounds of percent-decoding after which a path must no longer change. No honest name is escaped so often."""

FORBIDDEN = re.compile(
    r"""
      \0                                    # ends a path in C
    | ^\s* (?: [/\\] | :/ | file: )         # absolute, an empty scheme, a local file's URL
    | ^\s* [a-z][a-z0-9+.-]* : [/\\]        # a drive (C:\), any other URL
    # Traversal, also for a reader that cuts off ;params, ?query or #fragment:
    | (?: ^ | [/\\] ) \s* \.\. \s* (?: $ | [/\\;?\#] )
    """,
    re.VERBOSE | re.IGNORECASE,
)


def key_of(path: str) -> str:
    """Return the key of `path`, relative to a root.

    Raise INVALID_PARAMETER_VALUE with MLflow's text for a path that has traversal, is absolute or names a drive, in any
    encoding. MLflow decodes a path until it stops changing and uses the result, so that `a%20b` and `a b` are one
    file. Here the path is used as it is, and its decoded forms are only checked.
    """
    _check_length(path)
    _check_decoded_forms(path)
    return "/".join(segment for segment in path.split("/") if segment not in ("", "."))


def key_to_change(path: str) -> str:
    """Do as key_of, for a path to write or delete, which may have no `.` segment: `folder/.` does not mean `folder`."""
    if "." in path.split("/"):
        raise _invalid_path()
    return key_of(path)


def file_key(path: str) -> str:
    """Do as key_to_change, for a path that must name a file."""
    key = key_to_change(path)
    if not key or path.endswith("/"):
        raise invalid("Artifact path must include a filename (cannot end with '/').")
    return key


def join(root: str, path: str) -> str:
    """Return the key of `path`, which a client sent, below the key `root`."""
    return f"{root}/{key_of(path)}".strip("/")


def _check_length(path: str) -> None:
    try:
        if len(path.encode()) > KEY_BYTES:
            raise invalid(f"Invalid path: it is longer than {KEY_BYTES} bytes.")
    except UnicodeEncodeError:
        raise _invalid_path() from None
    segments = path.split("/")
    if len(segments) > SEGMENTS:
        raise invalid(f"Invalid path: it is deeper than {SEGMENTS} folders.")
    if any(len(segment.encode()) > SEGMENT_BYTES for segment in segments):
        raise invalid(f"Invalid path: a name in it is longer than {SEGMENT_BYTES} bytes.")


def _check_decoded_forms(path: str) -> None:
    for _ in range(MAX_DECODINGS):
        if FORBIDDEN.search(path):
            raise _invalid_path()
        decoded = unquote(path)
        if decoded == path:
            return
        path = decoded
    raise _invalid_path()


def _invalid_path() -> ApiError:
    return invalid("Invalid path")
