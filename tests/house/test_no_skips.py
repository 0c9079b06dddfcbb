"""The plugin that fails a run in which a test was skipped, with and without workers of pytest-xdist."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RUNS = "def test_that_runs():\n    pass\n"
SKIPPED = "@pytest.mark.skip\ndef test_that_is_skipped():\n    pass\n"
EXPECTED_TO_FAIL = "@pytest.mark.xfail\ndef test_that_fails():\n    assert False\n"
PASSES_UNEXPECTEDLY = "@pytest.mark.xfail\ndef test_that_passes():\n    pass\n"


def run(folder: Path, *tests: str, workers: int = 0, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text("\n".join(["import pytest\n", *tests]))
    command = [sys.executable, "-m", "pytest", "-p", "tests.house.no_skips", "-p", "no:cacheprovider", folder]
    command += [f"--numprocesses={workers}", *options]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_of_all_tests_passes(tmp_path: Path, workers: int) -> None:
    result = run(tmp_path, RUNS, workers=workers)
    assert result.returncode == 0
    assert " 1 passed in " in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("test", "name", "workers"),
    [
        (SKIPPED, "SKIPPED test_some.py::test_that_is_skipped", 0),
        (SKIPPED, "SKIPPED test_some.py::test_that_is_skipped", 2),
        (EXPECTED_TO_FAIL, "XFAILED test_some.py::test_that_fails", 0),
        (PASSES_UNEXPECTEDLY, "XPASSED test_some.py::test_that_passes", 0),
    ],
)
def test_a_run_with_an_excused_test_fails_and_names_it(tmp_path: Path, test: str, name: str, workers: int) -> None:
    result = run(tmp_path, RUNS, test, workers=workers)
    assert result.returncode == 1
    assert name in result.stdout


def test_a_deselected_test_is_not_a_skipped_one(tmp_path: Path) -> None:
    result = run(tmp_path, RUNS, SKIPPED, options=["-k", "runs"])
    assert result.returncode == 0
    assert " 1 passed, 1 deselected in " in result.stdout.splitlines()[-1]
