"""The scenarios by name: the same requests for MLflow and for Railtrack. One module per area."""

from tests.compat.play import Scenario
from tests.compat.scenarios import (
    access,
    access_grants,
    access_roles,
    artifacts,
    columns,
    datasets,
    evaluation_datasets,
    experiments,
    graphql,
    issues,
    languages,
    log,
    log_batch,
    logged_models,
    metrics,
    programs,
    registry,
    registry_search,
    registry_versions,
    reviews,
    runs,
    scorers,
    search_experiments,
    search_runs,
    server,
    traces,
    webhooks,
    wire,
)

_MODULES = (
    access,
    access_grants,
    access_roles,
    artifacts,
    columns,
    datasets,
    evaluation_datasets,
    experiments,
    graphql,
    issues,
    languages,
    log,
    log_batch,
    logged_models,
    metrics,
    registry,
    registry_search,
    registry_versions,
    reviews,
    runs,
    scorers,
    search_experiments,
    search_runs,
    server,
    programs,
    traces,
    webhooks,
    wire,
)

SCENARIOS: dict[str, Scenario] = {name: scenario for module in _MODULES for name, scenario in module.SCENARIOS.items()}

WITH_LOGIN = frozenset((*access.SCENARIOS, *access_grants.SCENARIOS, *access_roles.SCENARIOS))
"""Scenarios for a server with login."""
