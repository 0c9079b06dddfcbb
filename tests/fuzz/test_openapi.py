"""Requests that schemathesis generates from the API description cause no 5xx, and responses conform to it."""

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.servers.railtrack import RailtrackServer, railtrack_server

from railtrack.api import endpoints
from railtrack.api.server.openapi import api_description

EXAMPLES = int(os.environ.get("RAILTRACK_FUZZ_EXAMPLES", "10"))
CHECKS = [response_schema_conformance, content_type_conformance, status_code_conformance]


def without_twins() -> dict[str, object]:
    """Return the document without the paths under /ajax-api that share handlers with /api."""
    document = api_description()
    paths = document["paths"]
    twins = [path for path in paths if path.startswith("/ajax-api/") and path.replace("/ajax-api", "/api", 1) in paths]
    return document | {"paths": {path: methods for path, methods in paths.items() if path not in twins}}


endpoints()
schema = schemathesis.openapi.from_dict(without_twins())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    with railtrack_server(tmp_path_factory.mktemp("described")) as server:
        yield server


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_responses_conform_to_the_api_description(case: schemathesis.Case, server: RailtrackServer) -> None:
    response = case.call(base_url=server.url)
    # 501 is MLflow's response if the artifact store does not support the operation.
    assert response.status_code < 500 or response.status_code == 501, response.text
    case.validate_response(response, checks=CHECKS)
