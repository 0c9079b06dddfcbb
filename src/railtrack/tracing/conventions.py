"""Where other instrumentations keep what MLflow shows of a span. translate.py applies these conventions.

Attributes are JSON texts by key, as MLflow stores them.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from railtrack.tracing.attribute_keys import MESSAGE_FORMAT

Attributes = dict[str, str]
Events = Sequence[Mapping[str, Any]]
Reader = Callable[[Attributes], Any]
"""Returns the value of an attribute as JSON text, or None."""


class Convention(NamedTuple):
    """Where an instrumentation keeps what MLflow shows. A reader is for what a list of keys cannot express."""

    kind_key: str = ""
    kinds: Mapping[str, str] = {}
    """MLflow's span types by the values of `kind_key`."""
    inputs: Sequence[str | re.Pattern[str]] = ()
    outputs: Sequence[str | re.Pattern[str]] = ()
    input_tokens: Sequence[str] = ()
    output_tokens: Sequence[str] = ()
    total_tokens: Sequence[str] = ()
    cache_reads: Sequence[str] = ()
    cache_writes: Sequence[str] = ()
    models: Sequence[str] = ()
    provider: str = ""
    tools: str = ""
    read_type: Reader | None = None
    read_inputs: Reader | None = None
    read_outputs: Reader | None = None
    read_usage: Reader | None = None
    read_format: Reader | None = None
    read_input_events: Callable[[Attributes, Events], str | None] | None = None
    read_output_events: Callable[[Attributes, Events], str | None] | None = None


def dump(value: Any) -> str:
    """Return the value as MLflow's clients encode an attribute."""
    return json.dumps(value, ensure_ascii=False, default=str)


def parsed(text: Any) -> Any:
    """Return the value of a JSON text, and anything else as it is."""
    if isinstance(text, str):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    return text


def value_of(attributes: Attributes, keys: Iterable[str | re.Pattern[str]]) -> str | None:
    """Return the first attribute with one of the keys that is neither empty nor null, as JSON text."""
    for key in keys:
        if isinstance(key, str):
            if (value := attributes.get(key)) and parsed(value):
                return value
            continue
        for name, value in attributes.items():
            if key.match(name) and value and parsed(value):
                return value
    return None


def count_of(attributes: Attributes, keys: Sequence[str]) -> int | None:
    """Return the first attribute with one of the keys as an integer. Some instrumentations send it as a string."""
    for key in keys:
        value = parsed(attributes.get(key))
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            continue
        try:
            count = int(value) if isinstance(value, int) or len(value) < 20 else None
        except ValueError:
            continue
        if count is not None and abs(count) < 2**63:
            return count
    return None


OPEN_INFERENCE = Convention(
    kind_key="openinference.span.kind",
    kinds={
        kind: kind
        for kind in (
            "TOOL",
            "CHAIN",
            "LLM",
            "RETRIEVER",
            "EMBEDDING",
            "AGENT",
            "RERANKER",
            "UNKNOWN",
            "GUARDRAIL",
            "EVALUATOR",
        )
    },
    inputs=("input.value",),
    outputs=("output.value",),
    input_tokens=("llm.token_count.prompt",),
    output_tokens=("llm.token_count.completion",),
    total_tokens=("llm.token_count.total",),
    cache_reads=("llm.token_count.prompt_details.cache_read",),
    cache_writes=("llm.token_count.prompt_details.cache_write",),
    models=(
        "llm.response.model_name",
        "llm.model_name",
        "llm.request.model_name",
        "embedding.model_name",
    ),
    provider="llm.provider",
)

GEN_AI = Convention(
    kind_key="gen_ai.operation.name",
    kinds={
        "chat": "CHAT_MODEL",
        "create_agent": "AGENT",
        "embeddings": "EMBEDDING",
        "execute_tool": "TOOL",
        "generate_content": "LLM",
        "invoke_agent": "AGENT",
        "text_completion": "LLM",
        "response": "LLM",
    },
    inputs=("gen_ai.input.messages", "gen_ai.tool.call.arguments"),
    outputs=("gen_ai.output.messages", "gen_ai.tool.call.result"),
    input_tokens=("gen_ai.usage.input_tokens",),
    output_tokens=("gen_ai.usage.output_tokens",),
    cache_reads=("gen_ai.usage.cache_read.input_tokens",),
    cache_writes=("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    models=("gen_ai.response.model", "gen_ai.request.model"),
    provider="gen_ai.provider.name",
    tools="gen_ai.tool.definitions",
)


def _is_gemini_cli(attributes: Attributes) -> bool:
    return bool(parsed(attributes.get("gen_ai.agent.name")) == "gemini-cli")


GEMINI_TYPES = {"llm_call": "LLM", "tool_call": "TOOL", "agent_call": "AGENT"}


def _gemini_type(attributes: Attributes) -> str | None:
    operation = parsed(attributes.get(GEN_AI.kind_key))
    return GEMINI_TYPES.get(operation) if isinstance(operation, str) and _is_gemini_cli(attributes) else None


def _gemini_inputs(attributes: Attributes) -> str | None:
    """Return the messages as `contents`, in which the web interface recognises Gemini's format."""
    if not _is_gemini_cli(attributes) or not (text := value_of(attributes, GEN_AI.inputs)):
        return None
    messages = parsed(text)
    return json.dumps({"contents": messages}) if isinstance(messages, (list, str)) else text


def _gemini_outputs(attributes: Attributes) -> str | None:
    """Return the parts of all messages as one candidate: Gemini CLI sends a message for each piece of a stream."""
    if not _is_gemini_cli(attributes) or not (text := value_of(attributes, GEN_AI.outputs)):
        return None
    messages = parsed(text)
    if not isinstance(messages, list):
        return text
    parts = [
        part
        for message in messages
        if isinstance(message, dict) and isinstance(message.get("parts"), list)
        for part in message["parts"]
    ]
    return json.dumps({"candidates": [{"content": {"role": "model", "parts": parts}}]}) if parts else text


GEMINI_CLI = GEN_AI._replace(
    read_type=_gemini_type,
    read_inputs=_gemini_inputs,
    read_outputs=_gemini_outputs,
    read_format=lambda attributes: "gemini" if _is_gemini_cli(attributes) else None,
)


CLAUDE_TYPES = {"interaction": "AGENT", "llm_request": "LLM", "tool": "TOOL"}
REDACTED = "<REDACTED>"


def _claude_span(attributes: Attributes) -> str | None:
    """Return which span of Claude Code it is, without the prefix that some versions omit."""
    kind = parsed(attributes.get("span.type"))
    if not isinstance(kind, str):
        return None
    kind = kind.removeprefix("claude_code.")
    return kind if kind in CLAUDE_TYPES else None


def _claude_text(attributes: Attributes, *keys: str) -> str | None:
    for key in keys:
        if (value := value_of(attributes, [key])) and parsed(value) != REDACTED:
            return value
    return None


def _claude_inputs(attributes: Attributes) -> str | None:
    match _claude_span(attributes):
        case "interaction":
            return _claude_text(attributes, "user_prompt", "new_context")
        case "llm_request":
            return _claude_text(attributes, "new_context")
        case "tool":
            if value := _claude_text(attributes, "tool_input"):
                return value
            keys = ("full_command", "file_path", "skill_name", "subagent_type")
            details = {key: parsed(value) for key in keys if (value := _claude_text(attributes, key))}
            return json.dumps(details) if details else None
    return None


def _claude_outputs(attributes: Attributes) -> str | None:
    match _claude_span(attributes):
        case "llm_request":
            return _claude_text(attributes, "response.model_output")
        case "tool":
            return _claude_text(attributes, "new_context")
    return None


def _claude_tool_output(attributes: Attributes, events: Events) -> str | None:
    if _claude_span(attributes) != "tool":
        return None
    for event in events:
        if event["name"] == "tool.output":
            for key in ("output", "content", "diff"):
                value = parsed(event["attributes"].get(key))
                if value and value != REDACTED:
                    return dump(value)
    return None


def _claude_usage(attributes: Attributes) -> dict[str, int | None] | None:
    """Return the usage of a request. Claude counts input tokens without those of the cache, MLflow with them."""
    if _claude_span(attributes) != "llm_request":
        return None
    read, written = count_of(attributes, ["cache_read_tokens"]), count_of(attributes, ["cache_creation_tokens"])
    inputs = count_of(attributes, ["input_tokens"])
    return {
        "input_tokens": None if inputs is None else inputs + (read or 0) + (written or 0),
        "output_tokens": count_of(attributes, ["output_tokens"]),
        "total_tokens": None,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
    }


CLAUDE_CODE = Convention(
    read_type=lambda attributes: CLAUDE_TYPES.get(_claude_span(attributes) or ""),
    read_inputs=_claude_inputs,
    read_outputs=_claude_outputs,
    read_usage=_claude_usage,
    read_output_events=_claude_tool_output,
)


def _event_attribute(name: str, key: str) -> Callable[[Attributes, Events], str | None]:
    def read(attributes: Attributes, events: Events) -> str | None:
        for event in events:
            if event["name"] == name and (value := event["attributes"].get(key)):
                return value if isinstance(value, str) else dump(value)
        return None

    return read


SPRING_AI = Convention(
    read_input_events=_event_attribute("gen_ai.content.prompt", "gen_ai.prompt"),
    read_output_events=_event_attribute("gen_ai.content.completion", "gen_ai.completion"),
)

TRACELOOP = Convention(
    kind_key="traceloop.span.kind",
    kinds={"workflow": "WORKFLOW", "task": "TASK", "agent": "AGENT", "tool": "TOOL", "unknown": "UNKNOWN"},
    inputs=(
        "traceloop.entity.input",
        re.compile(r"gen_ai\.prompt\.\d+\.content"),
        re.compile(r"gen_ai\.completion\.\d+\.tool_calls\.\d+\.arguments"),
    ),
    outputs=("traceloop.entity.output", re.compile(r"gen_ai\.completion\.\d+\.content")),
    input_tokens=("gen_ai.usage.prompt_tokens",),
    output_tokens=("gen_ai.usage.completion_tokens",),
    total_tokens=("llm.usage.total_tokens",),
    provider="gen_ai.system",
)

GOOGLE_ADK = Convention(
    inputs=("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"),
    outputs=("gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"),
)

VERCEL_AI_TYPES = {
    "ai.generateText": "LLM",
    "ai.generateText.doGenerate": "LLM",
    "ai.toolCall": "TOOL",
    "ai.streamText": "LLM",
    "ai.streamText.doStream": "LLM",
    "ai.generateObject": "LLM",
    "ai.generateObject.doGenerate": "LLM",
    "ai.streamObject": "LLM",
    "ai.streamObject.doStream": "LLM",
    "ai.embed": "EMBEDDING",
    "ai.embed.doEmbed": "EMBEDDING",
    "ai.embedMany": "EMBEDDING",
}


def _unnested(value: Any) -> Any:
    """Return the value of JSON that may be encoded up to three times."""
    for _ in range(3):
        if not isinstance(value, str):
            break
        value = parsed(value)
    return value


def _is_vercel_chat(attributes: Attributes) -> bool:
    return _unnested(attributes.get("ai.operationId")) in ("ai.generateText.doGenerate", "ai.streamText.doStream")


def _with_prefix(attributes: Attributes, prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): _unnested(value) for key, value in attributes.items() if key.startswith(prefix)}


def _vercel_inputs(attributes: Attributes) -> str | None:
    if not _is_vercel_chat(attributes):
        return value_of(attributes, VERCEL_AI.inputs)
    prompt = _with_prefix(attributes, "ai.prompt.")
    if isinstance(prompt.get("tools"), list):
        prompt["tools"] = [_unnested(tool) for tool in prompt["tools"]]
    # MLflow stores this name without quotes.
    attributes[MESSAGE_FORMAT] = "vercel_ai"
    return json.dumps(prompt) if prompt else None


def _vercel_outputs(attributes: Attributes) -> str | None:
    if not _is_vercel_chat(attributes):
        return value_of(attributes, VERCEL_AI.outputs)
    response = _with_prefix(attributes, "ai.response.")
    return json.dumps(response) if response else None


VERCEL_AI = Convention(
    kind_key="ai.operationId",
    kinds=VERCEL_AI_TYPES,
    inputs=("ai.prompt", "ai.toolCall.args", "ai.value", "ai.values"),
    outputs=("ai.response.text", "ai.toolCall.result", "ai.response.object", "ai.embedding", "ai.embeddings"),
    read_inputs=_vercel_inputs,
    read_outputs=_vercel_outputs,
)

VOLT_AGENT_TYPES = {"agent": "AGENT", "llm": "LLM", "tool": "TOOL", "memory": "MEMORY"}


def _volt_agent_type(attributes: Attributes) -> str | None:
    """Return the type by `span.type`. Only root spans have none; their `entity.type` is not inherited."""
    for key in ("span.type", "entity.type"):
        kind = parsed(attributes.get(key))
        if isinstance(kind, str) and kind in VOLT_AGENT_TYPES:
            return VOLT_AGENT_TYPES[kind]
    return None


VOLT_AGENT = Convention(
    inputs=("agent.messages", "llm.messages", "input"),
    outputs=("output",),
    input_tokens=("usage.prompt_tokens", "llm.usage.prompt_tokens"),
    output_tokens=("usage.completion_tokens", "llm.usage.completion_tokens"),
    total_tokens=("usage.total_tokens", "llm.usage.total_tokens"),
    read_type=_volt_agent_type,
    read_format=lambda attributes: (
        "voltagent" if attributes.keys() & {"voltagent.operation_id", "voltagent.conversation_id"} else None
    ),
)


def _livekit_type(attributes: Attributes) -> str | None:
    if "gen_ai.request.model" in attributes:
        return "LLM"
    operation = parsed(attributes.get(GEN_AI.kind_key))
    if operation and (span_type := GEN_AI.kinds.get(str(operation).lower())):
        return span_type
    for key in attributes:
        if key == "lk.retry_count":
            return "LLM"
        if key.startswith("lk.function_tool"):
            return "TOOL"
        if key in ("lk.agent_name", "lk.instructions", "lk.generation_id"):
            return "AGENT"
        if key.startswith("lk.tts") or key in (
            "lk.input_text",
            "lk.user_transcript",
            "lk.transcript_confidence",
            "lk.transcription_delay",
        ):
            return "UNKNOWN"
    return None


MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
}


def _messages_of_events(attributes: Attributes, events: Events) -> str | None:
    messages = [
        {"role": MESSAGE_EVENTS[event["name"]], "content": parsed(content)}
        for event in events
        if event["name"] in MESSAGE_EVENTS and (content := event["attributes"].get("content"))
    ]
    return json.dumps(messages, default=str) if messages else None


def _choices_of_events(attributes: Attributes, events: Events) -> str | None:
    choices = [
        {"role": parsed(event["attributes"].get("role", "assistant")), "content": parsed(content)}
        for event in events
        if event["name"] == "gen_ai.choice" and (content := event["attributes"].get("content"))
    ]
    return json.dumps(choices, default=str) if choices else None


LIVEKIT = Convention(
    inputs=("lk.user_input", "lk.user_transcript", "lk.chat_ctx", "lk.input_text"),
    outputs=("lk.response.text", "lk.response.function_calls"),
    read_type=_livekit_type,
    read_format=lambda attributes: "livekit" if any(key.startswith("lk.") for key in attributes) else None,
    read_input_events=_messages_of_events,
    read_output_events=_choices_of_events,
)

LAMINAR = Convention(
    kind_key="lmnr.span.type",
    kinds={
        "LLM": "LLM",
        "TOOL": "TOOL",
        "DEFAULT": "CHAIN",
        "PIPELINE": "CHAIN",
        "EXECUTOR": "AGENT",
        "EVALUATOR": "EVALUATOR",
        "HUMAN_EVALUATOR": "EVALUATOR",
        "EVALUATION": "EVALUATOR",
        "CACHED": "LLM",
    },
    inputs=("lmnr.span.input",),
    outputs=("lmnr.span.output",),
    provider="gen_ai.system",
    read_format=lambda attributes: "openai" if "lmnr.span.type" in attributes else None,
)

LANGFUSE = Convention(
    kind_key="langfuse.observation.type",
    kinds={
        "generation": "LLM",
        "embedding": "EMBEDDING",
        "tool": "TOOL",
        "retriever": "RETRIEVER",
        "agent": "AGENT",
        "chain": "CHAIN",
        "evaluator": "EVALUATOR",
        "guardrail": "GUARDRAIL",
        "span": "UNKNOWN",
    },
    inputs=("langfuse.observation.input",),
    outputs=("langfuse.observation.output",),
)

CONVENTIONS = (
    OPEN_INFERENCE,
    GEMINI_CLI,
    CLAUDE_CODE,
    GEN_AI,
    SPRING_AI,
    TRACELOOP,
    GOOGLE_ADK,
    VERCEL_AI,
    VOLT_AGENT,
    LIVEKIT,
    LAMINAR,
    LANGFUSE,
)
WITH_EVENTS = (SPRING_AI, LIVEKIT, CLAUDE_CODE)
