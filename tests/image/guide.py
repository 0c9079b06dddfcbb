"""What the deployment guide sets and expects: the variables of its third step, and the log of its fifth."""

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
"""Other lines may stand between these; then gunicorn's follows, which says where it listens."""


@dataclass(frozen=True)
class Services:
    """The database and the bucket of one deployment."""

    database: str
    s3: S3Server

    @property
    def environment(self) -> dict[str, str]:
        """As the guide has it, but for MLFLOW_PORT, which every container of the tests has for itself."""
        return {
            "MLFLOW_BACKEND_STORE_URI": self.database,
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{BUCKET}/mlflow-artifacts",
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_S3_ENDPOINT_URL": self.s3.url,
            "MLFLOW_HOST": "0.0.0.0",
            "GUNICORN_WORKERS": "2",
            "GUNICORN_THREADS": "4",
        }

    def log(self, port: int) -> list[str]:
        """The lines to expect."""
        return LOG.format(address=self.database.rpartition("@")[2], port=port).splitlines()

    @property
    def secrets(self) -> set[str]:
        """What no line may show."""
        password = str(urlsplit(self.database).password)
        return {password, unquote(password), self.s3.access_key, self.s3.secret_key}


def after_one_another(wanted: list[str], lines: Iterator[str]) -> list[str]:
    """What is left of `wanted` when each has been looked for after the one before it. `lines` then goes on there."""
    left = list(wanted)
    while left:
        if (line := next(lines, None)) is None:
            break
        if line == left[0]:
            del left[0]
    return left
