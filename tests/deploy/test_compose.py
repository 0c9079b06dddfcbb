"""compose.yaml: what it hands to the server is what was meant, and its services fit each other."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.servers.processes import TIMEOUT_S

from railtrack.artifacts import ArtifactStores
from railtrack.config.settings import SETTINGS, load
from railtrack.db.url import parse_database_url
from railtrack.http_server.processes import GRACE_S

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name for setting in SETTINGS for name in setting.variables}


def substituted(text: str, environ: dict[str, str]) -> str:
    """Replace ${NAME:-default} as Compose does."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: environ.get(found[1]) or found[2], text)


def environment(service: str, **environ: str) -> dict[str, str]:
    return {name: substituted(text, environ) for name, text in SERVICES[service]["environment"].items()}


def test_the_server_uses_the_database_and_the_store_of_compose() -> None:
    given = environment("mlflow")
    assert given.keys() <= OURS
    settings = load({}, given)
    url = parse_database_url(settings.database.uri)
    database = environment("postgres")
    assert (url.host, url.port) == ("postgres", 5432)
    assert (url.user, url.password) == (database["POSTGRES_USER"], database["POSTGRES_PASSWORD"])
    assert url.database == database["POSTGRES_DB"]
    assert (settings.server.host, settings.server.port, settings.server.workers, settings.server.threads) == (
        "0.0.0.0",
        5000,
        2,
        4,
    )
    assert settings.s3.endpoint == "http://minio:9000"
    keys = environment("minio")
    assert settings.aws.access_key_id == keys["MINIO_ROOT_USER"]
    assert settings.aws.secret_access_key == keys["MINIO_ROOT_PASSWORD"]
    assert len(keys["MINIO_ROOT_PASSWORD"]) >= 8  # MinIO wants that


def test_podman_compose_reads_it_as_meant(tmp_path: Path) -> None:
    program = ROOT / ".cache" / "helm" / "bin" / "podman-compose"
    if not program.exists():
        pytest.fail("podman-compose is not installed. Run `make .cache/helm/.ready`.", pytrace=False)
    podman = tmp_path / "podman"  # of which only the version is asked
    podman.write_text("#!/bin/sh\necho podman version 5.4.0\n")
    podman.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "POSTGRES_PASSWORD": "one", "HOME": str(tmp_path)}
    command = [str(program), "-f", str(ROOT / "compose.yaml"), "config"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert services.keys() == SERVICES.keys()
    for name in ("mlflow", "postgres", "minio", "bucket"):
        assert services[name]["environment"] == environment(name, POSTGRES_PASSWORD="one")
    assert services["mlflow"]["depends_on"]["bucket"] == {"condition": "service_completed_successfully"}
    assert (ROOT / services["mlflow"]["build"]["context"] / services["mlflow"]["build"]["dockerfile"]).exists()


def test_changed_passwords_reach_the_server_and_the_services() -> None:
    others = {"POSTGRES_PASSWORD": "one", "MINIO_ROOT_USER": "two", "MINIO_ROOT_PASSWORD": "three"}
    settings = load({}, environment("mlflow", **others))
    assert parse_database_url(settings.database.uri).password == "one"
    assert (settings.aws.access_key_id, settings.aws.secret_access_key) == ("two", "three")
    assert environment("postgres", **others)["POSTGRES_PASSWORD"] == "one"
    assert environment("minio", **others) == environment("bucket", **others)


def test_there_is_no_login_on_this_machine_unless_it_is_turned_on() -> None:
    assert not load({}, environment("mlflow")).needs_login
    settings = load({}, environment("mlflow", RAILTRACK_AUTH="on"))
    assert settings.needs_login
    assert len(settings.auth.admin_password) >= 12


def test_the_created_bucket_is_the_one_in_use() -> None:
    stores = ArtifactStores(load({}, environment("mlflow")))
    assert {store.bucket.name for store in stores.buckets()} == {"mlflow-artifacts"}
    (command,) = SERVICES["bucket"]["command"]
    assert "mc mb --ignore-existing store/mlflow-artifacts\n" in command
    assert "http://minio:9000" in command
    assert not re.search(r"(?<!\$)\$[A-Z{]", command), "Compose would put in variables of this machine"


def test_the_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert {port.rpartition(":")[0] for port in ports} >= {"127.0.0.1:5000", "127.0.0.1:9000"}
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_service_waits_for_those_it_needs() -> None:
    assert SERVICES["mlflow"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "bucket": {"condition": "service_completed_successfully"},
    }
    assert SERVICES["bucket"]["depends_on"] == {"minio": {"condition": "service_healthy"}}
    assert SERVICES["postgres"]["healthcheck"]["test"][1] == "pg_isready"
    assert SERVICES["minio"]["healthcheck"]["test"][1:] == ["mc", "ready", "local"]


def test_the_server_has_the_memory_and_stop_time_of_the_guide() -> None:
    assert SERVICES["mlflow"]["mem_limit"] == SERVICES["mlflow"]["memswap_limit"] == "512m"
    assert int(SERVICES["mlflow"]["stop_grace_period"].removesuffix("s")) >= GRACE_S + 5


def test_persistent_data_is_in_declared_volumes() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert used == set(COMPOSE["volumes"]) == {"postgres", "minio"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_has_a_version(service: str) -> None:
    name, _, tag = SERVICES[service]["image"].rpartition(":")
    assert name
    assert tag != "latest"
    assert "/" not in tag
