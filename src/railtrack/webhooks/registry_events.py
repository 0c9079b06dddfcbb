"""Events of the model registry. A change queues its webhook deliveries, with MLflow's payloads, in its transaction.

Prompts have other events. Whether a model is a prompt is read only if a webhook subscribes to one of the two events.
"""

from collections.abc import Mapping

from railtrack.db import Tx
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.mlflow.prompts import IS_PROMPT_TAG, PROMPT_TEXT_TAG, PROMPT_TYPE_TAG, is_prompt
from railtrack.webhooks import outbox
from railtrack.webhooks.events import Data, Event

PROMPT_TAGS = (IS_PROMPT_TAG, PROMPT_TEXT_TAG, PROMPT_TYPE_TAG)
"""Left out of the tags in payloads of prompts."""


class RegistryEvents:
    """The events of one request. `queued`: the number of deliveries that they added to the outbox."""

    def __init__(self) -> None:
        self.queued = 0

    async def model_created(self, tx: Tx, name: str, tags: Mapping[str, str], description: str) -> None:
        entity = "registered_model"
        if is_prompt(tags.get(IS_PROMPT_TAG)):
            entity = "prompt"
            tags = _without_prompt_tags(tags)
        await self._queue(tx, Event(entity, "created"), {"name": name, "tags": tags, "description": description})

    async def version_created(
        self,
        tx: Tx,
        name: str,
        version: int,
        *,
        source: str,
        run_id: str,
        tags: Mapping[str, str],
        description: str,
    ) -> None:
        data: dict[str, object] = {"name": name, "version": str(version)}
        if is_prompt(tags.get(IS_PROMPT_TAG)):
            entity = "prompt_version"
            data |= {"template": tags.get(PROMPT_TEXT_TAG), "tags": _without_prompt_tags(tags)}
        else:
            entity = "model_version"
            data |= {"source": source, "run_id": run_id or None, "tags": tags}
        await self._queue(tx, Event(entity, "created"), data | {"description": description or None})

    async def alias_set(self, tx: Tx, name: str, alias: str, version: int) -> None:
        data = {"name": name, "alias": alias, "version": str(version)}
        await self._queue_for_kind(tx, "created", data, model="model_version_alias", prompt="prompt_alias")

    async def alias_deleted(self, tx: Tx, name: str, alias: str) -> None:
        data = {"name": name, "alias": alias}
        await self._queue_for_kind(tx, "deleted", data, model="model_version_alias", prompt="prompt_alias")

    async def model_tag_set(self, tx: Tx, name: str, key: str, value: str) -> None:
        data = {"name": name, "key": key, "value": value}
        await self._queue_for_kind(tx, "set", data, model=None, prompt="prompt_tag")

    async def model_tag_deleted(self, tx: Tx, name: str, key: str) -> None:
        data = {"name": name, "key": key}
        await self._queue_for_kind(tx, "deleted", data, model=None, prompt="prompt_tag")

    async def version_tag_set(self, tx: Tx, name: str, version: int, key: str, value: str) -> None:
        data = {"name": name, "version": str(version), "key": key, "value": value}
        await self._queue_for_kind(tx, "set", data, model="model_version_tag", prompt="prompt_version_tag")

    async def version_tag_deleted(self, tx: Tx, name: str, version: int, key: str) -> None:
        data = {"name": name, "version": str(version), "key": key}
        await self._queue_for_kind(tx, "deleted", data, model="model_version_tag", prompt="prompt_version_tag")

    async def _queue(self, tx: Tx, event: Event, data: Data) -> None:
        subscribers = await outbox.subscribers(tx, event.action, [event.entity])
        if webhook_ids := subscribers.get(event.entity):
            self.queued += await outbox.add(tx, webhook_ids, event, data)

    async def _queue_for_kind(self, tx: Tx, action: str, data: Data, *, model: str | None, prompt: str) -> None:
        """Queue the event of the entity `model` or `prompt`, whichever `data["name"]` is; MLflow has no model_tag."""
        subscribers = await outbox.subscribers(tx, action, [entity for entity in (model, prompt) if entity])
        if not subscribers:
            return
        tag_value = await tx.fetch_value(
            "SELECT value FROM registered_model_tags WHERE workspace = $1 AND name = $2 AND key = $3",
            DEFAULT_WORKSPACE,
            data["name"],
            IS_PROMPT_TAG,
        )
        entity = prompt if is_prompt(tag_value) else model
        if entity and entity in subscribers:
            self.queued += await outbox.add(tx, subscribers[entity], Event(entity, action), data)


def _without_prompt_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in PROMPT_TAGS}
