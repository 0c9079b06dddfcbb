"""The settings that result from the environments of common platforms."""

from dataclasses import dataclass, field

import pytest

from railtrack.artifacts.s3.factory import region_of
from railtrack.config.lookup import warnings
from railtrack.config.settings import load, resolve_all
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError
from railtrack.http_server.processes import addresses

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}
GUIDE = {
    "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://vision-platform-prod/mlflow-artifacts",
    "MLFLOW_HOST": "0.0.0.0",
    "MLFLOW_PORT": "5000",
    "GUNICORN_WORKERS": "2",
    "GUNICORN_THREADS": "4",
    **KEYS,
}
RAILWAY = {
    "RAILWAY_PROJECT_ID": "c2a9",
    "RAILWAY_ENVIRONMENT_ID": "f00d",
    "RAILWAY_SERVICE_ID": "beef",
    "RAILWAY_PUBLIC_DOMAIN": "mlflow-service-production-1a2b.up.railway.app",
}
RAILWAY_DATABASE = "postgresql://postgres:pw@postgres.railway.internal:5432/railway"
R2 = "https://0123456789abcdef.r2.cloudflarestorage.com"


@dataclass(frozen=True)
class Deployment:
    environ: dict[str, str]
    ports: list[int]
    database: str
    root: str = "s3://vision-platform-prod/mlflow-artifacts"
    destination: str = "/mlflow/data/mlartifacts"
    endpoint: str = ""
    region: str = "us-east-1"
    host: str = "0.0.0.0"
    warnings: list[str] = field(default_factory=list)


DEPLOYMENTS = {
    "Railway, the guide with Amazon's S3": Deployment(
        {**RAILWAY, **GUIDE, "MLFLOW_BACKEND_STORE_URI": RAILWAY_DATABASE, "AWS_S3_ENDPOINT_URL": ""},
        ports=[5000],
        database="postgresql://postgres:***@postgres.railway.internal:5432/railway",
    ),
    "Railway with its own PORT and Cloudflare R2": Deployment(
        {**RAILWAY, **GUIDE, "PORT": "8080", "MLFLOW_BACKEND_STORE_URI": RAILWAY_DATABASE, "AWS_S3_ENDPOINT_URL": R2},
        ports=[5000, 8080],
        database="postgresql://postgres:***@postgres.railway.internal:5432/railway",
        endpoint=R2,
        region="auto",
    ),
    "Railway with Backblaze B2 and the database's own variable": Deployment(
        {
            **RAILWAY,
            **GUIDE,
            "DATABASE_URL": RAILWAY_DATABASE,
            "AWS_S3_ENDPOINT_URL": "https://s3.us-west-002.backblazeb2.com/",
        },
        ports=[5000],
        database="postgresql://postgres:***@postgres.railway.internal:5432/railway",
        endpoint="https://s3.us-west-002.backblazeb2.com",
        region="us-west-002",
    ),
    "Railway with its own bucket, clients without credentials": Deployment(
        {
            **RAILWAY,
            **KEYS,
            "PORT": "8080",
            "MLFLOW_HOST": "::",
            "DATABASE_URL": RAILWAY_DATABASE,
            "MLFLOW_ARTIFACTS_DESTINATION": "s3://stuffed-bucket-1a2b",
            "AWS_ENDPOINT_URL": "https://storage.railway.app",
            "AWS_DEFAULT_REGION": "auto",
        },
        ports=[5000, 8080],
        database="postgresql://postgres:***@postgres.railway.internal:5432/railway",
        root="mlflow-artifacts:/",
        destination="s3://stuffed-bucket-1a2b",
        endpoint="https://storage.railway.app",
        region="auto",
        host="::",
    ),
    "Render": Deployment(
        {
            **GUIDE,
            "RENDER": "true",
            "PORT": "10000",
            "DATABASE_URL": "postgresql://mlflow:pw@dpg-abc123-a/mlflow_x1",
            "AWS_REGION": "eu-central-1",
        },
        ports=[5000, 10000],
        database="postgresql://mlflow:***@dpg-abc123-a:5432/mlflow_x1",
        region="eu-central-1",
    ),
    "Fly, with a volume": Deployment(
        {
            "FLY_APP_NAME": "tracking",
            "MLFLOW_HOST": "0.0.0.0",
            "PORT": "8080",
            "MLFLOW_PORT": "8080",
            "DATABASE_URL": "postgres://tracking:pw@tracking-db.flycast:5432/tracking?sslmode=disable",
        },
        ports=[8080],
        database="postgresql://tracking:***@tracking-db.flycast:5432/tracking",
        root="mlflow-artifacts:/",
    ),
    "Heroku": Deployment(
        {
            **GUIDE,
            "DYNO": "web.1",
            "PORT": "41532",
            "DATABASE_URL": "postgres://u4f:p%40ss@ec2-52-1-2-3.compute-1.amazonaws.com:5432/d8k",
        },
        ports=[5000, 41532],
        database="postgresql://u4f:***@ec2-52-1-2-3.compute-1.amazonaws.com:5432/d8k",
    ),
    "docker run --env-file, which keeps quotes": Deployment(
        {
            "MLFLOW_HOST": '"0.0.0.0"',
            "MLFLOW_PORT": "'5000'",
            "MLFLOW_BACKEND_STORE_URI": '"postgresql://me:pw@db/mlflow"',
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": '"s3://vision-platform-prod/mlflow-artifacts"',
            "AWS_ACCESS_KEY_ID": '"AKIAEXAMPLE"',
            "AWS_SECRET_ACCESS_KEY": "c2VjcmV0\n",
            "AWS_S3_ENDPOINT_URL": '""',
        },
        ports=[5000],
        database="postgresql://me:***@db:5432/mlflow",
    ),
    "docker compose with MinIO": Deployment(
        {
            "MLFLOW_HOST": "0.0.0.0",
            "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg2://mlflow:mlflow@postgres:5432/mlflow",
            "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/artifacts",
            "MLFLOW_S3_ENDPOINT_URL": "http://minio:9000",
            **KEYS,
        },
        ports=[5000],
        database="postgresql://mlflow:***@postgres:5432/mlflow",
        root="mlflow-artifacts:/",
        destination="s3://mlflow/artifacts",
        endpoint="http://minio:9000",
    ),
    "Kubernetes, beside a Service named mlflow": Deployment(
        {
            **GUIDE,
            "MLFLOW_PORT": "tcp://10.96.7.3:5000",
            "MLFLOW_PORT_5000_TCP": "tcp://10.96.7.3:5000",
            "MLFLOW_SERVICE_HOST": "10.96.7.3",
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
            "MLFLOW_BACKEND_STORE_URI": "postgresql://mlflow:pw@postgres.data.svc/mlflow",
        },
        ports=[5000],
        database="postgresql://mlflow:***@postgres.data.svc:5432/mlflow",
        warnings=[
            "MLFLOW_PORT: ignoring tcp://10.96.7.3:5000, which Kubernetes sets for a Service of that name. To keep it "
            "from doing so, set enableServiceLinks: false in the pod's spec."
        ],
    ),
    "a variable left empty by docker compose": Deployment(
        {"MLFLOW_BACKEND_STORE_URI": "", "MLFLOW_HOST": "0.0.0.0"},
        ports=[5000],
        database="sqlite:////mlflow/data/mlflow.db",
        root="mlflow-artifacts:/",
        warnings=["MLFLOW_BACKEND_STORE_URI is set, but empty. Using SQLite in the data folder."],
    ),
}


@pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_the_settings_from_the_environment_of_a_platform_are_right(deployment: Deployment) -> None:
    environ = {"RAILTRACK_DATA": "/mlflow/data", **deployment.environ}
    settings = load({}, environ)
    assert sorted({port for _, port, _ in addresses(settings)}) == deployment.ports
    assert settings.server.host == deployment.host
    assert settings.needs_login
    assert ("100.64.0.0/10" in settings.server.trusted_proxies) is ("RAILWAY_SERVICE_ID" in environ)
    assert parse_database_url(settings.database.uri).masked == deployment.database
    assert (settings.artifacts.default_root, settings.artifacts.destination) == (
        deployment.root,
        deployment.destination,
    )
    assert (settings.s3.endpoint, region_of(settings)) == (deployment.endpoint, deployment.region)
    assert warnings(resolve_all({}, environ)) == deployment.warnings
    if "AWS_ACCESS_KEY_ID" in environ:
        assert (settings.aws.access_key_id, settings.aws.secret_access_key) == ("AKIAEXAMPLE", "c2VjcmV0")


@pytest.mark.parametrize("name", ["MLFLOW_BACKEND_STORE_URI", "DATABASE_URL"])
def test_an_unresolved_reference_on_railway_does_not_lead_to_sqlite(name: str) -> None:
    with pytest.raises(
        StartError, match=rf"^{name} is empty: the reference in it, such as .* was not resolved\. Check"
    ):
        load({}, {**RAILWAY, name: ""})
    assert load({}, {**RAILWAY, "MLFLOW_BACKEND_STORE_URI": "", "DATABASE_URL": RAILWAY_DATABASE})
    assert load({}, RAILWAY).database.uri.startswith("sqlite:")
