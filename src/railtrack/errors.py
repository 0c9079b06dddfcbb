"""What may go wrong, in MLflow's words: error codes, their HTTP statuses, and one exception that carries them.

Any module may raise an ApiError; only wire/dispatch catches it. This module imports nothing of ours.
"""

import json
from typing import Any

STATUS = {
    "BAD_REQUEST": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "INVALID_STATE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "ENDPOINT_NOT_FOUND": 404,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
}
"""MLflow's error codes and the HTTP status each is sent with."""

SHOWN_LIMIT = 1000
SEE_DOCS = "See the API docs for more information about request parameters."


class ApiError(Exception):
    """A refusal that the client is told about: an error code of STATUS, a message, and perhaps a wait in seconds."""

    def __init__(self, code: str, message: str, *, status: int | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUS[code]
        self.retry_after = retry_after


def invalid(message: str) -> ApiError:
    return ApiError("INVALID_PARAMETER_VALUE", message)


def missing(parameter: str) -> ApiError:
    return invalid(f"Missing value for required parameter '{parameter}'. {SEE_DOCS}")


def invalid_value(parameter: str, value: Any) -> ApiError:
    """A value of the wrong type, shown as JSON, its type named as Python does, which is what MLflow tells its users."""
    hint = f" Hint: Value was of type '{type(value).__name__}'. {SEE_DOCS}"
    return invalid(f"Invalid value {shown(value)} for parameter '{parameter}' supplied: {hint}")


def shown(value: Any) -> str:
    """A value from a request, fit for a message: as compact JSON, cut where it is very long."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= SHOWN_LIMIT else text[:SHOWN_LIMIT] + "..."


def bad_request(message: str) -> ApiError:
    return ApiError("BAD_REQUEST", message)


def not_found(message: str) -> ApiError:
    return ApiError("RESOURCE_DOES_NOT_EXIST", message)


def exists(message: str) -> ApiError:
    return ApiError("RESOURCE_ALREADY_EXISTS", message)


def invalid_state(message: str) -> ApiError:
    return ApiError("INVALID_STATE", message)


def endpoint_not_found(message: str) -> ApiError:
    return ApiError("ENDPOINT_NOT_FOUND", message)


def not_implemented(message: str) -> ApiError:
    return ApiError("NOT_IMPLEMENTED", message)


def too_many(message: str, retry_after: int = 1) -> ApiError:
    """A full queue: nothing was kept, the client is to send it again after `retry_after` seconds."""
    return ApiError("REQUEST_LIMIT_EXCEEDED", message, retry_after=retry_after)


def unavailable(message: str, retry_after: int = 1) -> ApiError:
    """The database or the store is away for a moment; MLflow's clients retry a 503 by themselves."""
    return ApiError("TEMPORARILY_UNAVAILABLE", message, retry_after=retry_after)


class StartError(Exception):
    """Why the server cannot start: one line for people that names the setting at fault and the next step.

    `fault` and `advice` are its two halves; `advice` is "" where the fault says what to do.
    """

    def __init__(self, fault: str, advice: str = "") -> None:
        super().__init__(f"{fault} {advice}".rstrip())
        self.fault = fault
        self.advice = advice
