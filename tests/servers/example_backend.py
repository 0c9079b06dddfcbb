"""The backend of examples/backend in a process, and the platform of the deployment guide around it: PostgreSQL, an S3
server, and a tracking server with login and a token.
"""

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.clients.interpreters import FOLDER
from tests.servers.postgres import postgres_cluster
from tests.servers.processes import TIMEOUT_S, die_with_parent, free_port, wait_until, wait_until_listening
from tests.servers.railtrack import RailtrackServer, command, railtrack_server
from tests.servers.s3 import REGION, S3Server, s3_server

EXAMPLE = Path(__file__).parents[2] / "examples" / "backend"
BUCKET = "vision-platform-prod"
LOCATION = f"s3://{BUCKET}/mlflow-artifacts"
PASSWORD = "of the backend's users"


@dataclass(frozen=True)
class Platform:
    server: RailtrackServer
    s3: S3Server
    token: str

    @property
    def environment(self) -> dict[str, str]:
        """The guide's variables of a backend and of trainings."""
        return {
            "MLFLOW_TRACKING_URI": self.server.url,
            "MLFLOW_TRACKING_TOKEN": self.token,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_S3_ENDPOINT_URL": self.s3.url,
        }

    def post(self, path: str, body: dict[str, str]) -> None:
        request = urllib.request.Request(
            f"{self.server.url}/api/2.0/mlflow/{path}",
            json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {self.token}"},
        )
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()


@contextlib.contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    """Run the guide's platform. Artifacts go directly to the bucket, but those of the experiment `proxied`."""
    with postgres_cluster(fsync=False, password="pw") as postgres, s3_server() as s3:
        s3.new_bucket(BUCKET)
        environ = {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_DEFAULT_PERMISSION": "EDIT"}
        environ |= {"MLFLOW_DEFAULT_ARTIFACT_ROOT": LOCATION, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/proxied"}
        with railtrack_server(folder, postgres.url, environment=environ | s3.environment) as server:
            arguments = ("users", "create", "services", "--no-password")
            assert command(server.folder, *arguments, **server.environment).returncode == 0
            made = command(server.folder, "tokens", "create", "services", "backend", **server.environment)
            one = Platform(server, s3, made.stdout.strip())
            one.post("experiments/create", {"name": "proxied", "artifact_location": "mlflow-artifacts:/proxied"})
            yield one
            assert server.logged_errors() == []


class Backend:
    """The process. It can be killed and started again."""

    def __init__(self, folder: Path, platform: Platform, **environ: str) -> None:
        self.platform = platform
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._log = folder / "backend.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "BACKEND_PASSWORD": PASSWORD,
            **platform.environment,
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        interpreter = FOLDER / "backend" / "bin" / "python"
        if not interpreter.exists():
            pytest.fail("The backend is not installed. Run `make .cache/backend/.ready`.", pytrace=False)
        arguments = ["-m", "uvicorn", "app:app", "--app-dir", str(EXAMPLE), "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(interpreter), *arguments, "--timeout-graceful-shutdown", "2"],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._environment,
                preexec_fn=die_with_parent,
            )
        wait_until_listening(self._process, self.port, self._log)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(TIMEOUT_S)

    def log(self) -> str:
        return self._log.read_text()

    def ask(
        self, method: str, path: str, body: Any = None, *, password: str = PASSWORD, **headers: str
    ) -> tuple[int, Any]:
        """Send a request. Return the status and the JSON of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json", **login(password), **headers}
        try:
            connection.request(method, path, content, {name.replace("_", "-"): value for name, value in given.items()})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, found = self.ask("GET", path)
        assert status == 200, found
        return found

    def start_training(self, **options: float | str) -> str:
        status, found = self.ask("POST", "/api/trainings", options)
        assert status == 201, found
        run_id: str = found["run_id"]
        return run_id

    def run(self, run_id: str) -> dict[str, Any]:
        [found] = [run for run in self.get("/api/runs?limit=50") if run["run_id"] == run_id]
        return dict(found)

    def wait_for_end(self, run_id: str) -> dict[str, Any]:
        wait_until(lambda: self.run(run_id)["status"] != "RUNNING", self.log)
        return self.run(run_id)

    def follow(self, run_id: str) -> Generator[tuple[str, Any], None, None]:
        """Yield the events of a run as the server sends them."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        connection.request("GET", f"/api/runs/{run_id}/events", headers=login(PASSWORD))
        response = connection.getresponse()
        try:
            if response.status != 200:
                yield "rejected", response.status
                return
            name = ""
            for line in response:
                kind, _, text = line.decode().rstrip("\n").partition(": ")
                if kind == "event":
                    name = text
                elif kind == "data":
                    yield name, json.loads(text)
                elif not kind:
                    yield "comment", text
        finally:
            response.close()
            connection.close()


def login(password: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'user:{password}'.encode()).decode()}"} if password else {}


@contextlib.contextmanager
def backend(folder: Path, platform: Platform, **environ: str) -> Iterator[Backend]:
    folder.mkdir(parents=True, exist_ok=True)
    one = Backend(folder, platform, **environ)
    one.start()
    try:
        yield one
    finally:
        with contextlib.suppress(ProcessLookupError):
            one.end()
