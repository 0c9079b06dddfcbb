"""Find the experiment that owns an artifact, by the uri in the store that the server opens.

An artifact belongs to the experiment with the longest artifact location above it. Several experiments can share one:
then its run or logged model decides.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from railtrack.artifacts import ArtifactStores, Location
from railtrack.db import Db, Tx
from railtrack.errors import ApiError

REREAD_AFTER_S = 2.0
"""How long a worker may not know of an experiment with its own artifact location that another worker created."""

EXPERIMENT_ID = re.compile(r"0|[1-9][0-9]{0,9}")
RUN_ID = re.compile(r"[0-9a-f]{32}")
PARTS_OF_EXPERIMENT = ("run", "trace", "logged_model")


class Owner(NamedTuple):
    """The experiments whose artifact location contains the artifact, mostly one, and its path below that location."""

    experiment_ids: tuple[str, ...]
    path: str

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the resource types that the path contains: the folder of the experiment contains all of them."""
        if not self.path:
            return PARTS_OF_EXPERIMENT
        first, _, rest = self.path.partition("/")
        if first == "models":
            return ("logged_model",)
        if first == "traces":
            return ("trace",)
        return ("run",) if RUN_ID.fullmatch(first) or rest.split("/", 1)[0] == "artifacts" else ()


class ArtifactOwners:
    """Knows the artifact locations of all experiments.

    Most are `<default root>/<experiment id>` and take no memory. The others are read from the database.
    """

    def __init__(self, db: Db, stores: ArtifactStores, default_root: str) -> None:
        self._db = db
        self._stores = stores
        self._default_root = default_root.rstrip("/")
        self._default_uri = _uri(stores, default_root)
        self._others: Mapping[str, tuple[str, ...]] = {}
        self._read_at = -math.inf

    def expire(self) -> None:
        """Read the artifact locations before their next use."""
        self._read_at = -math.inf

    async def of(self, location: Location) -> Owner | None:
        """Return the owner of the artifact, None if it is in no experiment's location."""
        owner = self._owner(await self._current_others(), location.uri)
        if owner is not None and len(owner.experiment_ids) > 1:
            experiment_id = await self._experiment_of(owner.path)
            if experiment_id in owner.experiment_ids:
                return Owner((experiment_id,), owner.path)
        return owner

    async def inside(self, location: Location) -> set[str]:
        """Return the experiments whose artifacts are in a folder below this one, other than the default folder."""
        others = await self._current_others()
        return {one for uri, ids in others.items() if _is_below(uri, location.uri) for one in ids}

    def contains_default(self, location: Location) -> bool:
        """Return whether the default folder of all experiments is at this location, or below it."""
        default = self._default_uri
        return default is not None and (default == location.uri or _is_below(default, location.uri))

    async def _current_others(self) -> Mapping[str, tuple[str, ...]]:
        now = time.monotonic()
        if now >= self._read_at + REREAD_AFTER_S:
            self._others, self._read_at = await self._read(self._db), now
        return self._others

    async def _experiment_of(self, path: str) -> str | None:
        """Return the experiment of the run or logged model that has this path below an artifact location."""
        folder, _, rest = path.partition("/")
        if folder == "models":
            sql, key = "SELECT CAST(experiment_id AS TEXT) FROM logged_models WHERE model_id = $1", rest.split("/")[0]
        else:
            sql, key = "SELECT CAST(experiment_id AS TEXT) FROM runs WHERE run_uuid = $1", folder
        experiment_id: str | None = await self._db.fetch_value(sql, key)
        return experiment_id

    def _owner(self, others: Mapping[str, tuple[str, ...]], uri: str) -> Owner | None:
        for above in _with_parents(uri):
            experiment_ids = others.get(above, ())
            default = self._default_owner(above)
            if default is not None and default not in experiment_ids:
                experiment_ids = (*experiment_ids, default)
            if experiment_ids:
                return Owner(experiment_ids, uri[len(above) :].lstrip("/"))
        return None

    async def is_free(self, tx: Tx, location: Location) -> bool:
        """Return whether the location overlaps with no experiment's, nor with those that future ones get."""
        others = await self._read(tx)
        uri = location.uri
        if self._owner(others, uri) is not None or any(_is_below(other, uri) for other in others):
            return False
        return not self.contains_default(location)

    def _default_owner(self, uri: str) -> str | None:
        parent, _, name = uri.rpartition("/")
        return name if parent == self._default_uri and EXPERIMENT_ID.fullmatch(name) else None

    async def _read(self, tx: Tx) -> dict[str, tuple[str, ...]]:
        """Return the experiments whose location is not the default, by where their artifacts are."""
        rows = await tx.fetch(
            """
            SELECT CAST(experiment_id AS TEXT), artifact_location FROM experiments
            WHERE artifact_location IS NOT NULL AND artifact_location <> $1 || '/' || CAST(experiment_id AS TEXT)
            """,
            self._default_root,
        )
        owners: dict[str, tuple[str, ...]] = {}
        for experiment_id, location in rows:
            uri = _uri(self._stores, location)
            if uri is not None:
                owners[uri] = (*owners.get(uri, ()), experiment_id)
        return owners


def _uri(stores: ArtifactStores, uri: str) -> str | None:
    """Return where an artifact location is, None if this server does not serve it."""
    try:
        return stores.locate(uri).uri
    except ApiError:
        return None


def _with_parents(uri: str) -> Iterator[str]:
    """Yield the uri and those above it, the longest first."""
    while uri:
        yield uri
        uri = uri.rpartition("/")[0]


def _is_below(uri: str, above: str) -> bool:
    return uri.startswith(f"{above}/")
