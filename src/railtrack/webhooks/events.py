"""The events that MLflow 3.17.2 lets a webhook ask for, and the data that a trial sends for each."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Data = Mapping[str, Any]


class Event(NamedTuple):
    """As the database and payloads have it: `model_version_tag` and `set`."""

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
"""Every event -> MLflow's example of its data. Budgets are not served here: that event can be asked for and tried,
and never comes."""


def actions_of(entity: str) -> list[str]:
    """The actions that an entity has, in the order in which MLflow lists them."""
    return sorted(event.action for event in EXAMPLES if event.entity == entity)
