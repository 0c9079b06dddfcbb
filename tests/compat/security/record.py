"""Record MLflow's responses to the requests of cases.py, in recorded.json beside this file.

python -m tests.compat.security.record --python VENV/bin/python 3.17.2=VENV 3.18.0=OTHER_VENV

`--python`: an interpreter with the packages of MLflow's server. Each version is imported from its virtual environment,
which may be one that has the packages of the client only.
"""

import argparse
import http.client
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.compat.oracle import mlflow_server
from tests.compat.security.cases import CONFIGURATIONS, REQUESTS, Request

RECORDED = Path(__file__).with_name("recorded.json")
CORS = ("allow-origin", "allow-credentials", "allow-methods", "allow-headers", "max-age")

Record = dict[str, dict[str, Any]]


def compared(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """Return the parts of a response that are compared: what a browser makes of it.

    CORS headers without Access-Control-Allow-Origin have no effect. The body matters for rejections only.
    """
    values: dict[str, str] = {}
    for name, value in headers:
        values[name.lower()] = f"{values[name.lower()]}, {value}" if name.lower() in values else value
    response: dict[str, Any] = {"status": status}
    if status == 403:
        response["text"] = body.decode()
    if frames := values.get("x-frame-options"):
        response["frames"] = frames
    if "access-control-allow-origin" in values:
        response |= {name: values[f"access-control-{name}"] for name in CORS if f"access-control-{name}" in values}
        response["varies"] = "origin" in values.get("vary", "").lower()
    return response


def send(url: str, request: Request) -> dict[str, Any]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
    try:
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        body = b'{"name": ""}' if request.method == "POST" else b""
        connection.putheader("Host", request.host)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return compared(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def record_of(python: Path, venv: Path) -> Record:
    """Start MLflow once for each configuration, on one database, and return its responses."""
    record: Record = {}
    packages = {"PYTHONPATH": str(next(venv.absolute().glob("lib/python*/site-packages")))}
    with tempfile.TemporaryDirectory(prefix="mlflow-") as temporary:
        folder = Path(temporary)
        for name, (environment, flags) in CONFIGURATIONS.items():
            database, settings = f"sqlite:///{folder / 'mlflow.db'}", {**packages, **environment}
            with mlflow_server(str(python.absolute()), database, folder, settings, flags) as url:
                record[name] = {request.name: send(url, request) for request in REQUESTS[name]}
            print(f"{name}: {len(record[name])} requests", file=sys.stderr)
    return record


def merged(records: dict[str, Record]) -> Record:
    """Merge the records of several versions: one response if all agree, otherwise one for each version."""
    first = next(iter(records.values()))
    both: Record = {}
    for configuration, responses in first.items():
        both[configuration] = {}
        for request in responses:
            by_version = {version: record[configuration][request] for version, record in records.items()}
            agree = all(response == responses[request] for response in by_version.values())
            both[configuration][request] = responses[request] if agree else {"by version": by_version}
    return both


def load() -> Record:
    record: Record = json.loads(RECORDED.read_text())
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description="Record how versions of MLflow apply their security settings.")
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("versions", nargs="+", metavar="VERSION=VENV")
    options = parser.parse_args()
    venvs = dict(one.split("=", 1) for one in options.versions)
    records = {version: record_of(options.python, Path(venv)) for version, venv in venvs.items()}
    lines = []
    for configuration, responses in merged(records).items():
        entries = ",\n".join(f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in responses.items())
        lines.append(f" {json.dumps(configuration)}: {{\n{entries}\n }}")
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
