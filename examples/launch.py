"""Start a training, and close its run if it dies: python launch.py timm/train.py [its arguments]

The program gets its run in MLFLOW_RUN_ID, and resumes from the run's last checkpoint if it has one. After a crash it is
started again, twice at most (ATTEMPTS=1: never). Set MLFLOW_RUN_ID to resume a run of an earlier launch.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "shared"))

import mlflow

import tracking

DEPLOYMENT = os.environ.get("RAILWAY_DEPLOYMENT_ID", "")
"""Railway starts a container that died, out of memory for instance, again with the same deployment."""


def find_or_create_run(client: Any, name: str) -> str:
    """Return the run of MLFLOW_RUN_ID or of this deployment, a new one otherwise."""
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        return run_id
    experiment = mlflow.set_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
    if DEPLOYMENT:
        of_this_deployment = f"tags.deployment = '{DEPLOYMENT}' AND tags.launched = '{name}'"
        for run in client.search_runs([experiment.experiment_id], of_this_deployment, max_results=1):
            return str(run.info.run_id)
    tags = {"launched": name, **({"deployment": DEPLOYMENT} if DEPLOYMENT else {})}
    return str(client.create_run(experiment.experiment_id, run_name=name, tags=tags).info.run_id)


def close(client: Any, run_id: str, code: int) -> None:
    """End what the dead process left running: its run, and the runs below it. Popen reports a signal as negative."""
    status = "KILLED" if code < 0 else "FAILED"
    run = client.get_run(run_id)
    below = f"tags.mlflow.parentRunId = '{run_id}'"
    for one in (run, *client.search_runs([run.info.experiment_id], below)):
        if one.info.status == "RUNNING":
            client.set_tag(one.info.run_id, "exit_code", code)
            client.set_terminated(one.info.run_id, status)


def forward_signals(process: "subprocess.Popen[bytes]") -> None:
    """A platform stops this process, and means the training."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: process.send_signal(number))


def main(program: str, *arguments: str) -> int:
    environment = dict(os.environ)
    tracking.connect()
    # The run of a training that the server's absence has ended is closed when the server is back.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "9"
    client = mlflow.MlflowClient()
    run_id = find_or_create_run(client, Path(program).parent.name)
    code = 1
    for _ in range(int(os.environ.get("ATTEMPTS", "3"))):
        process = subprocess.Popen([sys.executable, program, *arguments], env={**environment, "MLFLOW_RUN_ID": run_id})
        forward_signals(process)
        code = process.wait()
        if code == 0:
            return 0
        close(client, run_id, code)
        print(f"{program} ended with {code}; run {run_id}", file=sys.stderr)
        if -code in (signal.SIGTERM, signal.SIGINT):
            break
    return code if code > 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
