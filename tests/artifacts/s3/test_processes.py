"""Credentials and signatures in the processes of a real server: the master forks without threads."""

from pathlib import Path
from urllib.request import Request, urlopen

from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.servers.s3 import S3Server


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def transfer(server: RailtrackServer, name: str) -> bytes:
    url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{name}"
    with urlopen(Request(url, b"content", method="PUT")) as response:
        assert response.status == 200
    with urlopen(url) as response:
        content: bytes = response.read()
    return content


def test_the_master_forks_without_threads_and_the_workers_sign(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("header.claims.signature")
    environment = {
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}",
        "AWS_ENDPOINT_URL": s3.url,
        "AWS_ENDPOINT_URL_STS": s3.url,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": s3.new_role(tmp_path.name),
    }
    with railtrack_server(tmp_path / "server", environment=environment) as server:
        assert "AWS credentials detected" in server.log()
        assert "not be fetched" not in server.log()
        workers = server.wait_for_workers(2)
        assert threads(server.pid) == 1
        for name in "abcdefgh":  # so that both workers take part
            assert transfer(server, name) == b"content"
        assert threads(server.pid) == 1
        for pid in workers:
            names = {(task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()}
            assert not {name for name in names if name.lower().startswith("aws")}, "awscrt's event loops"
    assert len(s3.objects(bucket)) == 8
