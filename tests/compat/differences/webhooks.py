"""Differences for webhooks: requests to which MLflow responds with 500 or inconsistently."""

from tests.compat.differences.registry import because
from tests.compat.overrides import missing, rejected, wrong_type

because(
    "MLflow responds with 500 to an invalid event.",
    {
        "webhooks": {"try nobody with a text for an event": wrong_type("event")},
        "webhooks_rejected": {"events is a list *": wrong_type("events")},
    },
)

because(
    "An empty string for a required list counts as missing, as in MLflow's other endpoints (runs/outputs).",
    {"webhooks_rejected": {"events is empty": missing("events")}},
)

because(
    "Railtrack's page tokens have another format and error message.",
    {
        "webhooks": {
            "a token that is none": rejected("Invalid page token, it is not one that this server made: 'abc'"),
        },
    },
)
