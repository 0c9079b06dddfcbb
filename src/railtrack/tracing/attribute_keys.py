"""Names of MLflow's own attributes, tags and metadata of traces."""

REQUEST_ID = "mlflow.traceRequestId"
SPAN_TYPE = "mlflow.spanType"
INPUTS = "mlflow.spanInputs"
OUTPUTS = "mlflow.spanOutputs"
TOKEN_USAGE = "mlflow.chat.tokenUsage"  # noqa: S105 (tokens of a language model)
COST = "mlflow.llm.cost"
TOOLS = "mlflow.chat.tools"
MESSAGE_FORMAT = "mlflow.message.format"
MODEL = "mlflow.llm.model"
MODEL_PROVIDER = "mlflow.llm.provider"
SESSION_ID = "session.id"
CONVERSATION_ID = "gen_ai.conversation.id"
USER_ID = "user.id"
TRACE_TAG_PREFIX = "mlflow.traceTag."

NAME_TAG = "mlflow.traceName"
SPANS_LOCATION_TAG = "mlflow.trace.spansLocation"
ARTIFACT_LOCATION_TAG = "mlflow.artifactLocation"
LINKED_PROMPTS_TAG = "mlflow.linkedPrompts"
ARCHIVAL_FAILURE_TAG = "mlflow.trace.archivalFailure"
SYSTEM_TAGS = frozenset(
    (ARTIFACT_LOCATION_TAG, SPANS_LOCATION_TAG, "mlflow.trace.archiveLocation", ARCHIVAL_FAILURE_TAG)
)
"""Tags that only the server sets."""
TRACKING_STORE = "TRACKING_STORE"
"""The value of SPANS_LOCATION_TAG for spans in the database."""
ARCHIVE_REPO = "ARCHIVE_REPO"

SESSION_METADATA = "mlflow.trace.session"
TOKEN_USAGE_METADATA = "mlflow.trace.tokenUsage"  # noqa: S105 (tokens of a language model)
COST_METADATA = "mlflow.trace.cost"
USER_METADATA = "mlflow.trace.user"
FINALIZED_METADATA = "mlflow.trace.infoFinalized"
SIZE_METADATA = "mlflow.trace.sizeStats"

TOKEN_KEYS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
"""Keys of a token usage, and names of the columns of trace_info."""
COST_KEYS = ("input_cost", "output_cost", "total_cost")
