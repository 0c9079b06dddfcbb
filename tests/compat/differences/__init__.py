"""Where Railtrack is meant to answer otherwise than MLflow: the exchanges, what it answers instead, and why.

A name with a star at its end stands for all exchanges that begin so. test_compat.py holds each answer to be exactly
the one given here, and each entry to differ from what MLflow answers: one that no longer does has to go.
"""

from tests.compat.differences import artifacts, limits, meaning, models, requests, types, webhooks
from tests.compat.differences.listed import DIFFERENCES, difference, entered, expected

__all__ = [
    "DIFFERENCES",
    "artifacts",
    "difference",
    "entered",
    "expected",
    "limits",
    "meaning",
    "models",
    "requests",
    "types",
    "webhooks",
]
