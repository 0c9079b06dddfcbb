"""The only check of what a client may name in an artifact store: from a path as it was sent to a key
inside the store.

A key reads `a/b/c`: no empty, `.` or `..` segment, no slash at either end; "" is the store's root.
"""

import re
from urllib.parse import unquote

from railtrack.errors import ApiError, invalid

KEY_BYTES = 2048
SEGMENT_BYTES = 255
"""The longest name that the file systems in use take (NAME_MAX)."""
SEGMENTS = 100
DECODINGS = 5
"""Rounds of percent-decoding after which a path must have come to rest; no honest name is escaped that
often.
"""

FORBIDDEN = re.compile(
    r"""
      \0                                    # ends a path in C
    | ^\s* (?: [/\\] | :/ | file: )         # absolute, an empty scheme, a local file's URL
    | ^\s* [a-z][a-z0-9+.-]* : [/\\]        # a drive (C:\), any other URL
    # A climb, also for a reader that cuts off ;params, ?query or #fragment:
    | (?: ^ | [/\\] ) \s* \.\. \s* (?: $ | [/\\;?\#] )
    """,
    re.VERBOSE | re.IGNORECASE,
)


def key_of(path: str) -> str:
    """The key that `path`, relative to a root, names. Raises INVALID_PARAMETER_VALUE, with MLflow's text for a path
    that climbs, is absolute or names a drive, in whatever disguise.

    MLflow decodes a path until it stops changing and takes the result for the name, so `a%20b` and `a b` are one
    file there. Here the path is a name as it is; its decoded forms are only looked at for something forbidden.
    """
    _refuse_long(path)
    _refuse_disguised(path)
    return "/".join(segment for segment in path.split("/") if segment not in ("", "."))


def key_to_change(path: str) -> str:
    """As key_of, for a path to write or delete: it must spell its key out, `folder/.` does not mean `folder`."""
    if "." in path.split("/"):
        raise _invalid_path()
    return key_of(path)


def file_key(path: str) -> str:
    """As key_to_change, for a path that must name a file."""
    key = key_to_change(path)
    if not key or path.endswith("/"):
        raise invalid("Artifact path must include a filename (cannot end with '/').")
    return key


def join(root: str, path: str) -> str:
    """The key of `path` (from a client, unchecked) below the key `root`."""
    return f"{root}/{key_of(path)}".strip("/")


def _refuse_long(path: str) -> None:
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


def _refuse_disguised(path: str) -> None:
    for _ in range(DECODINGS):
        if FORBIDDEN.search(path):
            raise _invalid_path()
        decoded = unquote(path)
        if decoded == path:
            return
        path = decoded
    raise _invalid_path()


def _invalid_path() -> ApiError:
    return invalid("Invalid path")
