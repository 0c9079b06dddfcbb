"""An OpenAPI 3.1 document from the route table: parameters and bodies from the structs, responses from the annotations.

A handler declares its response by its return annotation: a struct, or `Annotated[Response, Struct]` if it may stream.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_type_hints

import msgspec

from railtrack.errors import STATUS
from railtrack.wire.response import JSON, BytesResponse, StreamResponse
from railtrack.wire.routing import Route

SCHEMAS = "#/components/schemas/{name}"
OCTETS = "application/octet-stream"
ERRORS = {
    "400": "The request is not valid, or the resource exists already.",
    "404": "A resource that the request names does not exist.",
    "429": "The request was not processed and may be repeated: a queue is full, or the database cannot be reached.",
    "503": "The request may have been processed: a connection was lost. It may be repeated.",
    "default": "Any other error.",
}


def openapi_document(
    routes: Iterable[Route], *, title: str, version: str, description: str, server: str = "/"
) -> dict[str, Any]:
    """Return the document as JSON-compatible data, sorted so that equal routes give equal documents."""
    ordered = sorted(routes, key=lambda route: (route.path, route.method))
    structs = {struct for route in ordered for struct in (route.struct, response_struct(route)) if struct is not None}
    _, components = msgspec.json.schema_components(sorted(structs, key=lambda one: one.__name__), ref_template=SCHEMAS)
    components |= {"Error": _error_schema()}
    for route in ordered:
        if route.struct is not None:
            _remove_fields(components[route.struct.__name__], _path_names(route))
    paths: dict[str, dict[str, Any]] = {}
    for route in ordered:
        operation = _operation(route, components)
        paths.setdefault(_template(route.path), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": name} for name in sorted({_resource(route) for route in ordered})],
        "paths": paths,
        "components": {
            "schemas": {name: components[name] for name in sorted(components)},
            "responses": {_response_name(status): _error_response(text) for status, text in ERRORS.items()},
        },
    }


def response_struct(route: Route) -> type[msgspec.Struct] | None:
    """Return the struct that the handler's return annotation declares, None if it declares none."""
    annotation = get_type_hints(route.handler, include_extras=True).get("return")
    for candidate in (annotation, *get_args(annotation)[1:]):
        if (
            isinstance(candidate, type)
            and issubclass(candidate, msgspec.Struct)
            and candidate not in (BytesResponse, StreamResponse)
        ):
            return candidate
    return None


def _media_type(route: Route) -> str | None:
    """Return the media type that the return annotation declares (FileResponse), None if it declares none."""
    annotation = get_type_hints(route.handler, include_extras=True).get("return")
    return next((extra for extra in get_args(annotation)[1:] if isinstance(extra, str)), None)


def _operation(route: Route, components: Mapping[str, Any]) -> dict[str, Any]:
    text = inspect.getdoc(route.handler) or ""
    summary, _, details = text.partition("\n\n")
    names = _path_names(route)
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [_resource(route)],
        "summary": " ".join(summary.split()),
        "x-access": route.access.describe(),
        "responses": _responses(route),
    }
    if details:
        operation["description"] = details
    parameters = [_path_parameter(name, route.path) for name in names]
    if route.struct is not None:
        schema = components[route.struct.__name__]
        fields = schema["properties"]
        if route.method == "GET":
            required = schema.get("required", ())
            parameters += [
                {"name": name, "in": "query", "required": name in required, "schema": field}
                for name, field in fields.items()
            ]
        elif fields:
            body = {"schema": {"$ref": SCHEMAS.format(name=route.struct.__name__)}}
            operation["requestBody"] = {"required": True, "content": {JSON: body}}
        if route.struct.ALIASES:
            operation["x-aliases"] = dict(route.struct.ALIASES)
    elif route.method == "PUT":
        operation["requestBody"] = {"required": True, "content": {OCTETS: {}}}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _operation_id(route: Route) -> str:
    """Return the handler's name, made unique by what distinguishes the routes of a handler: prefix, version, method."""
    prefix = "ajax_" if route.path.startswith("/ajax-api/") else ""
    version = re.match(r"/(?:ajax-)?api/(\d)\.", route.path)
    return f"{prefix}{route.handler.__name__}_{route.method.lower()}{f'_v{version[1]}' if version else ''}"


def _resource(route: Route) -> str:
    """Return the folder of the handler below api/."""
    return route.handler.__module__.split(".")[2]


def _responses(route: Route) -> dict[str, Any]:
    struct = response_struct(route)
    if struct is not None:
        content: dict[str, Any] = {JSON: {"schema": {"$ref": SCHEMAS.format(name=struct.__name__)}}}
    else:
        media_type = _media_type(route) or (JSON if route.struct else "*/*")
        content = {media_type: {"schema": {"type": "object"}} if media_type == JSON else {}}
    success: dict[str, Any] = {"description": "Success", "content": content}
    errors = {status: {"$ref": f"#/components/responses/{_response_name(status)}"} for status in ERRORS}
    return {"200": success, **errors}


def _response_name(status: str) -> str:
    return "Error" if status == "default" else f"Error{status}"


def _error_response(description: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": {"$ref": SCHEMAS.format(name="Error")}}}}


def _error_schema() -> dict[str, Any]:
    return {
        "title": "Error",
        "description": "An error in MLflow's form.",
        "type": "object",
        "properties": {
            "error_code": {"type": "string", "enum": sorted(STATUS)},
            "message": {"type": "string"},
        },
        "required": ["error_code", "message"],
    }


def _path_parameter(name: str, path: str) -> dict[str, Any]:
    parameter = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if f"{{{name}...}}" in path:
        parameter["description"] = "The rest of the path, slashes included."
    return parameter


def _path_names(route: Route) -> list[str]:
    return re.findall(r"\{(\w+)", route.path)


def _remove_fields(schema: dict[str, Any], names: Iterable[str]) -> None:
    """Remove the fields that the path holds: a body need not have them, and the path overrides them."""
    for name in names:
        schema["properties"].pop(name, None)
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name not in names]


def _template(path: str) -> str:
    """OpenAPI has no notation for a parameter that spans segments; its description states it."""
    return path.replace("...}", "}")
