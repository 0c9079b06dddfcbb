"""Configurations of the security settings, and the requests that are sent to each of them.

record.py sends them to MLflow, test_security.py to Railtrack.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Configuration(NamedTuple):
    """Environment variables, or flags, of one server."""

    environment: Mapping[str, str] = {}
    flags: tuple[str, ...] = ()


class Request(NamedTuple):
    """One request. `host`: the Host header."""

    method: str
    path: str
    host: str
    headers: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """The key of the record: method, path, host and the other headers in one line."""
        others = "".join(f", {name}: {value}" for name, value in self.headers.items())
        return f"{self.method} {self.path} Host: {self.host}{others}"


HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
ORIGINS = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
FRAMES = "MLFLOW_SERVER_X_FRAME_OPTIONS"
DISABLE = "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE"

SOME_HOSTS = "ml.example.com, *.example.org,10.0.0.5:5000,app-*.internal:50*,db:*,10.1.*,192.168.*:8080,fd12:*"
SOME_ORIGINS = "https://app.example.com, http://10.0.0.5:3000,https://*.example.org"

CONFIGURATIONS = {
    "defaults": Configuration(),
    "hosts": Configuration({HOSTS: SOME_HOSTS}),
    "hosts by flag": Configuration(flags=("--allowed-hosts", SOME_HOSTS)),
    "any host": Configuration({HOSTS: "ml.example.com,*"}),
    "hosts below a prefix": Configuration({HOSTS: "ml.example.com", "MLFLOW_STATIC_PREFIX": "/ml"}),
    "origins": Configuration({ORIGINS: SOME_ORIGINS}),
    "origins by flag": Configuration(flags=("--cors-allowed-origins", SOME_ORIGINS)),
    "any origin": Configuration({ORIGINS: "*"}),
    "frames denied": Configuration({FRAMES: "deny"}),
    "frames allowed": Configuration({FRAMES: "none"}),
    "frames by flag": Configuration(flags=("--x-frame-options", "DENY")),
    "disabled": Configuration({DISABLE: "true"}),
    "disabled by flag": Configuration(flags=("--disable-security-middleware",)),
    "disabled: false": Configuration({DISABLE: "false"}),
}

GET = "/api/2.0/mlflow/experiments/get?experiment_id=0"
CREATE = "/api/2.0/mlflow/experiments/create"
AJAX_CREATE = "/ajax-api/2.0/mlflow/experiments/create"
RENDERER = "/static-files/lib/notebook-trace-renderer/index.html"

HOST_NAMES = (
    *("localhost", "localhost:5000", "127.0.0.1", "127.0.0.1:5000", "[::1]", "[::1]:5000", "0.0.0.0:5000"),
    *("127.0.0.2:5000", "app.localhost:5000", "LOCALHOST:5000", "localhost.example.com", "localhost:evil.example"),
    *("10.0.0.5", "10.0.0.5:5000", "10.evil.example", "10.evil.example:5000", "10.0.0.5.evil.example"),
    *("172.16.0.1:80", "172.31.9.9", "172.32.0.1", "192.168.1.2:8080", "192.168.evil.example:8080"),
    *("[fd00::1]:5000", "[fc00::1]", "fd00::1", "fd00:evil.example", "203.0.113.9:5000", "[2001:db8::1]:5000"),
    *("evil.example", "evil.example:5000", "mlflow:5000", "mlflow", "mlflow.railway.internal:5000", ""),
    *("ml.example.com", "ml.example.com:5000", "ML.Example.com", "a.ml.example.com", "ml.example.com.evil.example"),
    *("a.example.org", "a.example.org:8443", "a.b.example.org", "example.org", "a.example.org.evil.example"),
    *("app-1.internal:5001", "app-1.internal:6001", "app-1.internal", "app-.internal:50", "db:5432", "db"),
    *("10.1.2.3", "10.1.2.3:5000", "10.1.evil.example", "10.1.2.3.evil.example", "10.1.2", "10.10.2.3"),
    *("fd12::1", "fd12:evil", "[fd12::1]:5000", "*", "10.1.*"),
)

ORIGIN_NAMES = (
    *("http://localhost", "http://localhost:3000", "https://localhost:3000", "http://127.0.0.1:8888"),
    *("http://[::1]:3000", "http://localhost.evil.example", "http://app.localhost:3000", "http://127.0.0.2"),
    *("https://app.example.com", "http://app.example.com", "https://app.example.com:8443", "https://APP.example.com"),
    *("https://a.example.org", "https://a.example.org:8443", "https://example.org", "https://evil.example"),
    *("http://10.0.0.5:3000", "http://10.0.0.5", "https://a.example.org.evil.example", "null", "junk"),
)


def _requests_by_host() -> list[Request]:
    others = [
        Request(method, path, "evil.example")
        for method, path in [
            ("GET", "/health"),
            ("GET", "/version"),
            ("HEAD", "/health"),
            ("POST", "/health"),
            ("GET", "/health/"),
            ("GET", "/api/2.0/mlflow-artifacts/artifacts"),
            ("GET", "/static-files/manifest.json"),
            ("GET", "/"),
            ("POST", CREATE),
            ("OPTIONS", CREATE),
            ("GET", "/no/such/path"),
        ]
    ]
    preflight = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    return [
        *(Request("GET", GET, host) for host in HOST_NAMES),
        *others,
        Request("OPTIONS", CREATE, "evil.example", preflight),
    ]


def _requests_below_a_prefix() -> list[Request]:
    paths = ("/health", "/ml/health", "/ml/version", f"/ml{GET}", f"/ml{RENDERER}")
    return [Request("GET", path, host) for path in paths for host in ("evil.example", "ml.example.com")]


def _requests_by_origin() -> list[Request]:
    requests = [
        Request(method, path, "localhost:5000", {"Origin": origin})
        for origin in ORIGIN_NAMES
        for method, path in (("POST", CREATE), ("GET", GET))
    ]
    requests += [Request("OPTIONS", CREATE, "localhost:5000", _preflight(origin, "POST")) for origin in ORIGIN_NAMES]
    for origin in ("https://app.example.com", "https://evil.example"):
        requests += [
            Request(method, path, "localhost:5000", {"Origin": origin})
            for method, path in (
                ("POST", AJAX_CREATE),
                ("PUT", CREATE),
                ("DELETE", CREATE),
                ("OPTIONS", CREATE),
                ("GET", "/health"),
                ("GET", "/no/such/path"),
            )
        ]
        requests += [
            Request("OPTIONS", GET, "localhost:5000", _preflight(origin, "GET", "authorization")),
            Request("OPTIONS", CREATE, "localhost:5000", _preflight(origin, "POST", "content-type, x-custom")),
            Request("OPTIONS", CREATE, "localhost:5000", _preflight(origin, "PURGE")),
            Request("OPTIONS", "/no/such/path", "localhost:5000", _preflight(origin, "POST")),
        ]
    return requests


def _preflight(origin: str, method: str, headers: str = "") -> dict[str, str]:
    asked = {"Access-Control-Request-Headers": headers} if headers else {}
    return {"Origin": origin, "Access-Control-Request-Method": method, **asked}


def _requests_for_frames() -> list[Request]:
    paths = (GET, "/", "/health", RENDERER, "/static-files/manifest.json", "/no/such/path")
    return [Request("GET", path, "localhost:5000") for path in paths]


def _requests_without_protection() -> list[Request]:
    evil = {"Origin": "https://evil.example"}
    return [
        *_requests_for_frames(),
        Request("GET", GET, "evil.example"),
        Request("POST", CREATE, "localhost:5000", evil),
        Request("GET", GET, "localhost:5000", evil),
        Request("OPTIONS", CREATE, "localhost:5000", _preflight("https://evil.example", "POST")),
    ]


REQUESTS = {
    "defaults": [*_requests_by_host(), *_requests_by_origin(), *_requests_for_frames()],
    "hosts": _requests_by_host(),
    "hosts by flag": _requests_by_host(),
    "any host": _requests_by_host(),
    "hosts below a prefix": _requests_below_a_prefix(),
    "origins": _requests_by_origin(),
    "origins by flag": _requests_by_origin(),
    "any origin": _requests_by_origin(),
    "frames denied": _requests_for_frames(),
    "frames allowed": _requests_for_frames(),
    "frames by flag": _requests_for_frames(),
    "disabled": _requests_without_protection(),
    "disabled by flag": _requests_without_protection(),
    "disabled: false": _requests_without_protection(),
}
