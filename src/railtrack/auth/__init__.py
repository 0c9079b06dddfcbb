"""What a route demands of its caller: a permission on a target. Every endpoint names one, or the server does not start.

Deciding who the caller is and what they may do comes with the login; until then the server is open and says so.
"""

from enum import Enum
from typing import NamedTuple


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
