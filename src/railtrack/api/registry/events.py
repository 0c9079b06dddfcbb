"""What webhooks are told of the registry's changes, in MLflow's words: by the transaction that makes the change.

Which of two events it is, one of models or one of prompts, is looked up only when somebody asks for either.
"""

from collections.abc import Mapping
from typing import Any

from railtrack.api.registry.queries import WORKSPACE
from railtrack.api.registry.search_fields import IS_PROMPT
from railtrack.db import Tx
from railtrack.webhooks.delivery import Announcements
from railtrack.webhooks.events import Event

PROMPT_TEXT = "mlflow.prompt.text"
NOT_TOLD = (IS_PROMPT, PROMPT_TEXT, "_mlflow_prompt_type")
"""Tags that make a prompt out of a model. Payloads leave them out."""


async def model_created(
    news: Announcements, tx: Tx, name: str, tags: Mapping[str, str], description: str, *, is_prompt: bool
) -> None:
    event = Event("prompt" if is_prompt else "registered_model", "created")
    if found := await news.subscribers(tx, [event]):
        told = _without_marks(tags) if is_prompt else dict(tags)
        await news.add(tx, found[event], event, {"name": name, "tags": told, "description": description})


async def version_created(
    news: Announcements,
    tx: Tx,
    name: str,
    number: int,
    *,
    source: str,
    run_id: str,
    tags: Mapping[str, str],
    description: str,
    is_prompt: bool,
) -> None:
    event = Event("prompt_version" if is_prompt else "model_version", "created")
    if not (found := await news.subscribers(tx, [event])):
        return
    data: dict[str, Any] = {"name": name, "version": str(number)}
    if is_prompt:
        data |= {"template": tags.get(PROMPT_TEXT), "tags": _without_marks(tags)}
    else:
        data |= {"source": source, "run_id": run_id or None, "tags": dict(tags)}
    await news.add(tx, found[event], event, data | {"description": description or None})


async def alias_changed(news: Announcements, tx: Tx, name: str, alias: str, version: int | None) -> None:
    """An alias was given to a version, or taken away (None)."""
    action = "deleted" if version is None else "created"
    told = {} if version is None else {"version": str(version)}
    await _tell(news, tx, "model_version_alias", "prompt_alias", action, {"name": name, "alias": alias, **told})


async def model_tag_changed(news: Announcements, tx: Tx, name: str, key: str, value: str | None) -> None:
    """A tag of a model was set, or deleted (None). Only those of prompts are told of."""
    data = {"name": name, "key": key}
    await _tell(news, tx, None, "prompt_tag", *_set_or_deleted(data, value))


async def version_tag_changed(news: Announcements, tx: Tx, name: str, number: int, key: str, value: str | None) -> None:
    """A tag of a version was set, or deleted (None)."""
    data = {"name": name, "version": str(number), "key": key}
    await _tell(news, tx, "model_version_tag", "prompt_version_tag", *_set_or_deleted(data, value))


def _set_or_deleted(data: dict[str, str], value: str | None) -> tuple[str, dict[str, str]]:
    return ("deleted", data) if value is None else ("set", {**data, "value": value})


async def _tell(
    news: Announcements, tx: Tx, of_model: str | None, of_prompt: str, action: str, data: Mapping[str, str]
) -> None:
    """Announce the event of the entity that `data["name"]` is, after the change."""
    events = [Event(entity, action) for entity in (of_model, of_prompt) if entity]
    found = await news.subscribers(tx, events)
    if not found:
        return
    entity = of_prompt if await _is_prompt(tx, data["name"]) else of_model
    for event, webhook_ids in found.items():
        if event.entity == entity:
            await news.add(tx, webhook_ids, event, data)


async def _is_prompt(tx: Tx, name: str) -> bool:
    value: str | None = await tx.fetch_value(
        "SELECT value FROM registered_model_tags WHERE workspace = $1 AND name = $2 AND key = $3",
        WORKSPACE,
        name,
        IS_PROMPT,
    )
    return (value or "").lower() == "true"


def _without_marks(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in NOT_TOLD}
