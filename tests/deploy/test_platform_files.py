"""railway.toml, render.yaml and fly.toml: keys that the platforms know, and values that are the code's."""

import tomllib
from pathlib import Path
from typing import Any

import yaml

from railtrack.api import endpoints
from railtrack.config.settings import SETTINGS, load
from railtrack.http_server.processes import GRACE_S

ROOT = Path(__file__).parents[2]
OURS = {name for setting in SETTINGS for name in setting.variables}
DOCKERFILE = "docker/mlflow/Dockerfile"

RAILWAY_BUILD = {
    "builder",
    "buildCommand",
    "dockerfilePath",
    "railpackVersion",
    "watchPatterns",
}
RAILWAY_DEPLOY = {
    "cronSchedule",
    "drainingSeconds",
    "healthcheckPath",
    "healthcheckTimeout",
    "multiRegionConfig",
    "overlapSeconds",
    "preDeployCommand",
    "restartPolicyMaxRetries",
    "restartPolicyType",
    "startCommand",
}
"""What https://docs.railway.com/config-as-code/reference names, as of August 2026."""

RENDER_SERVICE = {
    "autoDeployTrigger",
    "branch",
    "dockerCommand",
    "dockerContext",
    "dockerfilePath",
    "envVars",
    "healthCheckPath",
    "maxShutdownDelaySeconds",
    "name",
    "numInstances",
    "plan",
    "region",
    "runtime",
    "type",
}
"""What https://render.com/docs/blueprint-spec names for a web service made of a Dockerfile."""


def toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text())


def test_railway_json_has_the_settings_of_the_guide() -> None:
    config = toml("railway.toml")
    assert config.keys() == {"build", "deploy"}
    assert config["build"].keys() <= RAILWAY_BUILD
    assert config["deploy"].keys() <= RAILWAY_DEPLOY
    assert config["build"] == {"builder": "DOCKERFILE", "dockerfilePath": DOCKERFILE}
    assert config["deploy"] == {
        "startCommand": "/mlflow/docker-entrypoint.sh",
        "healthcheckPath": "/health",
        "healthcheckTimeout": 30,
        "restartPolicyType": "ON_FAILURE",
        "restartPolicyMaxRetries": 10,
        "drainingSeconds": GRACE_S + 5,
    }
    assert ("GET", config["deploy"]["healthcheckPath"]) in endpoints()


def test_the_script_sets_the_settings_of_the_file() -> None:
    config, script = toml("railway.toml"), (ROOT / "deploy" / "railway.sh").read_text()
    for name, value in config["deploy"].items():
        if name not in ("healthcheckTimeout", "drainingSeconds"):
            assert f"deploy.{name} {value}" in script
    assert f"RAILWAY_HEALTHCHECK_TIMEOUT_SEC={config['deploy']['healthcheckTimeout']} " in script
    assert f"RAILWAY_DEPLOYMENT_DRAINING_SECONDS={config['deploy']['drainingSeconds']}\n" in script
    assert f"RAILWAY_DOCKERFILE_PATH={config['build']['dockerfilePath']} " in script


def test_render_builds_the_image_and_connects_its_database() -> None:
    blueprint = yaml.safe_load((ROOT / "render.yaml").read_text())
    (service,), (database,) = blueprint["services"], blueprint["databases"]
    assert service.keys() <= RENDER_SERVICE
    assert (service["type"], service["runtime"]) == ("web", "docker")
    assert ("GET", service["healthCheckPath"]) in endpoints()
    assert (service["dockerfilePath"], service["dockerContext"]) == (f"./{DOCKERFILE}", ".")
    assert service["maxShutdownDelaySeconds"] >= GRACE_S + 5
    variables = {one["key"]: one for one in service["envVars"]}
    assert variables.keys() <= OURS
    assert variables["MLFLOW_BACKEND_STORE_URI"]["fromDatabase"] == {
        "name": database["name"],
        "property": "connectionString",
    }
    assert database["ipAllowList"] == []
    values = {name: one["value"] for name, one in variables.items() if "value" in one}
    assert load({}, values | {"PORT": "10000"}).server.port == 5000
    assert variables["MLFLOW_AUTH_ADMIN_PASSWORD"]["generateValue"] is True
    assert "RAILTRACK_AUTH" not in variables
    secret = {name for setting in SETTINGS if setting.secret for name in setting.variables}
    assert not secret & values.keys()


def test_fly_connects_to_the_port_of_the_server() -> None:
    config = toml("deploy/fly.toml")
    assert config["env"].keys() <= OURS
    settings = load({}, config["env"])
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", config["http_service"]["internal_port"])
    assert settings.needs_login
    (check,) = config["http_service"]["checks"]
    assert (check["method"], check["path"]) in endpoints()
    assert config["kill_signal"] == "SIGTERM"
    assert int(config["kill_timeout"].removesuffix("s")) >= GRACE_S + 5
    assert config["vm"] == [{"size": "shared-cpu-1x", "memory": "512mb"}]
