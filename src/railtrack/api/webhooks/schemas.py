"""Webhooks and their events in requests and responses. Rows fill the fields in order; defaults are omitted."""

from enum import Enum

import msgspec

from railtrack.errors import invalid
from railtrack.webhooks.events import Event, actions_of


class WebhookEntity(Enum):
    """In the order of the protocol's numbers, from 1. The database and payloads have the names in lower case."""

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


class WebhookAction(Enum):
    """In the order of the protocol's numbers, from 1. The database and payloads have the names in lower case."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    SET = "SET"
    EXCEEDED = "EXCEEDED"


class WebhookStatus(Enum):
    """In the order of the protocol's numbers, from 1. The database has the names in upper case."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class WebhookEvent(msgspec.Struct):
    entity: WebhookEntity
    action: WebhookAction

    @property
    def event(self) -> Event:
        return Event(self.entity.value.lower(), self.action.value.lower())


class Webhook(msgspec.Struct, omit_defaults=True):
    """Timestamps are in milliseconds since 1970. The secret is never returned."""

    webhook_id: str
    name: str
    description: str | None = None
    url: str = ""
    status: str = ""
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    events: list[WebhookEvent] = []


def check_events(events: list[WebhookEvent]) -> list[Event]:
    """Return the events without duplicates. Raise INVALID_PARAMETER_VALUE for an action that an entity doesn't have."""
    for requested in events:
        entity, action = requested.event
        actions = actions_of(entity)
        if action not in actions:
            raise invalid(f"Invalid action '{action}' for entity '{entity}'. Valid actions are: {actions}")
    return sorted({requested.event for requested in events})
