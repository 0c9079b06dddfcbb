"""The variables of the deployment guide's third step, and the log of its fifth."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from tests.servers.s3 import S3Server

BUCKET = "vision-platform-prod"
LOG = """\
========================================
Starting MLflow Tracking Server
========================================
Backend Store URI: postgresql://postgres:***@{address}
Artifact Root: s3://vision-platform-prod/mlflow-artifacts
Host: 0.0.0.0
Port: {port}
Workers: 2
Threads: 4
Waiting for PostgreSQL to be ready...
PostgreSQL is ready!
AWS credentials detected
Starting MLflow server...
"""
"""Other lines may occur between these. gunicorn's line with the listening address follows."""


@dataclass(frozen=True)
class Services:
    """The database and the bucket of one deployment."""

    database: str
    s3: S3Server

    @property
    def environment(self) -> dict[str, str]:
        """Return the guide's variables without MLFLOW_PORT, which differs by container, and without login."""
        return {
            "MLFLOW_BACKEND_STORE_URI": self.database,
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{BUCKET}/mlflow-artifacts",
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_S3_ENDPOINT_URL": self.s3.url,
            "MLFLOW_HOST": "0.0.0.0",
            "GUNICORN_WORKERS": "2",
            "GUNICORN_THREADS": "4",
            "RAILTRACK_AUTH": "off",
        }

    def log(self, port: int) -> list[str]:
        """Return the expected lines."""
        return LOG.format(address=self.database.rpartition("@")[2], port=port).splitlines()

    @property
    def secrets(self) -> set[str]:
        """Return the values that no line may contain."""
        password = str(urlsplit(self.database).password)
        return {password, unquote(password), self.s3.access_key, self.s3.secret_key}


def missing_in_order(wanted: list[str], lines: Iterator[str]) -> list[str]:
    """Return the `wanted` lines that do not occur in order. Consumes `lines` up to the last one that does."""
    left = list(wanted)
    while left:
        if (line := next(lines, None)) is None:
            break
        if line == left[0]:
            del left[0]
    return left
