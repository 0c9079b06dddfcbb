"""The text of a 403: the level that is needed, and what the request names.

It depends on the request alone, so it does not reveal whether the resource exists.
"""

from collections.abc import Sequence
from typing import Any

from railtrack.auth import Access, AccessTarget, Action
from railtrack.auth.identity import TokenScope
from railtrack.auth.levels import Level
from railtrack.errors import ApiError, permission_denied

LEVEL_OF_ACTION = {
    Action.READ: Level.READ,
    Action.USE: Level.USE,
    Action.EDIT: Level.EDIT,
    Action.DELETE: Level.MANAGE,
    Action.MANAGE: Level.MANAGE,
}
FIELDS_OF_TARGET = {
    AccessTarget.EXPERIMENT: ("experiment_id", "experiment_name"),
    AccessTarget.EXPERIMENTS: ("experiment_ids", "experiment_id"),
    AccessTarget.TRACE: ("trace_id",),
    AccessTarget.RUN: ("run_id",),
    AccessTarget.RUNS: ("run_ids", "run_id"),
    AccessTarget.LOGGED_METRICS: ("run_id",),
    AccessTarget.LOGGED_MODEL: ("model_id",),
    AccessTarget.NEW_LOGGED_MODEL: ("experiment_id",),
    AccessTarget.RUN_OR_LOGGED_MODEL: ("run_id", "model_id"),
    AccessTarget.REGISTERED_MODEL: ("name",),
    AccessTarget.NEW_REGISTERED_MODEL: ("name",),
    AccessTarget.NEW_MODEL_VERSION: ("name",),
}
NAMES_SHOWN = 3
NAME_LENGTH = 256


def denial(access: Access, request: Any, scope: TokenScope | None) -> ApiError:
    """Return the 403 for a request, of a token with this scope."""
    levels = [LEVEL_OF_ACTION[need.action] for need in access.needs if need.action in LEVEL_OF_ACTION]
    subject = " ".join([access.target.value, *_names(access, request)])
    if levels:
        sentence = f"This requires the permission {max(levels).name} on the {subject}."
    else:
        sentence = f"This is forbidden by a DENY on the {subject}."
    if scope is not None:
        sentence += " The token of this request is limited, whatever its user may do."
    return permission_denied(f"Permission denied. {sentence}")


def _names(access: Access, request: Any) -> list[str]:
    for field in FIELDS_OF_TARGET.get(access.target, ()):
        value = getattr(request, field, None)
        names: Sequence[Any] = [value] if isinstance(value, str) else value or []
        if names:
            shown = ", ".join(repr(str(name)[:NAME_LENGTH]) for name in names[:NAMES_SHOWN] if name)
            return [f"{shown} and others" if len(names) > NAMES_SHOWN else shown]
    return []
