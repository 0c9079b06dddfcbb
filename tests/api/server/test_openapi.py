"""The API's description: valid OpenAPI, complete, and equal to the code."""

import json
import re
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.client import Client

from railtrack.api import endpoints
from railtrack.api.server.openapi import api_description
from railtrack.errors import STATUS

ROOT = Path(__file__).parents[3]
OPERATIONS = ("get", "put", "post", "delete", "patch")


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in OPERATIONS
    }


def described() -> dict[str, Any]:
    """The document, as a client gets it."""
    endpoints()
    document: dict[str, Any] = json.loads(json.dumps(api_description()))
    return document


def test_the_description_is_valid_openapi_3_1() -> None:
    assert list(OpenAPIV31SpecValidator(described()).iter_errors()) == []


def test_every_route_is_described_with_its_access_and_its_errors() -> None:
    found = operations(described())
    assert set(found) == {(method, re.sub(r"\.\.\.\}", "}", path)) for method, path in endpoints()}
    for (method, path), route in endpoints().items():
        operation = found[method, path.replace("...}", "}")]
        assert operation["x-access"] == route.access.describe()
        assert operation["summary"], path
        assert {"200", "400", "404", "429", "503", "default"} <= operation["responses"].keys()


def test_every_route_that_takes_a_struct_has_schemas_for_request_and_response() -> None:
    described_operations = operations(described())
    for (method, path), route in endpoints().items():
        if route.struct is None:
            continue
        operation = described_operations[method, path.replace("...}", "}")]
        fields = set(route.struct.__struct_encode_fields__) - set(re.findall(r"\{(\w+)", path))
        if method == "GET":
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
            assert named == fields, path
        elif fields:
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert reference.endswith(f"/{route.struct.__name__}")
            schema = described()["components"]["schemas"][route.struct.__name__]
            assert set(schema["properties"]) == fields, path
            assert set(schema.get("required", ())) <= fields, path
        content = operation["responses"]["200"]["content"]
        if path == "/graphql":  # its shape is what the query asks for
            assert list(content) == ["application/json"]
        else:
            assert "*/*" in content or "$ref" in content["application/json"]["schema"], path


def test_the_error_schema_names_every_code() -> None:
    error = described()["components"]["schemas"]["Error"]
    assert error["properties"]["error_code"]["enum"] == sorted(STATUS)


def test_the_file_in_docs_is_what_the_server_sends() -> None:
    assert json.loads((ROOT / "docs" / "openapi.json").read_text()) == described(), "run `make docs`"


async def test_the_server_sends_it(client: Client) -> None:
    answer = await client.get("/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == described()
