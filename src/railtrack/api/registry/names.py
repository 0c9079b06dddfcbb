"""What a registered model, a version, an alias, a stage and a tag may be called; MLflow's rules and words."""

import re

from railtrack.api.registry.queries import no_such_version
from railtrack.api.registry.schemas import STAGES, RegistryTag
from railtrack.errors import invalid
from railtrack.mlflow.ids import INT32
from railtrack.mlflow.validation import check_tag_key

NAME_LIMIT = 256
DESCRIPTION_LIMIT = 5000
MODEL_TAG_VALUE_LIMIT = 5000
VERSION_TAG_VALUE_LIMIT = 100_000
"""The text of a prompt is the tag of a version."""
TAGS_LIMIT = 1000
ALIAS_LIMIT = 255

_ALIAS = re.compile(r"[\w-]*")
_VERSION_ALIAS = re.compile(r"v[0-9]+", re.IGNORECASE)
_INTEGER = re.compile(r"-?[0-9]+")


def check_name(name: str) -> None:
    if "/" in name or ":" in name:
        raise invalid(f"Invalid model name '{name[:1000]}'. Names cannot contain '/' or ':'.")
    check_length("name", name, NAME_LIMIT)


def check_length(field: str, value: str, limit: int) -> None:
    """The columns' own limits, which PostgreSQL enforces and SQLite does not."""
    if len(value) > limit:
        raise invalid(f"'{field}' exceeds the maximum length of {limit} characters")


def version_number(name: str, text: str) -> int:
    """The number of a version of the model `name`. Raises MLflow's complaints, also for one that no column holds."""
    if not _INTEGER.fullmatch(text.strip()):
        raise invalid(f"Parameter 'version' must be an integer, got '{text[:250]}'.")
    number = int(text[:100])
    if number not in INT32:
        raise no_such_version(name, number)
    return number


def check_alias(alias: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise invalid(
            f"Invalid alias name: '{alias[:1000]}'. Names may only contain alphanumerics, underscores (_), "
            "and dashes (-)."
        )
    check_length("Registered model alias name", alias, ALIAS_LIMIT)


def check_new_alias(alias: str) -> None:
    """Refuses also what only the registry itself may mean: `latest` and `v1`."""
    check_alias(alias)
    if alias.lower() == "latest":
        raise invalid("'latest' alias name (case insensitive) is reserved.")
    if _VERSION_ALIAS.fullmatch(alias):
        raise invalid(f"Version alias name '{alias}' is reserved.")


def stage_of(text: str) -> str:
    """The stage as it is stored; requests may spell it in any case."""
    for stage in STAGES:
        if stage.lower() == text.lower():
            return stage
    raise invalid(f"Invalid Model Version stage: {text[:250]}. Value must be one of {', '.join(STAGES)}.")


def checked_tags(tags: list[RegistryTag], value_limit: int) -> dict[str, str]:
    """The last value of each key."""
    found = {tag.key: tag.value for tag in tags}
    if len(found) > TAGS_LIMIT:
        raise invalid(f"At most {TAGS_LIMIT} tags can be set at once. Got {len(found)}.")
    for key, value in found.items():
        check_tag(key, value, value_limit)
    return found


def check_tag(key: str, value: str, value_limit: int) -> None:
    check_tag_key(key, "key")
    check_length("value", value, value_limit)
