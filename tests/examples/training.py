"""Runs the programs of examples/ in their environment, and waits for them."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.examples.site import Site
from tests.servers.processes import die_with_parent

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PYTHON = ROOT / ".cache" / "examples" / "bin" / "python"
MODELS = {
    "timm": "shapes-timm",
    "ultralytics": "detector",
    "huggingface": "shapes-huggingface",
    "lightning": "shapes-lightning",
}
"""The examples, and the model that each registers."""
LONGEST_S = 900
"""How long a training may take, with an outage and on a machine that has other things to do."""


class Training:
    """An example that runs in the background, started by launch.py."""

    def __init__(self, name: str, site: Site, folder: Path, *arguments: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.site, self.folder = name, site, folder
        self._log = folder / f"{name}.log"
        self.began = time.monotonic()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(interpreter()), str(EXAMPLES / "launch.py"), str(EXAMPLES / name / "train.py"), *arguments],
                env=training_environment(site.environment, folder) | environment,
                cwd=folder,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def run(self) -> dict[str, Any]:
        """The run that launch.py created."""
        (run,) = (one for one in self.site.runs() if tag(one, "launched") == self.name)
        return run

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The run and those that continue it, in the order of their start."""
        below = [one for one in self.site.runs() if tag(one, "mlflow.parentRunId") == self.run["info"]["run_id"]]
        return [self.run, *sorted(below, key=lambda one: one["info"]["start_time"])]

    def wait_for_checkpoint(self) -> None:
        """Return when the run has a checkpoint, so that it has logged an epoch and has others to come."""

        deadline = time.monotonic() + LONGEST_S
        while not self._has_checkpoint():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def _has_checkpoint(self) -> bool:
        named = [one for one in self.site.runs() if tag(one, "launched") == self.name]
        return any(self.site.artifacts(one["info"]["run_id"], "checkpoints") for one in named)

    @property
    def pid(self) -> int:
        """The process id of the training itself."""
        pid = self.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def kill(self) -> None:
        """Send SIGKILL to the training, as the kernel does when memory runs out."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Return the exit code of launch.py."""
        return self.process.wait(LONGEST_S)

    def stop(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ValueError, ProcessLookupError):  # it has no child, or not any more
                os.kill(self.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def trainings(
    names: Mapping[str, str] | list[str], site: Site, folder: Path, *arguments: str, **environment: str
) -> Iterator[list[Training]]:
    """Run these examples at the same time."""
    started = [Training(name, site, folder, *arguments, **environment) for name in names]
    try:
        yield started
    finally:
        for training in started:
            training.stop()


def interpreter() -> Path:
    if not PYTHON.exists():
        pytest.fail("The frameworks are not installed. Run `make .cache/examples/.ready`.", pytrace=False)
    return PYTHON


def training_environment(variables: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the environment of a training service: these variables, and nothing of this machine."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        # Several trainings share two cores.
        "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        "ATTEMPTS": "1",
        **variables,
    }


def tag(run: dict[str, Any], key: str) -> str | None:
    return next((one["value"] for one in run["data"].get("tags", ()) if one["key"] == key), None)
