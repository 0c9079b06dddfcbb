"""Validation of model names, versions, aliases, stages and tags of the registry. Sources are in model_source.py."""

import re
from collections.abc import Iterable

from railtrack.errors import ApiError, invalid, not_found
from railtrack.mlflow.ids import INT32
from railtrack.mlflow.prompts import PROMPT_TEXT_TAG
from railtrack.mlflow.validation import check_length, check_tag_key

MODEL_NAME_LIMIT = 256
DESCRIPTION_LIMIT = 5000
MODEL_TAG_VALUE_LIMIT = 5000
VERSION_TAG_VALUE_LIMIT = 100_000
"""The text of a prompt is a tag of its version."""
TAGS_LIMIT = 1000
ALIAS_LIMIT = 255

STAGES = ("None", "Staging", "Production", "Archived")
ACTIVE_STAGES = ("Staging", "Production")

_ALIAS = re.compile(r"[\w-]*")
_VERSION_ALIAS = re.compile(r"v[0-9]+", re.IGNORECASE)
_INTEGER = re.compile(r"-?[0-9]+")


def check_model_name(name: str) -> None:
    """Validate the name of an existing model. It may be longer than a new one: MLflow on SQLite has no limit."""
    if "/" in name or ":" in name:
        raise invalid(f"Invalid model name '{name[:1000]}'. Names cannot contain '/' or ':'.")


def check_new_model_name(name: str) -> None:
    check_model_name(name)
    check_length("name", name, MODEL_NAME_LIMIT)


def check_description(description: str) -> None:
    check_length("description", description, DESCRIPTION_LIMIT)


def parse_version(name: str, version: str) -> int:
    """Return the version number of the model `name`. Raise RESOURCE_DOES_NOT_EXIST for one no column can hold."""
    if not _INTEGER.fullmatch(version.strip()):
        raise invalid(f"Parameter 'version' must be an integer, got '{version[:250]}'.")
    number = int(version[:100])
    if number not in INT32:
        raise version_not_found(name, number)
    return number


def version_not_found(name: str, version: int) -> ApiError:
    return not_found(f"Model Version (name={name[:300]}, version={version}) not found")


def check_alias(alias: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise invalid(
            f"Invalid alias name: '{alias[:1000]}'. Names may only contain alphanumerics, underscores (_), "
            "and dashes (-)."
        )
    check_length("Registered model alias name", alias, ALIAS_LIMIT)


def check_new_alias(alias: str) -> None:
    """Validate an alias to be stored: `latest` and `v1` are reserved, since the registry resolves them itself."""
    check_alias(alias)
    if alias.lower() == "latest":
        raise invalid("'latest' alias name (case insensitive) is reserved.")
    if _VERSION_ALIAS.fullmatch(alias):
        raise invalid(f"Version alias name '{alias}' is reserved.")


def canonical_stage(stage: str) -> str:
    """Return the stage in the spelling that the database holds; requests may use any case."""
    for canonical in STAGES:
        if canonical.lower() == stage.lower():
            return canonical
    raise invalid(f"Invalid Model Version stage: {stage[:250]}. Value must be one of {', '.join(STAGES)}.")


def check_tags(keys_and_values: Iterable[tuple[str, str]], value_limit: int) -> dict[str, str]:
    """Return the last value of each key, validated."""
    tags = dict(keys_and_values)
    if len(tags) > TAGS_LIMIT:
        raise invalid(f"At most {TAGS_LIMIT} tags can be set at once. Got {len(tags)}.")
    for key, value in tags.items():
        check_tag(key, value, value_limit)
    return tags


def check_tag(key: str, value: str, value_limit: int) -> None:
    check_tag_key(key, "key")
    if key == PROMPT_TEXT_TAG and len(value) > value_limit:
        raise invalid(f"Prompt text exceeds max length of {value_limit} characters.")
    check_length("value", value, value_limit)
