"""The exceptions of the server: ApiError with MLflow's error codes and their HTTP statuses, and StartError.

Any module may raise an ApiError; only wire/dispatch catches it. This module imports no other one of Railtrack.
"""

import json
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

STATUS = {
    "BAD_REQUEST": 400,
    "FEATURE_DISABLED": 400,
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
"""HTTP statuses of MLflow's error codes. MLflow's status of FEATURE_DISABLED is 500, which clients repeat in vain."""

PERMISSION_DENIED = "PERMISSION_DENIED"

SHOWN_LIMIT = 1000
SEE_DOCS = "See the API docs for more information about request parameters."


class ApiError(Exception):
    """An error response: a code of STATUS and a message. It never carries Retry-After.

    MLflow's clients back off for about 4 minutes by themselves (0, 4, 8, ... 120 s). A Retry-After header replaces
    that schedule: "1" made them give up after 7 seconds. `headers`: further ones that the status requires;
    `details`: further members of the JSON.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        details: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUS[code]
        self.headers = headers
        self.details = details

    @property
    def is_transient(self) -> bool:
        """True if the same request may succeed later."""
        return self.status in (429, 503)


def invalid(message: str) -> ApiError:
    return ApiError("INVALID_PARAMETER_VALUE", message)


def missing(parameter: str) -> ApiError:
    return invalid(f"Missing value for required parameter '{parameter}'. {SEE_DOCS}")


def invalid_value(parameter: str, value: Any) -> ApiError:
    """Return the error for a value of the wrong type, in MLflow's wording: the value as JSON, its type as in Python."""
    hint = f" Hint: Value was of type '{type(value).__name__}'. {SEE_DOCS}"
    return invalid(f"Invalid value {shown(value)} for parameter '{parameter}' supplied: {hint}")


def shown(value: Any) -> str:
    """Return a value from a request as compact JSON, truncated to SHOWN_LIMIT characters."""
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


def permission_denied(message: str = "Permission denied.") -> ApiError:
    """Return the 403 for a user who may not do this. By default it does not reveal whether the resource exists."""
    return ApiError("PERMISSION_DENIED", message)


def endpoint_not_found(message: str) -> ApiError:
    return ApiError("ENDPOINT_NOT_FOUND", message)


def not_implemented(message: str) -> ApiError:
    return ApiError("NOT_IMPLEMENTED", message)


def not_processed(message: str) -> ApiError:
    """Return the 429 for a request that certainly changed nothing: full queue, no connection, read-only database.

    Clients from 3.18 on repeat a POST that creates something only after 408, 429 or a refused connection.
    """
    return ApiError("REQUEST_LIMIT_EXCEEDED", message)


def unavailable(message: str) -> ApiError:
    """Return the 503 for a request that may have been processed, or may not: a connection lost during COMMIT."""
    return ApiError("TEMPORARILY_UNAVAILABLE", message)


class StartError(Exception):
    """A reason why the server cannot start, in one line: what is wrong (`fault`) and what to do (`advice`, which may be
    "").
    """

    def __init__(self, fault: str, advice: str = "") -> None:
        super().__init__(f"{fault} {advice}".rstrip())
        self.fault = fault
        self.advice = advice


def describe_os_error(error: OSError) -> str:
    """Return the reason alone, without the path or address that Python and asyncio add to it."""
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio's own text is "Connect call failed"
    return error.strerror or str(error) or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)
