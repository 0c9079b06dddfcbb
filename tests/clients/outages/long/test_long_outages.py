"""PostgreSQL, the artifact store and the server are away for up to 3 minutes, with and without a proxy in front.

`make test-outages` runs this and writes the figures into docs/outages.md; the default run leaves the folder out.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.clients.outages.fleet import Fleet, running_fleet
from tests.clients.outages.outage import Report, report, run_outage
from tests.servers.background import Background, background
from tests.servers.databases import scratch_database
from tests.servers.front import front
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.proxy import proxy
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.servers.s3 import S3Server, s3_server
from tests.servers.web_proxies import PREFIX, web_proxy

Record = Callable[[str, Report], None]
BUCKET = "artifacts"
FOLDER = "runs"


class Site:
    """A server on its own database with a folder for artifacts."""

    def __init__(self, database: str, server: RailtrackServer) -> None:
        self.database = database
        self.server = server

    def read_artifact(self, path: str) -> bytes | None:
        file = self.server.artifacts / path
        return file.read_bytes() if file.exists() else None


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def servers() -> Iterator[Background]:
    with background() as servers:
        yield servers


@contextlib.contextmanager
def running_site(folder: Path, cluster: PostgresCluster, environment: dict[str, str] | None = None) -> Iterator[Site]:
    with (
        scratch_database("postgresql", folder, cluster) as database,
        railtrack_server(folder / "server", database, environment=environment) as server,
    ):
        yield Site(database, server)
        assert "Traceback" not in server.log()


@pytest.fixture
def site(tmp_path: Path, cluster: PostgresCluster) -> Iterator[Site]:
    with running_site(tmp_path, cluster) as site:
        yield site


@pytest.fixture
def fleet(site: Site, tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(site.server.url, tmp_path) as fleet:
        yield fleet


def check(found: Report) -> None:
    assert found.unexpected == []
    assert found.lost == []
    assert found.duplicates == []


@pytest.mark.parametrize("seconds", [60, 180])
def test_postgresql_stops(seconds: int, cluster: PostgresCluster, site: Site, fleet: Fleet, record: Record) -> None:
    outage = run_outage(fleet, cluster.stop, cluster.start, seconds)
    found = report(fleet, outage, site.database, site.read_artifact)
    record(f"PostgreSQL stopped, {seconds} s", found)
    check(found)


@pytest.mark.parametrize("seconds", [20, 60])
def test_postgresql_freezes(seconds: int, cluster: PostgresCluster, site: Site, fleet: Fleet, record: Record) -> None:
    outage = run_outage(fleet, cluster.freeze, cluster.thaw, seconds)
    found = report(fleet, outage, site.database, site.read_artifact)
    record(f"PostgreSQL frozen (SIGSTOP), {seconds} s", found)
    check(found)


@pytest.mark.parametrize("seconds", [30, 180])
def test_the_server_stops(seconds: int, site: Site, fleet: Fleet, record: Record) -> None:
    outage = run_outage(fleet, site.server.stop, site.server.start, seconds)
    found = report(fleet, outage, site.database, site.read_artifact)
    record(f"server stopped, {seconds} s", found)
    check(found)


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_the_server_stops_behind_a_proxy(name: str, cluster: PostgresCluster, tmp_path: Path, record: Record) -> None:
    seconds = 30
    with (
        running_site(tmp_path, cluster, {"MLFLOW_STATIC_PREFIX": PREFIX}) as site,
        web_proxy(name, site.server.port) as edge,
        running_fleet(edge.url, tmp_path, {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(edge.certificate)}) as fleet,
    ):
        outage = run_outage(fleet, site.server.stop, site.server.start, seconds)
        found = report(fleet, outage, site.database, site.read_artifact)
    record(f"server behind `deploy/{name}` stopped, {seconds} s", found)
    check(found)


def test_a_proxy_answers_502(site: Site, servers: Background, tmp_path: Path, record: Record) -> None:
    seconds = 40
    with (
        servers.enter(front(site.server.port)) as edge,
        running_fleet(edge.url, tmp_path) as fleet,
    ):

        def set_broken(status: str) -> None:
            edge.broken = status

        outage = run_outage(fleet, lambda: set_broken("502 Bad Gateway"), lambda: set_broken(""), seconds)
        found = report(fleet, outage._replace(status=502), site.database, site.read_artifact)
    record(f"proxy answers 502, {seconds} s", found)
    check(found)


@pytest.mark.parametrize(
    ("state", "seconds"), [("refuses connections", 75), ("refuses connections", 180), ("hangs", 75)]
)
def test_the_artifact_store_is_away(
    state: str, seconds: int, cluster: PostgresCluster, servers: Background, tmp_path: Path, record: Record
) -> None:
    with (
        s3_server() as s3,
        servers.enter(proxy(urlsplit(s3.url).port or 80)) as between,
        running_site(tmp_path, cluster, artifacts_in(s3, between.port)) as site,
        running_fleet(site.server.url, tmp_path) as fleet,
    ):
        stop, start = (between.hold, between.release) if state == "hangs" else (between.close, between.accept)
        outage = run_outage(fleet, lambda: servers.run(stop()), lambda: servers.run(start()), seconds)
        found = report(fleet, outage, site.database, lambda path: read_object(s3, path))
    record(f"artifact store {state}, {seconds} s", found)
    check(found)


def artifacts_in(s3: S3Server, port: int) -> dict[str, str]:
    """Return settings for artifacts in a new bucket, reached through another port."""
    s3.new_bucket(BUCKET)
    return {
        **s3.environment,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/{FOLDER}",
    }


def read_object(s3: S3Server, path: str) -> bytes | None:
    client = s3.boto()
    try:
        content: bytes = client.get_object(Bucket=BUCKET, Key=f"{FOLDER}/{path}")["Body"].read()
    except client.exceptions.NoSuchKey:
        return None
    return content
