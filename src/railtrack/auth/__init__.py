"""The access that a route requires, and the interface of the policy that decides who has it.

Every endpoint declares its access, or the server does not start. There is no login yet, so a server has no policy and
is open to everyone.
"""

from enum import Enum
from typing import Any, NamedTuple, Protocol


class Permission(Enum):
    NONE = 0
    SIGNED_IN = 1
    READ = 2
    EDIT = 3
    MANAGE = 4


class Access(NamedTuple):
    """`permission` on the thing that the request names by `target` (a resource kind, "" for none)."""

    permission: Permission
    target: str = ""


class Policy(Protocol):
    async def check(self, access: Access, context: Any, request: Any) -> None:
        """Raise PERMISSION_DENIED unless the caller has this access to what the request names."""


PUBLIC = Access(Permission.NONE)
SIGNED_IN = Access(Permission.SIGNED_IN)
EXPERIMENT_CREATE = Access(Permission.SIGNED_IN, "experiment")
EXPERIMENT_READ = Access(Permission.READ, "experiment")
EXPERIMENT_EDIT = Access(Permission.EDIT, "experiment")
RUN_CREATE = Access(Permission.EDIT, "experiment")
RUN_READ = Access(Permission.READ, "run")
RUN_EDIT = Access(Permission.EDIT, "run")
LOGGED_MODEL_CREATE = Access(Permission.EDIT, "experiment")
LOGGED_MODEL_READ = Access(Permission.READ, "logged model")
LOGGED_MODEL_EDIT = Access(Permission.EDIT, "logged model")
REGISTERED_MODEL_CREATE = Access(Permission.SIGNED_IN, "registered model")
REGISTERED_MODEL_READ = Access(Permission.READ, "registered model")
REGISTERED_MODEL_EDIT = Access(Permission.EDIT, "registered model")
REGISTERED_MODEL_MANAGE = Access(Permission.MANAGE, "registered model")
WEBHOOK_MANAGE = Access(Permission.MANAGE, "webhook")
ARTIFACT_READ = Access(Permission.READ, "artifact")
ARTIFACT_EDIT = Access(Permission.EDIT, "artifact")
