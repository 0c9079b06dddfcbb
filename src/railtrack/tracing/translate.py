"""Translate attributes of other instrumentations to MLflow's. What each of them uses is in conventions.py.

The first convention that has a value wins, as in MLflow.
"""

from collections.abc import Iterable
from typing import Any

from railtrack.tracing.attribute_keys import (
    COST,
    INPUTS,
    MESSAGE_FORMAT,
    MODEL,
    MODEL_PROVIDER,
    OUTPUTS,
    SPAN_TYPE,
    TOKEN_USAGE,
    TOOLS,
)
from railtrack.tracing.conventions import (
    CONVENTIONS,
    WITH_EVENTS,
    Attributes,
    Events,
    Reader,
    count_of,
    dump,
    parsed,
    value_of,
)
from railtrack.tracing.prices import cost_of

KEY_BEGINNINGS = (
    "agent.",
    "ai.",
    "embedding.",
    "entity.",
    "gcp.vertex.",
    "gen_ai.",
    "input",
    "langfuse.",
    "llm.",
    "lk.",
    "lmnr.",
    "openinference.",
    "output",
    "span.type",
    "traceloop.",
    "usage.",
    "voltagent.",
)
"""How the keys of all conventions begin. To look for each key in a span without any took half of an export's time."""


def translate(attributes: Attributes, events: Events) -> None:
    """Add MLflow's attributes to those of a span, as far as they are missing."""
    if events or any(key.startswith(KEY_BEGINNINGS) for key in attributes):
        _translate_others(attributes, events)
    if MODEL not in attributes and (model := _model_of_content(attributes)):
        attributes[MODEL] = dump(model)
    if COST not in attributes and TOKEN_USAGE in attributes and MODEL in attributes:
        # The usage of an agent is the sum of its calls, which have their own cost.
        if parsed(attributes.get(SPAN_TYPE)) == "AGENT":
            return
        cost = cost_of(
            parsed(attributes[MODEL]), parsed(attributes[TOKEN_USAGE]), parsed(attributes.get(MODEL_PROVIDER))
        )
        if cost is not None:
            attributes[COST] = dump(cost)


def _translate_others(attributes: Attributes, events: Events) -> None:
    if parsed(attributes.get(SPAN_TYPE)) in (None, "UNKNOWN") and (span_type := type_of(attributes)):
        attributes[SPAN_TYPE] = dump(span_type)
    if INPUTS not in attributes and (inputs := _inputs(attributes, events)):
        attributes[INPUTS] = inputs
    if OUTPUTS not in attributes and (outputs := _outputs(attributes, events)):
        attributes[OUTPUTS] = outputs
    if TOKEN_USAGE not in attributes and (usage := _usage(attributes)):
        attributes[TOKEN_USAGE] = dump(usage)
    if MESSAGE_FORMAT not in attributes and (name := _first(attributes, (c.read_format for c in CONVENTIONS))):
        attributes[MESSAGE_FORMAT] = dump(name)
    if TOOLS not in attributes and (tools := value_of(attributes, [c.tools for c in CONVENTIONS if c.tools])):
        attributes[TOOLS] = tools
    if MODEL not in attributes and (model := _decoded(attributes, [key for c in CONVENTIONS for key in c.models])):
        attributes[MODEL] = dump(model)
    providers = [c.provider for c in CONVENTIONS if c.provider]
    if MODEL_PROVIDER not in attributes and (provider := _decoded(attributes, providers)):
        attributes[MODEL_PROVIDER] = dump(provider)


def _first(attributes: Attributes, readers: Iterable[Reader | None]) -> Any:
    for reader in readers:
        if reader is not None and (value := reader(attributes)):
            return value
    return None


def _decoded(attributes: Attributes, keys: Iterable[str]) -> Any:
    return parsed(value_of(attributes, keys))


def type_of(attributes: Attributes) -> str | None:
    """Return MLflow's type of the span, or None if no convention has one."""
    for convention in CONVENTIONS:
        if convention.read_type:
            span_type = convention.read_type(attributes)
        else:
            kind = parsed(attributes.get(convention.kind_key)) if convention.kind_key else None
            span_type = convention.kinds.get(kind) if isinstance(kind, str) else None
        if span_type:
            return str(span_type)
    return None


def _inputs(attributes: Attributes, events: Events) -> str | None:
    for convention in CONVENTIONS:
        read = convention.read_inputs
        if value := read(attributes) if read else value_of(attributes, convention.inputs):
            return str(value)
    if events:
        for convention in WITH_EVENTS:
            if convention.read_input_events and (found := convention.read_input_events(attributes, events)):
                return found
    return None


def _outputs(attributes: Attributes, events: Events) -> str | None:
    for convention in CONVENTIONS:
        read = convention.read_outputs
        if value := read(attributes) if read else value_of(attributes, convention.outputs):
            return str(value)
    if events:
        for convention in WITH_EVENTS:
            if convention.read_output_events and (found := convention.read_output_events(attributes, events)):
                return found
    return None


def _usage(attributes: Attributes) -> dict[str, int] | None:
    """Return the token usage of the first convention that has one."""
    for convention in CONVENTIONS:
        if convention.read_usage:
            usage = convention.read_usage(attributes)
        else:
            usage = {
                "input_tokens": count_of(attributes, convention.input_tokens),
                "output_tokens": count_of(attributes, convention.output_tokens),
                "total_tokens": count_of(attributes, convention.total_tokens),
                "cache_read_input_tokens": count_of(attributes, convention.cache_reads),
                "cache_creation_input_tokens": count_of(attributes, convention.cache_writes),
            }
        if not usage or all(usage[key] is None for key in ("input_tokens", "output_tokens", "total_tokens")):
            continue
        if usage["total_tokens"] is None and None not in (usage["input_tokens"], usage["output_tokens"]):
            usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]
        return {key: count for key, count in usage.items() if count is not None}
    return None


def _model_of_content(attributes: Attributes) -> str | None:
    """Return the `model` that the inputs or outputs name."""
    for key in (INPUTS, OUTPUTS):
        text = attributes.get(key)
        if text and '"model"' in text:
            content = parsed(text)
            if isinstance(content, dict) and (model := content.get("model")):
                return model if isinstance(model, str) else None
    return None
