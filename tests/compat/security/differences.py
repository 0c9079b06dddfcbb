"""The intended differences from MLflow's recorded responses, each with its reason.

docs/adr/0013-browser-protection.md has the reasons at length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.compat.security.cases import CREATE, GET, Request

Response = dict[str, Any]


class Difference(NamedTuple):
    reason: str
    configurations: tuple[str, ...]
    applies: Callable[[Request], bool]
    edit: Callable[[Request, Response], Response]
    """Return Railtrack's response, given MLflow's."""


def accepted(_request: Request, _response: Response) -> Response:
    return {"status": 200, "frames": "SAMEORIGIN"}


def rejected(_request: Request, _response: Response) -> Response:
    return {"status": 403, "text": "Invalid Host header - possible DNS rebinding attack detected"}


def readable(request: Request, response: Response) -> Response:
    cors = {"allow-origin": request.headers["Origin"], "allow-credentials": "true", "varies": True}
    if request.method == "OPTIONS":
        methods = "GET, POST, PUT, DELETE, OPTIONS, PATCH"
        return {"status": 200, **cors, "allow-methods": methods, "max-age": "600"}
    return {**response, **cors}


def hosts(*names: str) -> Callable[[Request], bool]:
    return lambda request: request.path == GET and request.host in names and not request.headers


def origins(*names: str) -> Callable[[Request], bool]:
    return lambda request: request.headers.get("Origin") in names and request.path in (GET, CREATE)


BY_DEFAULT = ("defaults",)
LISTED = ("hosts", "hosts by flag")
ORIGINS_LISTED = ("origins", "origins by flag")

DIFFERENCES = [
    Difference(
        "An address cannot be rebound.",
        BY_DEFAULT,
        hosts(
            *("127.0.0.2:5000", "172.32.0.1", "[fd00::1]:5000", "[fc00::1]", "203.0.113.9:5000"),
            *("[2001:db8::1]:5000", "[fd12::1]:5000"),
        ),
        accepted,
    ),
    Difference(
        "Nobody can register these names.",
        BY_DEFAULT,
        hosts(
            *("app.localhost:5000", "mlflow:5000", "mlflow", "mlflow.railway.internal:5000", "db", "db:5432"),
            *("app-1.internal:5001", "app-1.internal:6001", "app-1.internal", "app-.internal:50"),
        ),
        accepted,
    ),
    Difference("Host names are case-insensitive.", BY_DEFAULT, hosts("LOCALHOST:5000"), accepted),
    Difference("Host names are case-insensitive.", LISTED, hosts("ML.Example.com"), accepted),
    Difference("The port is no number.", BY_DEFAULT, hosts("localhost:evil.example"), rejected),
    Difference(
        "It is no address: IPv6 addresses are in brackets.", BY_DEFAULT, hosts("fd00::1", "fd00:evil.example"), rejected
    ),
    Difference("The port is no number.", LISTED, hosts("fd12::1", "fd12:evil"), rejected),
    Difference(
        "/health and /ready are served without the prefix, too, for probes that bypass the proxy.",
        ("hosts below a prefix",),
        lambda request: request.path == "/health",
        accepted,
    ),
    Difference(
        "The page of the renderer may be framed below a prefix, too.",
        ("hosts below a prefix",),
        lambda request: request.path.startswith("/ml/static-files/") and request.host == "ml.example.com",
        lambda _request, response: {"status": response["status"]},
    ),
    Difference(
        "An origin that may send changes may read the responses.",
        (*BY_DEFAULT, *ORIGINS_LISTED),
        origins("https://localhost:3000"),
        readable,
    ),
    Difference(
        "An origin that may send changes may read the responses.",
        ORIGINS_LISTED,
        origins("https://a.example.org"),
        readable,
    ),
    Difference(
        "MLflow lets these read but not change: for one of the two it takes a pattern as a regular expression.",
        ORIGINS_LISTED,
        lambda request: request.method == "GET" and origins("https://APP.example.com", "https://example.org")(request),
        accepted,
    ),
    Difference(
        "Without the protection, it is an OPTIONS request like any other.",
        ("disabled", "disabled by flag"),
        lambda request: request.method == "OPTIONS",
        lambda _request, response: {**response, "status": 204},
    ),
    Difference(
        "The methods are the same ones for every origin.",
        ("any origin",),
        lambda request: "Access-Control-Request-Method" in request.headers,
        lambda _request, response: {**response, "allow-methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH"},
    ),
    Difference(
        "Every origin gets the same response, so it does not vary.",
        ("any origin",),
        lambda request: "Origin" in request.headers,
        lambda _request, response: {**response, "varies": False} if "varies" in response else response,
    ),
]
