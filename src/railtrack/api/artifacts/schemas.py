"""The listing of a folder, as responses contain it. Defaults are omitted."""

import msgspec


class FileInfo(msgspec.Struct, omit_defaults=True):
    """`path` is relative to the listed root, `file_size` in bytes; folders and empty files omit the size."""

    path: str
    is_dir: bool
    file_size: int = 0


class ArtifactListing(msgspec.Struct, omit_defaults=True):
    root_uri: str | None = None
    files: list[FileInfo] = []
