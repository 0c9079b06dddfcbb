"""MLflow's permission levels and resource types, and which levels and patterns a grant may have."""

from enum import IntEnum

from railtrack.errors import invalid


class Level(IntEnum):
    """What a grant allows; each level includes those below it. DENY takes away what other grants allow."""

    DENY = -1
    NO_PERMISSIONS = 0
    READ = 1
    USE = 2
    EDIT = 3
    MANAGE = 4


ANY = "*"
"""The pattern of a grant on all resources of a type."""
WORKSPACE = "workspace"
EXPERIMENT = "experiment"
REGISTERED_MODEL = "registered_model"
PROMPT = "prompt"
SCORER = "scorer"

TYPES_WITH_IDS = frozenset(
    (
        EXPERIMENT,
        REGISTERED_MODEL,
        PROMPT,
        SCORER,
        "gateway_secret",
        "gateway_endpoint",
        "gateway_model_definition",
        "mcp_server",
        "skill",
    )
)
"""Types whose grants name a resource, or all (ANY)."""
TYPES_WITHOUT_IDS = frozenset(
    (
        WORKSPACE,
        "run",
        "trace",
        "assessment",
        "logged_model",
        "review_queue",
        "registered_model_version",
        "prompt_version",
        "scorer_version",
        "mcp_server_version",
    )
)
"""Types whose grants are on all resources of the type: MLflow does not filter lists of these by id."""
RESOURCE_TYPES = tuple(sorted(TYPES_WITH_IDS | TYPES_WITHOUT_IDS))

LEVEL_NAMES = ("READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS", "DENY")
"""In the order of MLflow's error message."""
WORKSPACE_LEVELS = ("MANAGE", "USE")
RESOURCE_LEVELS = ("DENY", "EDIT", "MANAGE", "READ", "USE")

PATTERN_LIMIT = 512
"""Characters of a resource's id. A model's name has up to 256."""


def check_grant(resource_type: str, pattern: str, level: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for a grant that MLflow would not store, or never apply."""
    if level not in LEVEL_NAMES:
        raise invalid(f"Invalid permission '{level[:100]}'. Valid permissions are: {LEVEL_NAMES}")
    check_resource_type(resource_type)
    check_level(resource_type, level)
    if pattern == ANY:
        return
    if resource_type in TYPES_WITHOUT_IDS:
        raise invalid(
            f"Invalid resource_pattern '{pattern[:PATTERN_LIMIT]}' for resource_type='{resource_type}'. This resource "
            "type supports only wildcard ('*') grants."
        )
    if resource_type == EXPERIMENT and not _is_experiment_id(pattern):
        # MLflow stores these, and then they match no experiment: a DENY would protect nothing.
        raise invalid(f"Invalid experiment ID '{pattern[:PATTERN_LIMIT]}'. Use its number, without leading zeros.")
    if not pattern or len(pattern) > PATTERN_LIMIT:
        raise invalid(
            f"Invalid resource id '{pattern[:PATTERN_LIMIT]}'. Use the id or name of a resource, of 1 to "
            f"{PATTERN_LIMIT} characters, or '*' for all of the type."
        )


def _is_experiment_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


def check_resource_type(resource_type: str) -> None:
    if resource_type not in RESOURCE_TYPES:
        raise invalid(f"Invalid resource type '{resource_type[:100]}'. Valid resource types are: {RESOURCE_TYPES}")


def check_level(resource_type: str, level: str) -> None:
    """Raise INVALID_PARAMETER_VALUE unless a grant on this type may have the level."""
    if level not in LEVEL_NAMES:
        raise invalid(f"Invalid permission '{level[:100]}'. Valid permissions are: {LEVEL_NAMES}")
    if resource_type == WORKSPACE:
        if level not in WORKSPACE_LEVELS:
            raise invalid(
                f"Invalid permission '{level}' for resource_type='{WORKSPACE}'. Workspace-wide grants accept only: "
                f"{WORKSPACE_LEVELS}."
            )
    elif level not in RESOURCE_LEVELS:
        raise invalid(
            f"Invalid permission '{level}' for resource_type='{resource_type}'. Resource-level grants accept only: "
            f"{RESOURCE_LEVELS}."
        )
