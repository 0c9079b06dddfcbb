"""The short texts that lists of traces show for a trace's inputs and outputs."""

import json
from typing import Any

from railtrack.tracing.values import PREVIEW_LIMIT, storable


def preview(text: str | None, *, role: str) -> str | None:
    """Return the beginning of the last message of the role in a chat, or of the whole text if it is none."""
    if not text:
        return None
    content = _message_text(text, role) or text
    content = storable(content)
    return content if len(content) <= PREVIEW_LIMIT else content[: PREVIEW_LIMIT - 3] + "..."


def _message_text(text: str, role: str) -> str | None:
    if '"role"' not in text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    messages = _messages(value)
    if not messages:
        return None
    chosen = next((message for message in reversed(messages) if message.get("role") == role), messages[-1])
    content = chosen.get("content")
    if isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                return part
            if isinstance(part, dict) and part.get("type") in ("text", "output_text"):
                found = part.get("text")
                return found if isinstance(found, str) else None
        return None
    return content if isinstance(content, str) else None


def _messages(value: Any) -> list[dict[str, Any]]:
    """Return the messages of a request or response in the formats of OpenAI's APIs."""
    while isinstance(value, dict):
        choices = value.get("choices")
        if isinstance(messages := value.get("messages"), list) and messages:
            return [message for message in messages if _is_message(message)]
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            message = choices[0].get("message")
            if isinstance(message, dict) and _is_message(message):
                return [message]
        for key in ("input", "output"):
            if isinstance(items := value.get(key), list) and items:
                return [item for item in items if _is_message(item)]
        value = value.get("request")
    return []


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value
