"""Build Railtrack's expected response where it differs: an error, a success, or MLflow's response edited."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.compat.normalise import abbreviate

Response = dict[str, Any]
Override = Callable[[dict[str, Any], Response], Response]
"""Takes the recorded request and MLflow's recorded response, and returns the response expected from Railtrack."""

SEE = "See the API docs for more information about request parameters."


def rejected(message: str, code: str = "INVALID_PARAMETER_VALUE", status: int = 400) -> Override:
    """Expect an error in MLflow's JSON form."""
    return lambda request, theirs: _error(theirs, status, code, message)


def _error(theirs: Response, status: int, code: str, message: str) -> Response:
    response: Response = {"status": status, "json": {"error_code": code, "message": abbreviate(message)}}
    if "headers" in theirs:
        sent = {"content-type": "application/json", "x-content-type-options": "nosniff"}
        response["headers"] = {name: sent.get(name, "") for name in theirs["headers"]}
    return response


def missing(field_path: str) -> Override:
    return rejected(f"Missing value for required parameter '{field_path}'. {SEE}")


def wrong_type(field_path: str) -> Override:
    """Expect the error about the value at `field_path` of the request, such as `metrics[1].value`."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        value = _value_at(request, field_path)
        shown = json.dumps(value, separators=(",", ":"))
        message = f"Invalid value {shown} for parameter '{field_path}' supplied:  Hint: Value was of type "
        return _error(theirs, 400, "INVALID_PARAMETER_VALUE", f"{message}'{type(value).__name__}'. {SEE}")

    return ours


def _value_at(request: dict[str, Any], field_path: str) -> Any:
    if "body" not in request:
        query = parse_qs(urlsplit(request["line"].split(" ", 1)[1]).query, keep_blank_values=True)
        return query[field_path][0]
    value = request["body"]
    value = json.loads(value) if isinstance(value, str) else value
    for key in re.findall(r"\w+", field_path):
        value = value[int(key)] if key.isdecimal() else value[key]
    return value


def no_endpoint(request: dict[str, Any], theirs: Response) -> Response:
    path = unquote(request["line"].split(" ", 1)[1].partition("?")[0])
    path = "/" + path.lstrip("/")
    message = f"The endpoint {path} does not exist, or this version does not serve it."
    return _error(theirs, 404, "ENDPOINT_NOT_FOUND", message)


def not_allowed(allowed: str) -> Override:
    """Expect 405. `allowed`: the methods that the path accepts."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        method = request["line"].split(" ", 1)[0]
        return _error(theirs, 405, "BAD_REQUEST", f"The method {method} is not allowed here; allowed: {allowed}.")

    return ours


def redirected(request: dict[str, Any], theirs: Response) -> Response:
    """Expect MLflow's redirect without its page, to the path instead of a URL."""
    location = theirs["headers"]["location"].removeprefix("<server>")
    return {"status": theirs["status"], "headers": {"location": location}}


def accepted(response: Any = None) -> Override:
    """Expect 200 with this JSON, or with an empty body."""
    return lambda request, theirs: {"status": 200} if response is None else {"status": 200, "json": response}


def edited(edit: Callable[[Any], None]) -> Override:
    """Expect MLflow's response after `edit` has changed it."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        response = copy.deepcopy(theirs)
        edit(response)
        return response

    return ours


def recoded(code: str, status: int) -> Override:
    """Expect MLflow's message with another error code."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        return _error(theirs, status, code, theirs["json"]["message"])

    return ours


def in_the_common_form(code: str) -> Override:
    """Expect MLflow's `detail` or plain text as an error in the common JSON form."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        message = theirs["json"]["detail"] if "json" in theirs else theirs["text"] + "."
        return _error(theirs, theirs["status"], code, message)

    return ours


def without(*keys: str) -> Override:
    """Expect MLflow's run without these parts of its data."""

    def edit(response: Response) -> None:
        for key in keys:
            del response["json"]["run"]["data"][key]

    return edited(edit)


def not_json(request: dict[str, Any], theirs: Response) -> Response:
    """Expect the message of Python's json module about the recorded body."""
    body = request["body"]
    try:
        while isinstance(body, str):
            body = json.loads(body)
    except ValueError as error:
        return _error(theirs, 400, "INVALID_PARAMETER_VALUE", f"The request body is not valid JSON: {error}")
    raise AssertionError("the body is valid JSON")
