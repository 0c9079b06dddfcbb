"""A read replica: what reads it, who always reads the primary, and what happens while it is away or behind."""

import asyncio
import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.processes import wait_until
from tests.servers.railtrack import RailtrackServer, command

from railtrack.api import endpoints
from railtrack.app import REPLICATED

OTHER = "127.0.0.2"
"""The address of a client that changes nothing."""


class Setup:
    """A primary, its standby, and a server that uses both."""

    def __init__(self, primary: PostgresCluster, standby: PostgresCluster, server: RailtrackServer) -> None:
        self.primary = primary
        self.standby = standby
        self.server = server

    def call(self, method: str, path: str, body: Any = None, source: str = "127.0.0.1") -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60, source_address=(source, 0))
        with contextlib.closing(connection):
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/api/2.0/mlflow/{path}", content, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status == 200, answer
        return answer

    def name(self, experiment: str, source: str = "127.0.0.1") -> str:
        path = f"experiments/get?experiment_id={experiment}"
        name: str = self.call("GET", path, source=source)["experiment"]["name"]
        return name

    async def on_standby(self, statement: str) -> Any:
        connection = await asyncpg.connect(self.standby.url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


@pytest.fixture
def setup(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    with postgres_cluster(fsync=False) as primary:
        folder = Path(primary._folder) / "standby"
        folder.mkdir()
        standby = primary.standby(folder)
        standby.start()
        environ = {"MLFLOW_READ_REPLICA_BACKEND_STORE_URI": standby.url, "RAILTRACK_REPLICA_MAX_LAG_S": "60"}
        server = RailtrackServer(
            tmp_path, primary.url, {**environ, "GUNICORN_WORKERS": "2"}, {"railtrack.db.read_replica.REQUEST_S": 1.0}
        )
        server.start()
        try:
            yield Setup(primary, standby, server)
        finally:
            server.stop()
            standby.stop("immediate")


def newest(setup: Setup, source: str) -> str:
    found = setup.call("POST", "experiments/search", {"max_results": 1}, source)["experiments"]
    return str(found[0]["name"])


def test_only_requests_that_change_nothing_may_read_the_replica() -> None:
    assert REPLICATED - {route.name for route in endpoints().values() if route.is_read} == set()


@pytest.mark.slow
def test_reads_go_to_the_replica_except_those_of_a_client_that_just_wrote(setup: Setup) -> None:
    log = setup.server.log
    wait_until(lambda: log().count("Reads go to the read replica.") >= 2, log)
    experiment = setup.call("POST", "experiments/create", {"name": "before"})["experiment_id"]
    wait_until(lambda: asyncio.run(setup.on_standby("SELECT count(*) FROM experiments WHERE name = 'before'")) == 1)
    asyncio.run(setup.on_standby("SELECT pg_wal_replay_pause()"))
    setup.call("POST", "experiments/update", {"experiment_id": experiment, "new_name": "after"})
    for _ in range(20):  # of both workers
        assert setup.name(experiment) == "after"
    wait_until(lambda: setup.name(experiment, OTHER) == "before", log)  # read from the replica, which is behind
    wait_until(lambda: newest(setup, OTHER) == "before", log)

    asyncio.run(setup.on_standby("SELECT pg_wal_replay_resume()"))
    wait_until(lambda: setup.name(experiment, OTHER) == "after", log)

    checked = command(setup.server.folder, "doctor", **setup.server.environment).stdout
    assert re.search(r"ok +read replica +postgresql://postgres@127.0.0.1:\d+/postgres, [\d,]+ bytes behind", checked)

    setup.standby.stop("immediate")
    for _ in range(20):
        assert setup.name(experiment, OTHER) == "after"
        assert setup.name(experiment) == "after"
    run = setup.call("POST", "runs/create", {"experiment_id": experiment}, OTHER)["run"]["info"]["run_id"]
    setup.call("POST", "runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1}, OTHER)
    assert setup.call("GET", f"runs/get?run_id={run}", source=OTHER)["run"]["data"]["metrics"][0]["value"] == 1
    wait_until(lambda: log().count("Reads go to the backend store, not to the read replica: ") >= 2, log)

    setup.standby.start()
    wait_until(lambda: log().count("Reads go to the read replica.") >= 4, log)
    assert setup.name(experiment, OTHER) == "after"


@pytest.mark.parametrize(
    ("backend", "replica", "message"),
    [
        ("sqlite:///a.db", "postgresql://u:secret@db/mlflow", "only PostgreSQL can have a read replica. Leave it out."),
        ("postgresql://db/mlflow", "sqlite:///b.db", "only PostgreSQL can have a read replica. Leave it out."),
        ("postgresql://db/mlflow", "mysql://u:secret@db/mlflow", "MySQL is not supported"),
    ],
)
def test_an_unfit_replica_ends_the_start(backend: str, replica: str, message: str, tmp_path: Path) -> None:
    flags = ("--backend-store-uri", backend, "--read-replica-backend-store-uri", replica)
    done = command(tmp_path, "server", *flags)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: MLFLOW_READ_REPLICA_BACKEND_STORE_URI (--read-replica-backend-store-uri): ")
    assert message in last
    assert "secret" not in done.stderr
