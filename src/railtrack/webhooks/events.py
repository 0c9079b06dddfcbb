"""The events that a webhook may subscribe to in MLflow 3.17.2, and the example data that test deliveries send."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Data = Mapping[str, Any]


class Event(NamedTuple):
    """In the spelling of the database and of payloads, such as `model_version_tag` and `set`."""

    entity: str
    action: str


_MODEL = "example_model"
_PROMPT = "example_prompt"
_TAGS = {"example_key": "example_value"}
_TAG = {"key": "example_key", "value": "example_value"}
_KEY = {"key": "example_key"}
_ALIAS = {"alias": "example_alias"}

EXAMPLES: dict[Event, Data] = {
    Event("registered_model", "created"): {
        "name": _MODEL,
        "tags": _TAGS,
        "description": "An example registered model",
    },
    Event("model_version", "created"): {
        "name": _MODEL,
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": _TAGS,
        "description": "An example model version",
    },
    Event("model_version_tag", "deleted"): {"name": _MODEL, "version": "1", **_KEY},
    Event("model_version_tag", "set"): {"name": _MODEL, "version": "1", **_TAG},
    Event("model_version_alias", "created"): {"name": _MODEL, **_ALIAS, "version": "1"},
    Event("model_version_alias", "deleted"): {"name": _MODEL, **_ALIAS},
    Event("prompt", "created"): {"name": _PROMPT, "tags": _TAGS, "description": "An example prompt"},
    Event("prompt_version", "created"): {
        "name": _PROMPT,
        "version": "1",
        "template": "Hello {{name}}!",
        "tags": _TAGS,
        "description": "An example prompt version",
    },
    Event("prompt_tag", "deleted"): {"name": _PROMPT, **_KEY},
    Event("prompt_tag", "set"): {"name": _PROMPT, **_TAG},
    Event("prompt_version_tag", "deleted"): {"name": _PROMPT, "version": "1", **_KEY},
    Event("prompt_version_tag", "set"): {"name": _PROMPT, "version": "1", **_TAG},
    Event("prompt_alias", "created"): {"name": _PROMPT, **_ALIAS, "version": "1"},
    Event("prompt_alias", "deleted"): {"name": _PROMPT, **_ALIAS},
    Event("budget_policy", "exceeded"): {
        "budget_policy_id": "bp-abc123",
        "budget_unit": "USD",
        "budget_amount": 100.0,
        "current_spend": 105.5,
        "duration_unit": "MONTHS",
        "duration_value": 1,
        "target_scope": "ENDPOINT",
        "workspace": "default",
        "target_value": "ep-abc123",
        "window_start": 1704067200000,
    },
}
"""Event -> MLflow's example of its data. This server has no budgets: their event can be subscribed to and tested, but
never occurs."""


def actions_of(entity: str) -> list[str]:
    """Return the actions of an entity in the order in which MLflow lists them."""
    return sorted(event.action for event in EXAMPLES if event.entity == entity)
