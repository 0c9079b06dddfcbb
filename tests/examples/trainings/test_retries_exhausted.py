"""What each framework does when the network is away longer than its client retries."""

import re
import time
from pathlib import Path

from tests.examples.check import missing_parts
from tests.examples.site import Site
from tests.examples.training import MODELS, trainings
from tests.examples.trainings.conftest import Record
from tests.examples.trainings.test_interruptions import go_on, hold_after_first_checkpoint, network_cut

AWAY_S = 60
RETRIES = "2"
"""The last attempt is after 12 s, so that 60 s are to these trainings what ten minutes are with the usual settings."""
CRASH = "API request to .* failed with exception HTTPConnectionPool"
REACTIONS = {
    "timm": (rf"(?s)log_metrics.*MlflowException: {CRASH}.*train\.py ended with 1", "crashes; launch.py resumes it"),
    "lightning": (rf"(?s)log_batch.*MlflowException: {CRASH}.*train\.py ended with 1", "crashes; launch.py resumes it"),
    "huggingface": (
        r"async_logging_queue: Run Id \w+: Failed to log run data",
        "goes on, and its callback loses metrics with a line in the log; the example logs them at the end",
    ),
    "ultralytics": (
        r"metric logging failed, disabling tracking for this run",
        "goes on, and its callback logs nothing any more; the example logs metrics and files at the end",
    ),
}
"""What the log of each example has, and the row for the record."""


def test_every_training_ends_complete_after_its_client_has_stopped_retrying(
    new_site: Site, tmp_path: Path, record: Record
) -> None:
    variables = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": RETRIES, "ATTEMPTS": "2"}
    with trainings(list(MODELS), new_site, tmp_path / "trainings", **variables) as running:
        hold_after_first_checkpoint(running)
        with network_cut(new_site):
            go_on(running)
            time.sleep(AWAY_S)
        for training in running:
            assert training.wait() == 0, training.log()
            pattern, reaction = REACTIONS[training.name]
            assert re.search(pattern, training.log()), training.log()
            assert missing_parts(training) == [], training.log()
            record("retries exhausted", training.name, reaction)
