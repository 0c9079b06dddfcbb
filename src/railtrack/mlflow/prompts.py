"""How MLflow stores prompts: as registered models and versions with these tags and a placeholder as source."""

IS_PROMPT_TAG = "mlflow.prompt.is_prompt"
PROMPT_TEXT_TAG = "mlflow.prompt.text"
PROMPT_TYPE_TAG = "_mlflow_prompt_type"

PROMPT_SOURCES = frozenset({"dummy-source", "prompt-template"})
"""Sent by MLflow's clients and UI, since a prompt has no files."""


def is_prompt(tag_value: str | None) -> bool:
    """Return whether this value of IS_PROMPT_TAG (None if the tag is absent) marks a prompt."""
    return tag_value is not None and tag_value.lower() == "true"
