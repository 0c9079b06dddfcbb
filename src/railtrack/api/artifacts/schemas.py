"""The listing of a folder, and a presigned URL, as responses contain them."""

import msgspec


class FileInfo(msgspec.Struct, omit_defaults=True):
    """`path` is relative to the listed root, `file_size` in bytes; folders and empty files omit the size."""

    path: str
    is_dir: bool
    file_size: int = 0


class PresignedFile(msgspec.Struct):
    """A URL that returns the file with a GET request, its size in bytes, and the headers that the request needs."""

    url: str
    headers: dict[str, str]
    file_size: int


class ArtifactListing(msgspec.Struct, omit_defaults=True):
    root_uri: str | None = None
    files: list[FileInfo] = []
