"""Log, list and download a run's files with an unmodified client, and print their paths."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient

NAMES = ("a b.txt", "100%.txt", "a+b.txt", "모델.txt", "empty.txt", "large.bin")


def main(uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    run_id = client.create_run("0").info.run_id
    with tempfile.TemporaryDirectory() as up, tempfile.TemporaryDirectory() as down:
        for name in NAMES:
            content = {"empty.txt": b"", "large.bin": os.urandom(23_000_000)}.get(name, name.encode())
            Path(up, name).write_bytes(content)
        client.log_artifacts(run_id, up, "dir x")
        found = Path(client.download_artifacts(run_id, "dir x", down))
        for name in NAMES:
            assert digest(found / name) == digest(Path(up, name)), name
    print(*sorted(entry.path for entry in client.list_artifacts(run_id, "dir x")), sep="\n")


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1])
