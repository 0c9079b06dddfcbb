"""Webhooks: what MLflow answers 500 to, and where it is of two minds."""

from tests.compat.differences.listed import because
from tests.compat.ours import missing, refused, wrong_type

because(
    "MLflow answers 500 to an event that is none.",
    {
        "webhooks": {"try nobody with a text for an event": wrong_type("event")},
        "webhooks_refused": {"events is a list *": wrong_type("events")},
    },
)

because(
    "An empty text for a list that must be given is a missing one, as MLflow has it elsewhere (runs/outputs).",
    {"webhooks_refused": {"events is empty": missing("events")}},
)

because(
    "Page tokens are of our own making, and say so otherwise.",
    {
        "webhooks": {
            "a token that is none": refused("Invalid page token, it is not one that this server made: 'abc'"),
        },
    },
)
