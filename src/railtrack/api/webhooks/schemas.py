"""Webhooks and their events as clients see them. Built by position from rows; absent fields are left out."""

from enum import Enum

import msgspec

from railtrack.errors import invalid
from railtrack.webhooks.events import Event, actions_of


class Entity(Enum):
    """In the order of the protocol's numbers, from 1; the database and payloads hold the names in lower case."""

    REGISTERED_MODEL = "REGISTERED_MODEL"
    MODEL_VERSION = "MODEL_VERSION"
    MODEL_VERSION_TAG = "MODEL_VERSION_TAG"
    MODEL_VERSION_ALIAS = "MODEL_VERSION_ALIAS"
    PROMPT = "PROMPT"
    PROMPT_VERSION = "PROMPT_VERSION"
    PROMPT_TAG = "PROMPT_TAG"
    PROMPT_VERSION_TAG = "PROMPT_VERSION_TAG"
    PROMPT_ALIAS = "PROMPT_ALIAS"
    BUDGET_POLICY = "BUDGET_POLICY"


class Action(Enum):
    """As Entity."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    SET = "SET"
    EXCEEDED = "EXCEEDED"


class Status(Enum):
    """As Entity, but the database holds the names as they are."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class WebhookEvent(msgspec.Struct):
    """Also as it comes in requests."""

    entity: Entity
    action: Action

    @property
    def event(self) -> Event:
        return Event(self.entity.value.lower(), self.action.value.lower())


class Webhook(msgspec.Struct, omit_defaults=True):
    """Times in milliseconds since 1970. Its secret is never told."""

    webhook_id: str
    name: str
    description: str | None = None
    url: str = ""
    status: str = ""
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    events: list[WebhookEvent] = []


def checked_events(asked: list[WebhookEvent]) -> list[Event]:
    """The events, each once. Raises MLflow's complaint about an action that an entity doesn't have."""
    for one in asked:
        entity, action = one.event
        actions = actions_of(entity)
        if action not in actions:
            raise invalid(f"Invalid action '{action}' for entity '{entity}'. Valid actions are: {actions}")
    return sorted({one.event for one in asked})
