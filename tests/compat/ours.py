"""Ways to spell an answer of our own: a refusal, one told from the request, or MLflow's answer with a change."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.compat.normalise import told_short

Response = dict[str, Any]
Ours = Callable[[dict[str, Any], Response], Response]
"""From the request and MLflow's answer, both as the record shows them, to what Railtrack answers."""

SEE = "See the API docs for more information about request parameters."


def refused(message: str, code: str = "INVALID_PARAMETER_VALUE", status: int = 400) -> Ours:
    """An error in MLflow's form."""
    return lambda request, theirs: _error(theirs, status, code, message)


def _error(theirs: Response, status: int, code: str, message: str) -> Response:
    response: Response = {"status": status, "json": {"error_code": code, "message": told_short(message)}}
    if "headers" in theirs:
        response["headers"] = {**dict.fromkeys(theirs["headers"], ""), "content-type": "application/json"}
        response["headers"]["x-content-type-options"] = "nosniff"
    return response


def missing(place: str) -> Ours:
    return refused(f"Missing value for required parameter '{place}'. {SEE}")


def wrong_type(place: str) -> Ours:
    """The complaint about the value that the request has at `place`, such as `metrics[1].value`."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        value = _value_at(request, place)
        shown = json.dumps(value, separators=(",", ":"))
        message = f"Invalid value {shown} for parameter '{place}' supplied:  Hint: Value was of type "
        return _error(theirs, 400, "INVALID_PARAMETER_VALUE", f"{message}'{type(value).__name__}'. {SEE}")

    return ours


def _value_at(request: dict[str, Any], place: str) -> Any:
    if "body" not in request:
        query = parse_qs(urlsplit(request["line"].split(" ", 1)[1]).query, keep_blank_values=True)
        return query[place][0]
    value = request["body"]
    value = json.loads(value) if isinstance(value, str) else value
    for key in re.findall(r"\w+", place):
        value = value[int(key)] if key.isdecimal() else value[key]
    return value


def no_endpoint(request: dict[str, Any], theirs: Response) -> Response:
    path = unquote(request["line"].split(" ", 1)[1].partition("?")[0])
    message = f"The endpoint {path} does not exist, or this version does not serve it."
    return _error(theirs, 404, "ENDPOINT_NOT_FOUND", message)


def not_allowed(allowed: str) -> Ours:
    """A refused method; `allowed`: those that the path takes."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        method = request["line"].split(" ", 1)[0]
        return _error(theirs, 405, "BAD_REQUEST", f"The method {method} is not allowed here; allowed: {allowed}.")

    return ours


def accepted(response: Any = None) -> Ours:
    """A 200 with this JSON, or with an empty body."""
    return lambda request, theirs: {"status": 200} if response is None else {"status": 200, "json": response}


def edited(edit: Callable[[Any], None]) -> Ours:
    """MLflow's answer but for a change that `edit` makes to it."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        response = copy.deepcopy(theirs)
        edit(response)
        return response

    return ours


def recoded(code: str, status: int) -> Ours:
    """MLflow's message under another error code."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        return _error(theirs, status, code, theirs["json"]["message"])

    return ours


def in_the_common_form(code: str) -> Ours:
    """MLflow's `detail`, or its plain text, as an error of the common form."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        message = theirs["json"]["detail"] if "json" in theirs else theirs["text"] + "."
        return _error(theirs, theirs["status"], code, message)

    return ours


def without(*keys: str) -> Ours:
    """MLflow's run without these parts of its data."""

    def edit(response: Response) -> None:
        for key in keys:
            del response["json"]["run"]["data"][key]

    return edited(edit)


def not_json(request: dict[str, Any], theirs: Response) -> Response:
    """The complaint of Python's json module about the body, which is of this text."""
    body = request["body"]
    try:
        while isinstance(body, str):
            body = json.loads(body)
    except ValueError as error:
        return _error(theirs, 400, "INVALID_PARAMETER_VALUE", f"The request body is not valid JSON: {error}")
    raise AssertionError("the body is valid JSON")
