"""Run the training programs of programs/ against a server, and write the requests that they send to sent/.

python -m tests.compat.record_programs URL --python VENV/bin/python --modules FOLDER/node_modules [PROGRAM ...]

VENV needs mlflow, torch, lightning, accelerate, pytorch-ignite, xgboost, optuna and optuna-integration. FOLDER is where
npm installed the package mlflow. The server at URL may be MLflow or Railtrack: the programs have to succeed on both.
"""

import argparse
import http.client
import json
import os
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.compat.play import Response, new_prefix
from tests.compat.sent import FOLDER, created_id, placeholder

PROGRAMS = Path(__file__).parent / "programs"
KEPT_HEADERS = ("Content-Type", "Accept", "User-Agent")
LONGEST_TEXT = 2000


class Proxy(ThreadingHTTPServer):
    """Forwards requests to a server and keeps them in `sent`, with placeholders for the ids of responses."""

    daemon_threads = True

    def __init__(self, url: str, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = urlsplit(url)
        self.names = {prefix: "${prefix}"}
        self.sent: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.lock = threading.Lock()

    def named(self, text: str) -> str:
        """Replace the ids that the server returned. Those of experiments are numbers, which may mean something else."""
        for value, name in self.names.items():
            if value.isdigit():
                for before, after in (('"', '"'), ("=", "&"), ("artifacts/", "/"), ("artifacts:/", "/")):
                    text = text.replace(f"{before}{value}{after}", f"{before}{name}{after}")
                text = text.removesuffix(f"={value}") + (f"={name}" if text.endswith(f"={value}") else "")
            else:
                text = text.replace(value, name)
        return text

    def keep(self, method: str, path: str, headers: dict[str, str], body: bytes, response: Response) -> None:
        with self.lock:
            request: dict[str, Any] = {"method": method, "path": self.named(path), "headers": headers}
            if headers.get("Content-Type", "").startswith("application/json") and body:
                request["json"] = json.loads(self.named(json.dumps(json.loads(body))))
            elif body:
                try:
                    text = self.named(body.decode())
                    request |= {"text": text} if len(text) <= LONGEST_TEXT else {"bytes": len(body)}
                except UnicodeDecodeError:
                    request["bytes"] = len(body)
            self.sent.append(request)
            self.statuses.append(response.status)
            if created := created_id(method, path, response):
                kind, id_ = created
                self.names[id_] = placeholder(kind, self.names.values())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self._body()
        connection = http.client.HTTPConnection(self.server.target.hostname or "", self.server.target.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kept = {name: self.headers[name] for name in KEPT_HEADERS if name in self.headers}
        response = Response(answer.status, content, {name.lower(): value for name, value in answer.getheaders()})
        self.server.keep(self.command, self.path, kept, body, response)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *_: Any) -> None:
        pass


def run(program: Path, url: str, python: str, modules: str) -> Proxy:
    """Run a program through a proxy. Fail if the program fails, or if the server responds with an error."""
    prefix = new_prefix()
    proxy = Proxy(url, prefix)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    environment = {
        "PATH": os.environ["PATH"],
        "USER": "ana",
        "LOGNAME": "ana",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.server_port}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        "NODE_PATH": modules,
        "EXPERIMENT": f"{prefix}{program.stem.removeprefix('train_')}",
    }
    command = ["node"] if program.suffix == ".js" else [python]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "train" + program.suffix)  # its path is in a tag of the run
        copy.write_bytes(program.read_bytes())
        done = subprocess.run(
            [*command, copy.name], cwd=folder, env={**environment, "HOME": folder}, capture_output=True, text=True
        )
    proxy.shutdown()
    assert done.returncode == 0, f"{program.name}: {done.stderr[-3000:]}"
    errors = [f"{status} {one['method']} {one['path']}" for status, one in zip(proxy.statuses, proxy.sent, strict=True)]
    print(f"{program.stem}: {len(errors)} requests", *[one for one in errors if not one.startswith("2")], sep="\n  ")
    return proxy


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what training programs send.")
    parser.add_argument("url", help="of a running server")
    parser.add_argument("--python", default="python3")
    parser.add_argument("--modules", default="")
    parser.add_argument("--only-run", action="store_true", help="do not write the requests")
    parser.add_argument("programs", nargs="*", help="names without train_ (default: all)")
    options = parser.parse_args()
    for program in sorted(PROGRAMS.glob("train_*")):
        name = program.stem.removeprefix("train_")
        if options.programs and name not in options.programs:
            continue
        proxy = run(program, options.url, options.python, options.modules)
        if not options.only_run:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f"{name}.json").write_text(json.dumps(proxy.sent, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
