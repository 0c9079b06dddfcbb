"""The platform of the deployment guide for trainings: Railtrack on PostgreSQL with login, an S3 store, and a service
account with a token. The trainings connect through proxies, with which tests cut the network.
"""

import base64
import contextlib
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.background import Background, background
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.proxy import Proxy, proxy
from tests.servers.railtrack import RailtrackServer, command, railtrack_server
from tests.servers.s3 import S3Server, s3_server

BUCKET = "vision-platform-prod"
ROOT = f"s3://{BUCKET}/mlflow-artifacts"
PASSWORD = "chosen by the operator"
WAYS = {"direct": "MLFLOW_DEFAULT_ARTIFACT_ROOT", "proxied": "MLFLOW_ARTIFACTS_DESTINATION"}
"""How artifacts reach the store, and the variable of the server that decides it."""


@dataclass
class Site:
    way: str
    cluster: PostgresCluster
    server: RailtrackServer
    s3: S3Server
    servers: Background
    network: Proxy
    """Between the trainings and the server."""
    store: Proxy
    """In front of the S3 store, for trainings and server."""
    token: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a training service, as the guide and examples/.env.example name them."""
        tracking = {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.network.port}",
            "MLFLOW_TRACKING_TOKEN": self.token,
        }
        return tracking | (store_variables(self.s3, self.store.port) if self.way == "direct" else {})

    def get(self, path: str, /, **query: str) -> Any:
        return self._send("GET", f"{path}?{urllib.parse.urlencode(query)}", None)

    def post(self, path: str, body: Any) -> Any:
        return self._send("POST", path, json.dumps(body).encode())

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, the newest first."""
        experiments = self.post("experiments/search", {"max_results": 100})["experiments"]
        ids = [one["experiment_id"] for one in experiments]
        found: list[dict[str, Any]] = self.post("runs/search", {"experiment_ids": ids}).get("runs", [])
        return found

    def artifacts(self, run_id: str, path: str = "") -> dict[str, int | None]:
        """Return the size of each file below the path, None for folders."""
        query = {"run_id": run_id, **({"path": path} if path else {})}
        files = self.get("artifacts/list", **query).get("files", [])
        return {one["path"]: None if one.get("is_dir") else int(one.get("file_size", 0)) for one in files}

    def steps(self, run: dict[str, Any]) -> dict[str, list[int]]:
        """Return the steps of each metric of a run, as stored, without the system metrics."""
        run_id = run["info"]["run_id"]
        keys = [one["key"] for one in run["data"].get("metrics", ()) if not one["key"].startswith("system/")]
        histories = {key: self.get("metrics/get-history", run_id=run_id, metric_key=key) for key in keys}
        return {key: [int(one.get("step", 0)) for one in history["metrics"]] for key, history in histories.items()}

    @cached_property
    def authorization(self) -> str:
        """The header of the administrator."""
        return f"Basic {base64.b64encode(f'admin:{PASSWORD}'.encode()).decode()}"

    def _send(self, method: str, path: str, body: bytes | None) -> Any:
        url = f"{self.server.url}/api/2.0/mlflow/{path}"
        headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=60) as response:
            return json.load(response)


def store_variables(s3: S3Server, port: int) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "AWS_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }


@contextlib.contextmanager
def running_site(folder: Path, way: str) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(background())
        cluster = stack.enter_context(postgres_cluster())
        database = stack.enter_context(scratch_database("postgresql", folder, cluster))
        s3 = stack.enter_context(s3_server())
        s3.new_bucket(BUCKET)
        store = stack.enter_context(servers.enter(proxy(urlsplit(s3.url).port or 80)))
        environment = {
            WAYS[way]: ROOT,
            **store_variables(s3, store.port),
            "GUNICORN_THREADS": "4",
            "RAILTRACK_AUTH": "on",
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        }
        server = stack.enter_context(railtrack_server(folder / "server", database, environment=environment))
        network = stack.enter_context(servers.enter(proxy(server.port)))
        token = new_token(server, database)
        yield Site(way, cluster, server, s3, servers, network, store, token)


def new_token(server: RailtrackServer, database: str) -> str:
    """Create a service account for the trainings, and return its token."""
    variables = {"MLFLOW_BACKEND_STORE_URI": database}
    created = command(server.folder, "users", "create", "training", "--no-password", **variables)
    assert created.returncode == 0, created.stderr
    token = command(server.folder, "tokens", "create", "training", "service", **variables)
    assert token.returncode == 0, token.stderr
    return token.stdout.split()[-1]
