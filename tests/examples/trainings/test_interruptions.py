"""All examples at once, and in the middle of them the server, the database, the store or the network goes away."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.examples.check import missing_parts
from tests.examples.site import Site
from tests.examples.training import MODELS, Training, trainings
from tests.examples.trainings.conftest import Record

AWAY_S = 40


@contextlib.contextmanager
def server_restarted(site: Site) -> Iterator[None]:
    site.server.stop()
    yield
    site.server.start()


@contextlib.contextmanager
def database_away(site: Site) -> Iterator[None]:
    site.cluster.stop()
    yield
    site.cluster.start()


@contextlib.contextmanager
def store_away(site: Site) -> Iterator[None]:
    site.servers.run(site.store.close())
    yield
    site.servers.run(site.store.accept())


@contextlib.contextmanager
def network_cut(site: Site) -> Iterator[None]:
    site.servers.run(site.network.close())
    yield
    site.servers.run(site.network.accept())


OUTAGES: dict[str, tuple[Callable[[Site], contextlib.AbstractContextManager[None]], float]] = {
    "server restarted": (server_restarted, 0),
    "database away": (database_away, AWAY_S),
    "store away": (store_away, AWAY_S),
    "network cut": (network_cut, AWAY_S),
}
CASES = [("server restarted", "direct"), ("database away", "proxied"), ("network cut", "direct")]
CASES += [("store away", "direct"), ("store away", "proxied")]


@pytest.mark.parametrize(("outage", "new_site"), CASES, indirect=["new_site"])
def test_every_training_ends_complete(outage: str, new_site: Site, tmp_path: Path, record: Record) -> None:
    away, seconds = OUTAGES[outage]
    with trainings(list(MODELS), new_site, tmp_path / "trainings") as running:
        hold_after_first_checkpoint(running)
        with away(new_site):
            began = time.monotonic()
            go_on(running)
            time.sleep(max(0.0, began + seconds - time.monotonic()))
        for training in running:
            assert training.wait() == 0, training.log()
            assert missing_parts(training) == [], training.log()
            duration = f" for {seconds:.0f} s" if seconds else ""
            record(f"{outage}{duration}, artifacts {new_site.way}", training.name, "complete, exit code 0")


def hold_after_first_checkpoint(running: list[Training]) -> None:
    """Stop each training in the middle until all are there: they take different times to start."""
    for training in running:
        training.wait_for_checkpoint()
        os.kill(training.pid, signal.SIGSTOP)


def go_on(running: list[Training]) -> None:
    for training in running:
        os.kill(training.pid, signal.SIGCONT)
