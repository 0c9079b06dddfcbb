"""No call of an unmodified client at default settings fails while the server restarts or PostgreSQL is away for 20 s.

Longer outages, also of the artifact store and behind a proxy, are in long/ (`make test-outages`).
"""

import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from tests.clients.outages.fleet import Fleet, running_fleet
from tests.clients.outages.outage import run_outage
from tests.clients.outages.stored import duplicates, lost_writes
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.processes import wait_until
from tests.servers.railtrack import RailtrackServer, railtrack_server

AWAY_S = 20
RESTARTS = 2
WAITING = "Waiting for PostgreSQL to be ready..."


class Site(NamedTuple):
    cluster: PostgresCluster
    server: RailtrackServer
    fleet: Fleet


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Share one fleet, because starting it takes longer than a restart. Check the stored data at the end."""
    folder = tmp_path_factory.mktemp("outages")
    with (
        postgres_cluster() as cluster,
        scratch_database("postgresql", folder, cluster) as database,
        railtrack_server(folder / "server", database) as server,
        running_fleet(server.url, folder) as fleet,
    ):
        yield Site(cluster, server, fleet)
        fleet.stop()
        assert lost_writes(fleet, database, lambda path: (server.artifacts / path).read_bytes()) == []
        assert duplicates(database) == []
        assert "Traceback" not in server.log()


def test_the_clients_retry_as_docs_outages_md_describes(site: Site) -> None:
    clients = {client.version: client for client in site.fleet.clients}
    windows = {version: client.policy("log_metric").window_s for version, client in clients.items()}
    assert windows == {"3.18.0": 244, "3.17.2": 244, "3.1.0": 244, "2.9.2": 60}
    assert {client.policy("create_run").window_s for client in clients.values()} == {244, 60}
    newest = clients.pop("3.18.0")
    assert newest.policy("create_run").retried_statuses == [408, 429]
    statuses = newest.policy("log_metric").retried_statuses
    assert {429, 502, 503} <= set(statuses)
    assert all(client.policy("create_run").retried_statuses == statuses for client in clients.values())


def test_no_call_fails_while_the_server_restarts(site: Site) -> None:
    began = time.monotonic()
    for _ in range(RESTARTS):
        run_outage(site.fleet, site.server.stop, site.server.start, seconds=0)
    assert [str(failed) for failed in site.fleet.failed_calls(began)] == []


def test_no_call_fails_while_postgresql_is_away(site: Site) -> None:
    def start() -> None:
        site.server.wait_until_healthy(path="/ready", status=503)
        site.cluster.start()

    outage = run_outage(site.fleet, site.cluster.stop, start, AWAY_S)
    assert [str(failed) for failed in site.fleet.failed_calls(outage.began)] == []


def test_no_call_fails_while_the_server_starts_before_postgresql(site: Site) -> None:
    earlier = site.server.log().count(WAITING)

    def stop() -> None:
        site.server.stop()
        site.cluster.stop()
        site.server.launch()

    def start() -> None:
        wait_until(lambda: site.server.log().count(WAITING) > earlier, site.server.log)
        with pytest.raises(ConnectionRefusedError):  # a start that fails would cut off an accepted one
            socket.create_connection(("127.0.0.1", site.server.port))
        site.cluster.start()
        site.server.wait_until_healthy()

    outage = run_outage(site.fleet, stop, start, seconds=0)
    assert [str(failed) for failed in site.fleet.failed_calls(outage.began)] == []
