"""A training that is killed leaves a closed run, and resumes from the checkpoint without a doubled step."""

from pathlib import Path

import pytest
from tests.examples.check import missing_parts
from tests.examples.site import Site
from tests.examples.training import MODELS, tag, trainings
from tests.examples.trainings.conftest import Record

KILLED = 137
"""128 and the number of SIGKILL, as shells and platforms report it."""


@pytest.mark.parametrize("name", MODELS)
def test_a_killed_training_is_closed_and_resumes_without_a_doubled_step(
    name: str, new_site: Site, tmp_path: Path, record: Record
) -> None:
    with trainings([name], new_site, tmp_path) as (training,):
        training.wait_for_checkpoint()
        training.kill()
        assert training.wait() == KILLED, training.log()
        run = training.run
        assert run["info"]["status"] == "KILLED"
        assert tag(run, "exit_code") == "-9"
    run_id = run["info"]["run_id"]
    with trainings([name], new_site, tmp_path, MLFLOW_RUN_ID=run_id) as (resumed,):
        assert resumed.wait() == 0, resumed.log()
    assert missing_parts(resumed) == []
    runs = resumed.runs
    if name == "ultralytics":
        assert [one["info"]["status"] for one in runs] == ["KILLED", "FINISHED"]
        assert tag(runs[1], "resumed_from") == run_id
    else:
        assert len(runs) == 1
    where = "a new run below it" if len(runs) == 2 else "the same run"
    record("killed and resumed", name, f"closed as KILLED; resumed in {where}, each step once")


def test_a_training_that_dies_is_started_again_by_launch_py(new_site: Site, tmp_path: Path, record: Record) -> None:
    with trainings(["timm"], new_site, tmp_path, ATTEMPTS="2") as (training,):
        training.wait_for_checkpoint()
        training.kill()
        assert training.wait() == 0, training.log()
    assert missing_parts(training) == []
    record("killed once, two attempts", "timm", "complete in the same run, exit code 0")


def test_a_training_that_its_platform_stops_is_closed_as_killed(new_site: Site, tmp_path: Path, record: Record) -> None:
    with trainings(["timm"], new_site, tmp_path, ATTEMPTS="2") as (training,):
        training.wait_for_checkpoint()
        training.process.terminate()
        assert training.wait() == 143, training.log()
    assert training.run["info"]["status"] == "KILLED"
    record("stopped by SIGTERM", "timm", "run KILLED, exit code 143, no second attempt")
