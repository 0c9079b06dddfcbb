"""The server itself: version, health, server-info, and constant responses for the pages."""

from tests.compat.play import AJAX, Script, get, post, raw

PAGES = "/ajax-api/3.0/mlflow/"


def server(prefix: str) -> Script:
    yield get("version", "/version")
    yield raw("version by POST", "/version", b"{}")
    yield get("server-info", PAGES + "server-info")
    yield get("server-info for clients", "/api/3.0/mlflow/server-info")
    yield post("server-info by POST", PAGES + "server-info", {})
    yield get("ui-telemetry", PAGES + "ui-telemetry")
    yield get("the gateway's endpoints", AJAX + "gateway-proxy", {"gateway_path": "api/2.0/endpoints/"})
    yield get("the gateway without a path", AJAX + "gateway-proxy")
    yield get("the gateway with a path that climbs", AJAX + "gateway-proxy", {"gateway_path": "../../x"})
    yield get("the gateway with another path", AJAX + "gateway-proxy", {"gateway_path": "api/2.0/other"})
    yield get("the assistant's config", PAGES + "assistant/config")
    yield get("the skills", PAGES + "skills")
    yield get("the skills for clients", "/api/3.0/mlflow/skills")
    yield get("the signed-in user", AJAX + "users/current")


SCENARIOS = {"server": server}
