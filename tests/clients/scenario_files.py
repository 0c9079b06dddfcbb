"""Log and download many small files and a large one with an unmodified client, in its virtual environment.

    python scenario_files.py TRACKING_URI COUNT MB

Logs COUNT small files and a file of MB megabytes, downloads and compares them, and prints one line of JSON. 0 omits
either part.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import mlflow
from mlflow import MlflowClient
from mlflow.entities import RunInfo

NAMES = ("a b", "100%", "a#b", "a+b", "모델", "plain.txt", "a&b=c;d", "(a)'[b]", "a?b", "ä~é")
CUT = re.compile("[#?].*")
"""The part of a name that the client loses with any artifact proxy, because it does not escape names in URLs."""
MB = 2**20


def main(uri: str, count: int, megabytes: int) -> dict[str, object]:
    mlflow.set_tracking_uri(uri)
    run = MlflowClient().create_run("0")
    report: dict[str, object] = {"run_id": run.info.run_id, "artifact_uri": run.info.artifact_uri}
    with tempfile.TemporaryDirectory() as folder:
        if count:
            report["small"] = round_trip(uri, run.info, small_files(Path(folder, "small"), count))
        if megabytes:
            report["large"] = round_trip(uri, run.info, large_file(Path(folder, "large"), megabytes))
    return report


def small_files(folder: Path, count: int) -> Path:
    """Create small files. Each tenth is empty, the others contain their names."""
    folder.mkdir()
    for number in range(count):
        name = f"{number:04} {NAMES[number % len(NAMES)]}"
        Path(folder, name).write_text("" if number % 10 == number // 10 % 10 else name)
    return folder


def large_file(folder: Path, megabytes: int) -> Path:
    """Create a file without equal blocks."""
    folder.mkdir()
    block = os.urandom(MB)
    with Path(folder, "large file.bin").open("wb") as file:
        for number in range(megabytes):
            file.write(number.to_bytes(8, "big") + block[8:])
    return folder


def round_trip(uri: str, run: RunInfo, folder: Path) -> dict[str, object]:
    """Log, list and download the files with the client, and read them by the routes of the web interface."""
    client, run_id = MlflowClient(), run.run_id
    is_proxied = run.artifact_uri.startswith("mlflow-artifacts:")
    stored = {CUT.sub("", file.name) if is_proxied else file.name: file for file in folder.iterdir()}
    inside = f"dir {folder.name}"
    began = time.monotonic()
    client.log_artifacts(run_id, str(folder), inside)
    logged = time.monotonic()
    listed = client.list_artifacts(run_id, inside)
    with tempfile.TemporaryDirectory() as down:
        asked = time.monotonic()
        found = Path(client.download_artifacts(run_id, inside, down))
        downloaded = time.monotonic()
        sent = {name: digest(file) for name, file in stored.items()}
        got = {file.name: digest(file) for file in found.iterdir()}
        assert got == sent, {name for name, _ in got.items() ^ sent.items()}
    sizes = {f"{inside}/{name}": file.stat().st_size for name, file in stored.items()}
    assert {entry.path: entry.file_size or 0 for entry in listed} == sizes
    assert shown_by_the_interface(uri, run_id, inside) == sizes
    read_by_the_interface(uri, run_id, inside, sent)
    return {"files": len(sent), "up_s": logged - began, "down_s": downloaded - asked}


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def shown_by_the_interface(uri: str, run_id: str, folder: str) -> dict[str, int]:
    query = urlencode({"run_uuid": run_id, "path": folder})
    with urllib.request.urlopen(f"{uri}/ajax-api/2.0/mlflow/artifacts/list?{query}", timeout=60) as response:
        return {file["path"]: int(file.get("file_size", 0)) for file in json.load(response)["files"]}


def read_by_the_interface(uri: str, run_id: str, folder: str, digests: dict[str, str]) -> None:
    """Read one file of each kind of name."""
    for name in sorted(digests)[: len(NAMES)]:
        query = urlencode({"path": f"{folder}/{name}", "run_uuid": run_id})
        with urllib.request.urlopen(f"{uri}/get-artifact?{query}", timeout=60) as response:
            assert hashlib.file_digest(response, "sha256").hexdigest() == digests[name], name


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
