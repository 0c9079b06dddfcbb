"""Decide whether a request may do what it asks for: the permissions of its user, narrowed by the scope of its token.

What the request needs is found in targets.py and artifact_owners.py, how grants combine in grants.py.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from railtrack.artifacts import ArtifactStores, Location
from railtrack.auth import ARTIFACT_DELETE, Access, AccessTarget, Action, Need
from railtrack.auth.artifact_owners import ArtifactOwners
from railtrack.auth.denial import LEVEL_OF_ACTION, denial
from railtrack.auth.grants import EVERYTHING, Grants, GrantsCache, ReadFilter
from railtrack.auth.identity import Identity, TokenScope
from railtrack.auth.levels import ANY, Level
from railtrack.auth.state import bump
from railtrack.auth.targets import Requirement, Targets, on_each, only_run, permission_denied
from railtrack.db import Db, Tx
from railtrack.errors import ApiError
from railtrack.mlflow.ids import experiment_numbers

WITHOUT_CHECK = (
    AccessTarget.NONE,
    AccessTarget.ACCOUNT,
    AccessTarget.ACCESS,
    AccessTarget.ARTIFACT,
    AccessTarget.TRACES,
)
"""What every signed-in user may request. Handlers check artifacts by their keys, and users, roles and grants, and leave
out traces of others.
"""

REMEMBERED_DECISIONS = 10_000
"""A training sends thousands of requests about one run, each with the same decision."""

NO_RESOURCE = ("artifact", ANY)
"""No grant is on it, so that the default permission decides."""


class Caller(Protocol):
    """What the policy needs of a request's context."""

    @property
    def identity(self) -> Identity | None: ...


class PermissionPolicy:
    """Checks the requests of one server process."""

    def __init__(self, db: Db, stores: ArtifactStores, grants: GrantsCache, *, default_root: str) -> None:
        self._grants = grants
        self._owners = ArtifactOwners(db, stores, default_root)
        self._targets = Targets(db, stores, self._owners)
        self._allowed: dict[tuple[int, TokenScope | None, Access, str], int] = {}
        """Requests about a run that were allowed, and the version of all access data that the decision is based on."""

    async def check(self, access: Access, caller: Caller, request: Any) -> None:
        """Raise PERMISSION_DENIED unless the caller has this access to what the request names.

        Of a request that lists experiments to search, remove those that the caller may not read.
        """
        if access.is_public:
            return
        identity = _identity(caller)
        if identity.is_admin and identity.scope is None:
            return
        if access.target is AccessTarget.ADMINISTRATION:
            raise permission_denied()
        if access.target in WITHOUT_CHECK:
            return
        try:
            await self._check(access, identity, request)
        except ApiError as error:
            if error.code != "PERMISSION_DENIED":
                raise
            raise denial(access, request, identity.scope) from None

    async def _check(self, access: Access, identity: Identity, request: Any) -> None:
        if access.target is AccessTarget.LISTED_EXPERIMENTS:
            request.experiment_ids = await self._readable(access, identity, request.experiment_ids)
            return
        run_id = only_run(access, request)
        if not run_id:
            await self._require(identity, await self._targets.of(access, request))
            return
        version = self._grants.version
        decision = (identity.user_id, identity.scope, access, run_id)
        if self._allowed.get(decision) == version:
            return
        await self._require(identity, await self._targets.of(access, request))
        if len(self._allowed) >= REMEMBERED_DECISIONS:
            del self._allowed[next(iter(self._allowed))]
        self._allowed[decision] = version

    async def _readable(self, access: Access, identity: Identity, experiment_ids: Sequence[str]) -> list[str]:
        ids = [str(number) for number in experiment_numbers(experiment_ids)]
        permissions = await self._permissions(identity)
        if not all(map(permissions.read_filter("experiment").allows, ids)):
            permissions = await self._current_permissions(identity)
        if any(permissions.deny(need.part) for need in access.needs):
            return []
        return list(filter(permissions.read_filter("experiment").allows, ids))

    async def check_artifact(self, access: Access, caller: Caller, location: Location) -> None:
        """Raise PERMISSION_DENIED unless the caller may access the artifact at this location."""
        identity = _identity(caller)
        if identity.is_admin and identity.scope is None:
            return
        try:
            await self._check_artifact(access, identity, location)
        except ApiError:
            # Another worker may just have created the experiment.
            self._owners.expire()
            await self._check_artifact(access, identity, location)

    async def _check_artifact(self, access: Access, identity: Identity, location: Location) -> None:
        if access == ARTIFACT_DELETE and self._owners.contains_default(location):
            raise permission_denied()  # nobody else may delete the artifacts of all experiments
        owner = await self._owners.of(location)
        needs = access.needs
        if access == ARTIFACT_DELETE and (inside := await self._owners.inside(location)):
            await self._require(identity, on_each(needs, inside))
        if owner is None:
            await self._require(identity, [Requirement(need.action, ()) for need in needs])
            return
        if owner.parts:
            needs = (Need(Action.READ), *(Need(need.action, part) for need in needs for part in owner.parts))
        await self._require(identity, on_each(needs, owner.experiment_ids))

    async def check_source_file(self, access: Access, caller: Caller, source: Location, file: Location) -> None:
        """Raise PERMISSION_DENIED unless who has access to the source of a model version may access this file below it.

        The folder above all experiments can be a source, and a later experiment can be below one.
        """
        owner, owner_of_source = await self._owners.of(file), await self._owners.of(source)
        if owner and (owner_of_source is None or owner.experiment_ids != owner_of_source.experiment_ids):
            await self.check_artifact(access, caller, file)

    async def check_new_location(self, tx: Tx, caller: Caller, location: Location) -> None:
        """Raise PERMISSION_DENIED if the artifacts of a new experiment there would mix with those of other experiments.

        The transaction that creates it calls this first: it locks out other changes of access data until its end.
        """
        identity = _identity(caller)
        if identity.is_admin and identity.scope is None:
            return
        await bump(tx)
        if not await self._owners.is_free(tx, location):
            raise permission_denied()

    async def is_denied(self, caller: Caller, part: str) -> bool:
        """Return whether a DENY of the caller is on all resources of the type `part`, such as runs."""
        identity = _identity(caller)
        if identity.is_admin:
            return False
        return (await self._permissions(identity)).deny(part)

    async def read_filter(self, caller: Caller, resource_type: str, part: str = "") -> ReadFilter:
        """Return which resources of a type the caller may read: none of them if it is denied every `part`."""
        identity = _identity(caller)
        if identity.is_admin and identity.scope is None:
            return EVERYTHING
        permissions = await self._current_permissions(identity)
        if part and permissions.deny(part):
            return ReadFilter(everything=False, ids=frozenset())
        return permissions.read_filter(resource_type)

    async def _require(self, identity: Identity, needed: Sequence[Requirement]) -> None:
        permissions = await self._permissions(identity)
        if all(map(permissions.allow, needed)):
            return
        # Another worker may just have created this resource for the user, or granted it.
        permissions = await self._current_permissions(identity)
        if not all(map(permissions.allow, needed)):
            raise permission_denied()

    async def _current_permissions(self, identity: Identity) -> "Permissions":
        """Return the permissions by the database as it is now, not as it was up to two seconds ago."""
        grants = None if identity.is_admin else await self._grants.fresh(identity.user_id)
        return Permissions(grants, identity.scope)

    async def _permissions(self, identity: Identity) -> "Permissions":
        grants = None if identity.is_admin else await self._grants.of(identity.user_id)
        return Permissions(grants, identity.scope)


class Permissions(NamedTuple):
    """What a request may do: `grants` of its user (None for an administrator), within the scope of its token."""

    grants: Grants | None
    scope: TokenScope | None

    def allow(self, requirement: Requirement) -> bool:
        return self._is_in_scope(requirement) and (self.grants is None or self._is_granted(self.grants, requirement))

    def deny(self, part: str) -> bool:
        """Return whether a DENY is on all resources of the type `part`."""
        return self.grants is not None and self.grants.denies(part)

    def read_filter(self, resource_type: str) -> ReadFilter:
        granted = EVERYTHING if self.grants is None else self.grants.read_filter(resource_type)
        if self.scope is None or self.scope.kind == "read":
            return granted
        is_target = _scope_includes(self.scope, resource_type) and granted.allows(self.scope.target)
        return ReadFilter(everything=False, ids=frozenset((self.scope.target,) if is_target else ()))

    def _is_in_scope(self, requirement: Requirement) -> bool:
        scope = self.scope
        if scope is None:
            return True
        if scope.kind == "read":
            return requirement.action in (Action.READ, Action.NOT_DENIED)
        if not requirement.keys:
            return False
        if requirement.is_either:
            return any(_scope_includes(scope, kind) and one == scope.target for kind, one in requirement.keys)
        resource_type, resource_id = requirement.keys[-1]
        return _scope_includes(scope, resource_type) and resource_id == scope.target

    @staticmethod
    def _is_granted(grants: Grants, requirement: Requirement) -> bool:
        first, *fallbacks = requirement.keys or (NO_RESOURCE,)
        if requirement.is_either:
            return any(grants.permission(*key) >= LEVEL_OF_ACTION[requirement.action] for key in requirement.keys)
        if requirement.without_part is not None and grants.level(*first) is None:
            first, *fallbacks = fallbacks
            requirement = requirement._replace(action=requirement.without_part)
        level = grants.permission(*first, *fallbacks)
        if requirement.action in (Action.NOT_DENIED, Action.CREATE):
            return level is not Level.DENY
        return level >= LEVEL_OF_ACTION[requirement.action]


def _scope_includes(scope: TokenScope, resource_type: str) -> bool:
    """Return whether resources of this type can be in the scope. Prompts are registered models."""
    return resource_type == scope.kind or (scope.kind == "registered_model" and resource_type == "prompt")


def _identity(caller: Caller) -> Identity:
    assert caller.identity is not None, "the dispatcher identifies the user of every request that is not public"
    return caller.identity
