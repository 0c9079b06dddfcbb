"""Structs of an evaluation dataset as clients see it, and the columns that it is built from, by position."""

import json
from typing import Any

import msgspec

from railtrack.errors import invalid
from railtrack.mlflow.validation import check_length
from railtrack.wire.json_limits import load_limited_json

USER = "mlflow.user"
"""The tag that names who creates or updates something."""
USER_LIMIT = 255
TAG_KEY_LIMIT = 255
TAG_VALUE_LIMIT = 5000

DATASET_COLUMNS = """
    evaluation_datasets.dataset_id, evaluation_datasets.name, evaluation_datasets.digest,
    evaluation_datasets.created_time, evaluation_datasets.last_update_time, evaluation_datasets.schema,
    evaluation_datasets.profile, evaluation_datasets.created_by, evaluation_datasets.last_updated_by
"""
"""The fields of EvaluationDataset up to `last_updated_by`, in their order."""


class EvaluationDataset(msgspec.Struct, omit_defaults=True):
    """`schema`, `profile` and `tags` are JSON as text. Times are in milliseconds since 1970."""

    dataset_id: str
    name: str
    digest: str | None = None
    created_time: int | None = None
    last_update_time: int | None = None
    schema: str | None = None
    profile: str | None = None
    created_by: str | None = None
    last_updated_by: str | None = None
    tags: str = ""
    experiment_ids: list[str] = []


def parsed_json(text: str, field: str) -> Any:
    """Return the value of JSON that a request has as text. Raise INVALID_PARAMETER_VALUE."""
    try:
        value = load_limited_json(text)
    except ValueError as error:
        raise invalid(f"The value of '{field}' is not valid JSON: {error}") from None
    return value


def parsed_tags(text: str) -> dict[str, str | None]:
    """Return tags that a request has as JSON in a text. As in MLflow, other values than texts become texts."""
    tags = parsed_json(text, "tags") if text else {}
    if not tags:
        return {}
    if not isinstance(tags, dict):
        raise invalid("The value of 'tags' must be a JSON object.")
    texts = {key: None if value is None else _text(value) for key, value in tags.items()}
    for key, value in texts.items():
        check_length("tag key", key, TAG_KEY_LIMIT)
        check_length(f"value of the tag '{key}'", value or "", TAG_VALUE_LIMIT)
    return texts


def _text(value: Any) -> str:
    """Return the value as text, as Python writes it: True for true."""
    return value if isinstance(value, str) else str(value)


def user_of(tags: Any) -> str | None:
    """Return who creates or updates something with these tags, if they name anyone."""
    user = tags.get(USER) if isinstance(tags, dict) else None
    if user is None:
        return None
    check_length(f"value of the tag '{USER}'", _text(user), USER_LIMIT)
    return _text(user)


def dumped_tags(tags: dict[str, str]) -> str:
    return json.dumps(tags)
