"""The server restarts, and PostgreSQL is away for 20 s: no call of an unmodified client at default settings fails."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.clients.outages.fleet import Fleet, running_fleet
from tests.clients.outages.stored import doubled_creates, doubled_steps, lost
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.railtrack import RailtrackServer, railtrack_server

AWAY_S = 20
RESTARTS = 2


class Site(NamedTuple):
    cluster: PostgresCluster
    server: RailtrackServer
    fleet: Fleet


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One fleet for all outages: starting four clients takes longer than a restart. Ends with a look at the data."""
    folder = tmp_path_factory.mktemp("outages")
    with (
        postgres_cluster() as cluster,
        scratch_database("postgresql", folder, cluster) as database,
        railtrack_server(folder / "server", database) as server,
        running_fleet(server.url, folder) as fleet,
    ):
        yield Site(cluster, server, fleet)
        fleet.finish()
        assert lost(fleet, database, lambda path: _content(server.artifacts / path)) == []
        assert doubled_steps(database) == []
        assert doubled_creates(database) == []


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def test_no_call_fails_while_the_server_restarts(site: Site) -> None:
    began = time.monotonic()
    for _ in range(RESTARTS):
        site.server.stop()
        site.server.start()
        site.fleet.wait_until_each_succeeds(since=time.monotonic())
    assert [str(failure) for failure in site.fleet.failures(began)] == []


def test_no_call_fails_while_postgresql_is_away(site: Site) -> None:
    began = time.monotonic()
    site.cluster.stop()
    time.sleep(AWAY_S)
    site.server.wait_until_healthy(path="/ready", status=503)
    site.cluster.start()
    site.fleet.wait_until_each_succeeds(since=time.monotonic())
    assert [str(failure) for failure in site.fleet.failures(began)] == []
