"""Client program: logs one artifact when a line arrives on standard input, and prints how that went.

Run by a client's own interpreter. Prints "ready" when the store has accepted a first artifact.
"""

import sys
from pathlib import Path

from mlflow.tracking import MlflowClient


def main() -> None:
    client = MlflowClient()
    run_id = client.create_run("0").info.run_id
    Path("file.txt").write_text("content")
    client.log_artifact(run_id, "file.txt", "first")
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        client.log_artifact(run_id, "file.txt", "second")
    except Exception as error:
        print(type(error).__name__)
    else:
        print("stored")


if __name__ == "__main__":
    main()
