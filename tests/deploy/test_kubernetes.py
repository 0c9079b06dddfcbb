"""The manifests in deploy/kubernetes: their probes, ports, names and variables are those of the code."""

from pathlib import Path
from typing import Any

import yaml

from railtrack.api import endpoints
from railtrack.config.settings import SETTINGS, load
from railtrack.db.url import parse_database_url
from railtrack.http_server.processes import GRACE_S

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OURS = {name for setting in SETTINGS for name in setting.variables}


def manifest(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


DEPLOYMENT = manifest("deployment.yaml")["spec"]
POD = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
SECRET = manifest("secret.example.yaml")


def environment() -> dict[str, str]:
    return {**SECRET["stringData"], **{one["name"]: one["value"] for one in CONTAINER["env"]}}


def test_all_manifests_except_the_example_are_applied() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(manifest("kustomization.yaml")["resources"]) == files


def test_the_settings_of_the_deployment_are_valid() -> None:
    given = environment()
    assert given.keys() <= OURS
    assert all(isinstance(text, str) for text in given.values())
    settings = load({}, given)
    assert parse_database_url(settings.database.uri).engine == "postgresql"
    assert settings.artifacts.default_root == settings.artifacts.destination
    assert settings.artifacts.default_root.startswith("s3://")
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", CONTAINER["ports"][0]["containerPort"])
    assert settings.needs_login
    assert settings.auth.admin_password
    assert CONTAINER["envFrom"] == [{"secretRef": {"name": SECRET["metadata"]["name"]}}]


def test_the_probes_use_existing_routes() -> None:
    asked = {kind: CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in asked.items()} == {
        "startup": "/health",
        "liveness": "/health",
        "readiness": "/ready",
    }
    assert all(("GET", probe["path"]) in endpoints() for probe in asked.values())
    assert {probe["port"] for probe in asked.values()} == {CONTAINER["ports"][0]["name"]}


def test_the_startup_probe_allows_for_the_wait_for_postgresql() -> None:
    probe = CONTAINER["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= load({}, environment()).database.wait_s + 30


def test_requests_in_progress_end_before_the_kill() -> None:
    paused = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["terminationGracePeriodSeconds"] >= paused + GRACE_S + 5


def test_a_service_called_mlflow_sets_no_port() -> None:
    assert manifest("service.yaml")["metadata"]["name"] == "mlflow"
    assert POD["enableServiceLinks"] is False


def test_a_rolling_update_keeps_all_replicas_available() -> None:
    assert DEPLOYMENT["replicas"] >= 2
    assert DEPLOYMENT["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert manifest("disruption-budget.yaml")["spec"]["minAvailable"] == 1


def test_all_manifests_select_the_same_pods() -> None:
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    assert DEPLOYMENT["selector"]["matchLabels"] == labels
    assert manifest("service.yaml")["spec"]["selector"] == labels
    assert manifest("disruption-budget.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("service.yaml")["spec"]["ports"][0]["targetPort"] == CONTAINER["ports"][0]["name"]


def test_the_container_has_no_unneeded_privileges() -> None:
    assert POD["securityContext"] | {"runAsNonRoot": True, "runAsUser": 1000} == POD["securityContext"]
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert CONTAINER["resources"]["limits"] == {"memory": "512Mi"}
    mounted = {one["name"]: one["mountPath"] for one in CONTAINER["volumeMounts"]}
    assert mounted == {"data": "/mlflow/data", "tmp": "/tmp"}
    assert {volume["name"] for volume in POD["volumes"]} == mounted.keys()


def test_secrets_are_in_the_secret_only() -> None:
    secret = {name for setting in SETTINGS if setting.secret for name in setting.variables}
    assert SECRET["stringData"].keys() <= secret
    assert not secret & {one["name"] for one in CONTAINER["env"]}
