"""Fixtures for image tests: PostgreSQL, S3, and the image, built once from a copy of the sources with added secrets."""

import shutil
from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.image.guide import BUCKET, Services
from tests.servers.databases import scratch_database
from tests.servers.image import ROOT, Image, built_image
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.s3 import S3Server, s3_server

NOT_SOURCES = shutil.ignore_patterns(".git", ".venv", ".cache", "_ui*", "__pycache__", "railtrack-data", "recorded")
SECRET = f"secret-{uuid4().hex}"
"""Occurs in files of the build context and in variables of the build, and must not occur in the image."""

FILES_WITH_SECRETS = (
    ".env",
    ".git/config",
    "railtrack-data/mlflow.db",
    "src/railtrack/.env",
    "src/railtrack/.env.local",
    "docker/mlflow/.env",
    "tools/.env",
)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    context = tmp_path_factory.mktemp("context") / "railtrack"
    shutil.copytree(ROOT, context, ignore=NOT_SOURCES, symlinks=True)
    for file in FILES_WITH_SECRETS:
        (context / file).parent.mkdir(parents=True, exist_ok=True)
        (context / file).write_text(SECRET)
    environ = dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "MLFLOW_BACKEND_STORE_URI", "UV_PUBLISH_TOKEN"), SECRET)
    with built_image(context, environ) as image:
        yield image


@pytest.fixture(scope="session")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster(fsync=False, password=f"it's {uuid4().hex}") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.new_bucket(BUCKET)
        yield server


@pytest.fixture(scope="module")
def services(cluster: PostgresCluster, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with scratch_database("postgresql", tmp_path_factory.mktemp("database"), cluster) as database:
        yield Services(database, s3)
