"""List the intended differences from MLflow: the exchanges, Railtrack's responses, and the reasons.

A name that ends with a star matches all exchanges with that prefix. test_compat.py checks that each response equals the
listed one, and that each entry differs from MLflow's response: remove entries that no longer do.
"""

from tests.compat.differences import (
    access,
    artifacts,
    assessments,
    evaluation_datasets,
    limits,
    meaning,
    models,
    requests,
    types,
    webhooks,
)
from tests.compat.differences.registry import DIFFERENCES, difference, entered, expected

__all__ = [
    "DIFFERENCES",
    "access",
    "artifacts",
    "assessments",
    "difference",
    "entered",
    "evaluation_datasets",
    "expected",
    "limits",
    "meaning",
    "models",
    "requests",
    "types",
    "webhooks",
]
