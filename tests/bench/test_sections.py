"""A failure in one section of the benchmark does not affect the others."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.loads import Load, Request, post
from bench.run import keep
from bench.sections import Bench
from bench.servers import Server
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.processes import free_port


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster(fsync=False) as one:
        yield one


def bench(tmp_path: Path, cluster: PostgresCluster | None = None) -> Bench:
    found: dict[str, Any] = {"errors": {"start": "of an earlier run"}, "took_s": {}}
    return Bench(cluster, tmp_path, [], [], 1, 1, found, lambda: keep(found, tmp_path / "record.json"))  # type: ignore[arg-type]


def test_a_failed_section_is_recorded_and_the_next_one_runs(tmp_path: Path) -> None:
    one = bench(tmp_path)
    with one.section("loads"):
        raise ValueError("no such thing")
    with one.section("start"):
        one.found["seen"] = 1
    assert one.found["errors"] == {"loads": "ValueError('no such thing')"}
    assert list(one.found["took_s"]) == ["loads", "start"]


def test_results_are_written_when_a_section_is_interrupted(tmp_path: Path) -> None:
    one = bench(tmp_path)
    one.found["seen"] = 1
    with pytest.raises(KeyboardInterrupt), one.section("loads"):
        raise KeyboardInterrupt
    assert '"seen": 1' in (tmp_path / "record.json").read_text()
    assert one.found["errors"]["loads"] == "interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_load_on_a_stopped_server_is_recorded_as_failed(tmp_path: Path, cluster: PostgresCluster) -> None:
    server = Server(f"http://127.0.0.1:{free_port()}", cluster.url, os.getpid(), 0.1)
    load = Load("log-metric", 1, lambda _url: [post("runs/log-metric", {})])
    figure = bench(tmp_path, cluster).figure(load, server)
    assert isinstance(figure, str)
    assert figure.startswith("failed: URLError")


def test_a_load_whose_requests_cannot_be_created_is_recorded_as_failed(
    tmp_path: Path, cluster: PostgresCluster
) -> None:
    def requests(_url: str) -> list[Request]:
        raise KeyError("next_page_token")

    server = Server("http://127.0.0.1:1", cluster.url, os.getpid(), 0.1)
    figure = bench(tmp_path, cluster).figure(Load("deep page", 1, requests), server)
    assert figure == "failed: KeyError('next_page_token')"
