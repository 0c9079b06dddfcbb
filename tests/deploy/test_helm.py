"""deploy/helm/railtrack, rendered by Helm: valid for Kubernetes, equal to deploy/kubernetes, and safe by default."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.servers.processes import TIMEOUT_S

from railtrack.config.settings import SETTINGS, load

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "railtrack"
PROGRAM = ROOT / "tests" / "servers" / "helm_program.py"
PYTHON = ROOT / ".cache" / "helm" / "bin" / "python"
OURS = {name for setting in SETTINGS for name in setting.variables}
S3 = {"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://bucket/a", "MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/a"}
IMAGE = {"repository": "registry.example.com/railtrack"}
POSTGRESQL = "postgresql://mlflow:password@postgres:5432/mlflow"
(GUIDE,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "platforms.md").read_text(), re.M | re.S)
VALUES: dict[str, dict[str, Any]] = {
    "guide": yaml.safe_load(GUIDE),
    "sqlite": {"image": IMAGE, "persistence": {"enabled": True}},
    "replicas": {
        "image": {**IMAGE, "tag": "1.2.3"},
        "replicaCount": 2,
        "secret": {"MLFLOW_BACKEND_STORE_URI": POSTGRESQL, "MLFLOW_AUTH_ADMIN_PASSWORD": "a long password"},
        "env": S3,
    },
    "all": {
        "image": IMAGE,
        "imagePullSecrets": [{"name": "registry"}],
        "replicaCount": 3,
        "existingSecret": "tracking-secrets",
        "env": {**S3, "RAILTRACK_DB_WAIT_S": "30"},
        "auth": "on",
        "staticPrefix": "/mlflow",
        "trustedProxies": "10.0.0.0/8",
        "service": {"type": "LoadBalancer", "port": 80, "annotations": {"a": "b"}},
        "ingress": {"enabled": True, "className": "nginx", "host": "ml.example.com", "tlsSecret": "ml-tls"},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/a"}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "vision"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "ml", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
        ],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    },
    "claim": {"image": IMAGE, "auth": "off", "persistence": {"enabled": True, "existingClaim": "runs"}},
}
REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "no image": ({"persistence": {"enabled": True}}, "image.repository: build the image"),
    "no database": ({"image": IMAGE}, "There is no database: set secret.MLFLOW_BACKEND_STORE_URI or existingSecret"),
    "replicas on SQLite": (
        {"image": IMAGE, "replicaCount": 2, "persistence": {"enabled": True}, "env": S3},
        "needs PostgreSQL and no volume",
    ),
    "SQLite without a volume": (
        {"image": IMAGE, "secret": {"MLFLOW_BACKEND_STORE_URI": "sqlite:////mlflow/data/a.db"}},
        "There is no database",
    ),
    "artifacts of each replica": (
        {"image": IMAGE, "replicaCount": 2, "existingSecret": "a"},
        "set env.MLFLOW_ARTIFACTS_DESTINATION to s3://bucket/prefix",
    ),
    "unknown value": ({"image": IMAGE, "replicas": 2}, "additional properties 'replicas' not allowed"),
    "unknown value below": ({"image": {**IMAGE, "name": "a"}}, "additional properties 'name' not allowed"),
    "short password": (
        {"image": IMAGE, "secret": {"MLFLOW_AUTH_ADMIN_PASSWORD": "short"}},
        "does not match pattern",
    ),
    "number as a variable": ({"image": IMAGE, "env": {"RAILTRACK_DB_WAIT_S": 30}}, "want string"),
    "invalid auth": ({"image": IMAGE, "auth": "basic"}, "auth"),
}


@pytest.fixture(scope="module")
def helm() -> Any:
    if not PYTHON.exists():
        pytest.fail("Helm is not installed. Run `make .cache/helm/.ready`.", pytrace=False)
    values = {**VALUES, **{name: values for name, (values, _) in REJECTED.items()}}
    done = subprocess.run(
        [str(PYTHON), str(PROGRAM)],
        input=json.dumps({"chart": str(CHART), "values": values}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def manifests(helm: Any, name: str) -> dict[str, Any]:
    found = helm["rendered"][name]
    assert "error" not in found, found
    kept: dict[str, Any] = found["manifests"]
    return kept


def pod(helm: Any, name: str) -> Any:
    return manifests(helm, name)["deployment.yaml"]["spec"]["template"]["spec"]


def environment(helm: Any, name: str) -> dict[str, str]:
    """Return the variables of the server, with those of the chart's Secret."""
    (container,) = pod(helm, name)["containers"]
    secret = manifests(helm, name).get("secret.yaml", {}).get("stringData") or {}
    return {**secret, **{one["name"]: one["value"] for one in container["env"]}}


@pytest.mark.parametrize("name", VALUES)
def test_the_manifests_are_valid_for_kubernetes(helm: Any, name: str) -> None:
    assert "deployment.yaml" in manifests(helm, name)
    assert helm["rendered"][name]["invalid"] == []


def test_helm_reports_nothing(helm: Any) -> None:
    reported = [one for one in helm["lint"] if "icon is recommended" not in str(one)]
    assert reported == []


@pytest.mark.parametrize("name", REJECTED)
def test_values_that_would_fail_or_lose_data_are_rejected(helm: Any, name: str) -> None:
    assert REJECTED[name][1] in helm["rendered"][name]["error"]


def test_the_server_gets_its_settings(helm: Any) -> None:
    given = environment(helm, "replicas")
    assert given.keys() <= OURS
    settings = load({}, given)
    assert settings.database.uri == POSTGRESQL
    assert settings.artifacts.default_root == "s3://bucket/a"
    assert (settings.server.host, settings.server.port, settings.needs_login) == ("0.0.0.0", 5000, True)
    assert "AWS_ACCESS_KEY_ID" not in given  # an empty variable would override a role
    settings = load({}, environment(helm, "all"))
    assert settings.server.static_prefix == "/mlflow"
    assert settings.server.trusted_proxies == ("10.0.0.0/8",)
    assert load({}, environment(helm, "sqlite")).needs_login
    assert not load({}, environment(helm, "claim")).needs_login


def test_secrets_are_in_a_secret_only(helm: Any) -> None:
    texts = {name: json.dumps(manifest) for name, manifest in manifests(helm, "replicas").items()}
    assert [name for name, text in texts.items() if "password" in text] == ["secret.yaml"]
    assert "password@" not in helm["rendered"]["replicas"]["notes"]
    assert "a long password" not in helm["rendered"]["replicas"]["notes"]
    assert "secret.yaml" not in manifests(helm, "all")
    (container,) = pod(helm, "all")["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "tracking-secrets"}}]


def test_the_pod_is_that_of_the_manifests_without_helm(helm: Any) -> None:
    plain = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "deployment.yaml").read_text())["spec"]
    ours = manifests(helm, "replicas")["deployment.yaml"]["spec"]
    assert (ours["replicas"], ours["strategy"]) == (plain["replicas"], plain["strategy"])
    plain_pod, our_pod = plain["template"]["spec"], ours["template"]["spec"]
    assert {**our_pod, "containers": []} == {**plain_pod, "serviceAccountName": "mlflow", "containers": []}
    (container,), (plain_container,) = our_pod["containers"], plain_pod["containers"]
    own = {"image", "imagePullPolicy", "env", "envFrom"}
    assert {name: value for name, value in container.items() if name not in own} == {
        name: value for name, value in plain_container.items() if name not in own
    }
    assert container["image"] == "registry.example.com/railtrack:1.2.3"


def test_a_volume_is_kept_and_used_by_one_pod_at_a_time(helm: Any) -> None:
    found = manifests(helm, "sqlite")
    assert found["deployment.yaml"]["spec"]["strategy"] == {"type": "Recreate"}
    claim = found["persistentvolumeclaim.yaml"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    data = next(one for one in pod(helm, "sqlite")["volumes"] if one["name"] == "data")
    assert data["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert "persistentvolumeclaim.yaml" not in manifests(helm, "claim")
    assert "poddisruptionbudget.yaml" not in found
    assert "poddisruptionbudget.yaml" in manifests(helm, "replicas")


def test_service_and_ingress_lead_to_the_pods(helm: Any) -> None:
    found = manifests(helm, "all")
    labels = found["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert found["service.yaml"]["spec"]["selector"].items() <= labels.items()
    assert found["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (rule,) = found["ingress.yaml"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"]) == ("ml.example.com", "/mlflow")
    assert path["backend"]["service"] == {"name": found["service.yaml"]["metadata"]["name"], "port": {"name": "http"}}
    assert found["ingress.yaml"]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"


def test_the_notes_name_the_url_and_the_login(helm: Any) -> None:
    notes = {name: helm["rendered"][name]["notes"] for name in VALUES}
    assert "MLFLOW_TRACKING_URI=http://mlflow.tracking:80/mlflow" in notes["all"]
    assert "https://ml.example.com/mlflow" in notes["all"]
    assert "of the Secret tracking-secrets" in notes["all"]
    assert "The first start logs the password of the user admin: kubectl logs" in notes["sqlite"]
    assert "There is no login" in notes["claim"]
