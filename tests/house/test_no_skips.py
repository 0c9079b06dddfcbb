"""The plugin that lets no run pass in which a test was skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = "def test_that_runs():\n    pass\n"
SKIPPED = "@pytest.mark.skip\ndef test_that_is_skipped():\n    pass\n"
EXPECTED_TO_FAIL = "@pytest.mark.xfail\ndef test_that_fails():\n    assert False\n"
PASSES_UNEXPECTEDLY = "@pytest.mark.xfail\ndef test_that_passes():\n    pass\n"


def run(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text("\n".join(["import pytest\n", *tests]))
    command = [sys.executable, "-m", "pytest", "-p", "tests.house.no_skips", "-p", "no:cacheprovider", folder]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def test_a_run_of_all_tests_passes(tmp_path: Path) -> None:
    result = run(tmp_path, RUNS)
    assert result.returncode == 0
    assert " 1 passed in " in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("test", "name"),
    [
        (SKIPPED, "SKIPPED test_some.py::test_that_is_skipped"),
        (EXPECTED_TO_FAIL, "XFAILED test_some.py::test_that_fails"),
        (PASSES_UNEXPECTEDLY, "XPASSED test_some.py::test_that_passes"),
    ],
)
def test_a_run_with_an_excused_test_fails_and_names_it(tmp_path: Path, test: str, name: str) -> None:
    result = run(tmp_path, RUNS, test)
    assert result.returncode == 1
    assert name in result.stdout
