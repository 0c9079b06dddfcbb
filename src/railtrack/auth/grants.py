"""What a user may do: the grants of all its roles, folded by MLflow's rules, and a cache of them.

Which permission a request needs is decided elsewhere; so is that an administrator may do everything.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from railtrack.auth.levels import ANY, WORKSPACE, Level
from railtrack.db import Db
from railtrack.mlflow.ids import DEFAULT_WORKSPACE

CACHED_USERS = 1000
"""Users whose grants a worker keeps."""
CACHED_GRANTS = 50_000
"""Grants of these together: 5 MB, or 30 with the longest names. Those of one user are kept even if they are more."""


class Grant(NamedTuple):
    resource_type: str
    pattern: str
    """An id or name, or ANY."""
    level: Level


class ReadFilter(NamedTuple):
    """Which resources of a type a user may read: all except `ids`, or only `ids`."""

    everything: bool
    ids: frozenset[str]

    def allows(self, resource_id: str) -> bool:
        return (resource_id in self.ids) is not self.everything


EVERYTHING = ReadFilter(everything=True, ids=frozenset())
NOTHING = ReadFilter(everything=False, ids=frozenset())


class Grants:
    """All grants of one user. Immutable."""

    def __init__(self, grants: Iterable[Grant], default: Level) -> None:
        """Fold the grants. `default`: what everyone may do with a resource that no grant of theirs names."""
        self._levels: dict[str, dict[str, Level]] = {}
        self._default = default
        self.size = 0
        for resource_type, pattern, level in grants:
            self.size += 1
            levels = self._levels.setdefault(resource_type, {})
            levels[pattern] = _fold(levels.get(pattern, level), level)
        self.is_workspace_admin = self._levels.get(WORKSPACE, {}).get(ANY) == Level.MANAGE
        """True for a user who may do everything but administer the server."""

    def level(self, resource_type: str, resource_id: str = ANY) -> Level | None:
        """Return the level of the grants on this resource and on all of its type: DENY if one of them is, else the
        highest, None without any.
        """
        levels = self._levels.get(resource_type)
        if levels is None:
            return None
        on_all, own = levels.get(ANY), levels.get(resource_id)
        if on_all is None or own is None:
            return own if on_all is None else on_all
        return _fold(on_all, own)

    def permission(self, resource_type: str, resource_id: str = ANY, *fallbacks: tuple[str, str]) -> Level:
        """Return what the user may do with a resource.

        The first of the resource and its `fallbacks` (type and id) that has any grant decides, so a DENY there is not
        outweighed by a fallback, nor is a low level. A grant other than DENY gives at least the default.
        """
        if self.is_workspace_admin:
            return Level.MANAGE
        level = self.level(resource_type, resource_id)
        for fallback in fallbacks:
            if level is not None:
                break
            level = self.level(*fallback)
        if level is None:
            return self._default
        return level if level is Level.DENY else max(level, self._default)

    def denies(self, resource_type: str, resource_id: str = ANY, *fallbacks: tuple[str, str]) -> bool:
        """Return whether a DENY decides, which an absent grant is not."""
        return self.permission(resource_type, resource_id, *fallbacks) is Level.DENY

    def read_filter(self, resource_type: str) -> ReadFilter:
        """Return which resources of a type lists show. There, as in MLflow, a grant on the workspace allows reading."""
        if self.is_workspace_admin:
            return EVERYTHING
        levels = self._levels.get(resource_type, {})
        on_all = levels.get(ANY)
        if on_all is None:
            on_all = max(self._default, self._levels.get(WORKSPACE, {}).get(ANY, self._default))
        if on_all is Level.DENY:
            return ReadFilter(everything=False, ids=frozenset())
        by_id = [(pattern, level) for pattern, level in levels.items() if pattern != ANY]
        if max(on_all, self._default) >= Level.READ:
            return ReadFilter(everything=True, ids=frozenset(name for name, level in by_id if level is Level.DENY))
        return ReadFilter(everything=False, ids=frozenset(name for name, level in by_id if level >= Level.READ))


def _fold(one: Level, other: Level) -> Level:
    """Return the level of two grants on the same resource."""
    return Level.DENY if Level.DENY in (one, other) else max(one, other)


class AccessVersion(Protocol):
    """The version of all access data, as this worker last read it (AuthState)."""

    version: int

    async def refresh(self) -> None: ...

    def expire(self) -> None: ...


class _Entry(NamedTuple):
    version: int
    grants: Grants


class GrantsCache:
    """The grants of the users whose requests a worker served recently. A change of the version drops them."""

    def __init__(self, db: Db, state: AccessVersion, default: Level) -> None:
        self._db = db
        self._state = state
        self._default = default
        self._entries: dict[int, _Entry] = {}
        self._size = 0
        """The number of grants in these."""

    @property
    def version(self) -> int:
        """The version of all access data that grants are read for."""
        return self._state.version

    async def of(self, user_id: int) -> Grants:
        """Return the user's grants. The request was authenticated before, so the version is recent."""
        version = self._state.version
        entry = self._entries.get(user_id)
        if entry is not None and entry.version == version:
            return entry.grants
        # The version was read before the grants: a change since then makes the new entry outdated.
        grants = await self.load(user_id)
        self._remove(user_id)  # moves it to the end: the first entries are removed when the cache is full
        while self._entries and (len(self._entries) >= CACHED_USERS or self._size + grants.size > CACHED_GRANTS):
            self._remove(next(iter(self._entries)))
        self._entries[user_id] = _Entry(version, grants)
        self._size += grants.size
        return grants

    def _remove(self, user_id: int) -> None:
        if entry := self._entries.pop(user_id, None):
            self._size -= entry.grants.size

    async def fresh(self, user_id: int) -> Grants:
        """Return the user's grants as they are now, by one more statement.

        Use this before a request is rejected, or a list shortened: another worker may just have created what the user
        requests, and have granted it.
        """
        self._state.expire()
        await self._state.refresh()
        return await self.of(user_id)

    async def load(self, user_id: int) -> Grants:
        """Read a user's grants from the database."""
        rows = await self._db.fetch_by_key(
            """
            SELECT p.resource_type, p.resource_pattern, p.permission
            FROM railtrack_role_assignments a
            JOIN railtrack_roles r ON r.role_id = a.role_id
            JOIN railtrack_role_permissions p ON p.role_id = a.role_id
            WHERE a.user_id = $1 AND r.workspace = $2
            """,
            user_id,
            DEFAULT_WORKSPACE,
        )
        return Grants((Grant(kind, pattern, Level[level]) for kind, pattern, level in rows), self._default)
