"""The guides for Railway, compared with a server set up as they describe, on a real PostgreSQL and a real S3.

Their own curl commands and the real client send the requests. Both guides have the same blocks (test_guides.py), so the
test reads one of them.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import boto3
import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.docs.pages import ENGLISH
from tests.docs.test_guides import OURS, resolved, variables
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.processes import free_port
from tests.servers.railtrack import RailtrackServer, command, railtrack_server
from tests.servers.s3 import REGION, S3Server, s3_server

pytestmark = pytest.mark.mlflow

DOMAIN = "https://mlflow-service-production-xxxx.up.railway.app"
BUCKET = "vision-platform-prod"
PASSWORD = "chosen by the reader"
LOGIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
"""What the guide sets before a client runs."""
S3_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six")


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresCluster]:
    with postgres_cluster(fsync=False, password="pw") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def amazon() -> Iterator[S3Server]:
    """Run an S3 store with the guide's bucket and the credentials of its owner."""
    with s3_server() as server:
        server.new_bucket(BUCKET)
        yield server


@pytest.fixture(scope="module")
def s3(amazon: S3Server) -> S3Server:
    """Return the store with the credentials of a user with the guide's policy."""
    return with_policy(amazon, policy())


def policy() -> str:
    (text,) = [block.text for block in ENGLISH.blocks if block.language == "json"]
    return text


def with_policy(server: S3Server, document: str) -> S3Server:
    """Return the same server with the credentials of a new user with the policy `document`."""
    iam = boto3.client(
        "iam",
        endpoint_url=server.url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=REGION,
    )
    name = f"user-{len(iam.list_users()['Users'])}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="guide", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return replace(server, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])


def environment_of(s3: S3Server) -> dict[str, str]:
    """Return the variables of step 3, with the credentials and the endpoint of the test's store."""
    blocks = [variables(block.text) for block in ENGLISH.blocks if block.language == "env"]
    (whole,) = [one for one in blocks if "MLFLOW_BACKEND_STORE_URI" in one]
    given = {name: resolved(text) for name, text in whole.items() if name in OURS}
    del given["MLFLOW_BACKEND_STORE_URI"], given["MLFLOW_PORT"], given["AWS_REGION"]
    domain = {"RAILWAY_PUBLIC_DOMAIN": DOMAIN.removeprefix("https://")}
    return given | s3.environment | domain | {"MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def server(
    postgres: PostgresCluster, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RailtrackServer]:
    folder = tmp_path_factory.mktemp("guide")
    with railtrack_server(folder, postgres.url, environment=environment_of(s3)) as server:
        yield server


def test_the_log_is_as_documented(server: RailtrackServer) -> None:
    (expected,) = [block.text for block in ENGLISH.blocks if "Starting MLflow Tracking Server" in block.text]
    expected = expected.replace("5000", str(server.port))
    lines = iter(server.log().splitlines())
    for expected_line in expected.splitlines():
        begin, _, end = expected_line.partition("...")
        wanted = f"{re.escape(begin)}.*{re.escape(end)}" if "://..." in expected_line else re.escape(expected_line)
        assert any(re.search(wanted, line) for line in lines), f"{expected_line!r} is not there, or not in this order"
    assert "postgres:***@" in server.log()
    assert ":pw@" not in server.log()


def test_curl_gets_the_documented_responses(server: RailtrackServer) -> None:
    (block,) = [one.text for one in ENGLISH.blocks if one.text.startswith(f"curl {DOMAIN}")]
    lines = block.replace(DOMAIN, server.url).splitlines()
    asked = lines[::2]
    shown = [line.removeprefix("# ") for line in lines[1::2]]
    assert len(asked) == len(shown) == 2
    for curl, answer in zip(asked, shown, strict=True):
        done = subprocess.run(
            ["bash", "-c", f"{curl} --silent --show-error"], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout == answer


def test_verify_and_doctor_find_no_problem_with_the_commands_of_the_guide(
    server: RailtrackServer, s3: S3Server, tmp_path: Path
) -> None:
    named = [block.text for block in ENGLISH.blocks if "railtrack verify" in block.text]
    (here,) = [line.split()[1:] for line in named[0].splitlines() if "railtrack verify" in line]
    assert here == ["verify", DOMAIN]
    program = str(Path(sys.executable).with_name("railtrack"))
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    inside = server.environment
    for arguments, environment in (
        (["verify", server.url], {**bare, **LOGIN}),
        (["verify", server.url], inside),
        (["doctor"], inside),
    ):
        done = subprocess.run(
            [program, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("proxied", [False, True], ids=["straight-to-the-bucket", "through-the-server"])
def test_the_example_program_works(proxied: bool, postgres: PostgresCluster, s3: S3Server, tmp_path: Path) -> None:
    given = environment_of(s3)
    if proxied:
        given["MLFLOW_ARTIFACTS_DESTINATION"] = given.pop("MLFLOW_DEFAULT_ARTIFACT_ROOT")
    (block,) = [one.text for one in ENGLISH.blocks if one.language == "python"]
    with railtrack_server(tmp_path / "server", environment=given) as server:
        keys = {} if proxied else client_keys(s3, tmp_path)
        done = subprocess.run(
            [str(client_interpreter("3.17.2")), "-c", block.replace(DOMAIN, server.url)],
            env=client_environment(server.url, tmp_path) | keys | {"MLFLOW_TRACKING_TOKEN": service_token(server)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "It arrived." in done.stdout.splitlines()
        assert server.logged_errors() == []
    stored = [key for key in s3.objects(BUCKET) if key.endswith("/artifacts/note.txt")]
    assert all(key.startswith("mlflow-artifacts/") for key in stored)
    assert stored


def service_token(server: RailtrackServer) -> str:
    """Return a token, made with the commands of the guide."""
    [commands] = [one.text for one in ENGLISH.blocks if "railtrack tokens create" in one.text]
    for line in commands.splitlines()[:2]:
        arguments = line.partition("-- railtrack ")[2].split()
        done = command(server.folder, *arguments, **server.environment)
        assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def client_keys(s3: S3Server, folder: Path) -> dict[str, str]:
    """Return the environment of a training service by the guide: credentials, endpoint, and boto3."""
    packages = folder / "packages"
    packages.mkdir()
    for name in S3_PACKAGES:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        found = Path(spec.origin)
        source = found.parent if found.name == "__init__.py" else found
        (packages / source.name).symlink_to(source)
    return {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "MLFLOW_S3_ENDPOINT_URL": s3.url,
        "PYTHONPATH": str(packages),
    }


@pytest.mark.parametrize("action", ["PutObject", "GetObject", "DeleteObject", "ListBucket"])
def test_every_action_of_the_policy_is_required(amazon: S3Server, tmp_path: Path, action: str) -> None:
    whole = policy()
    assert whole.count(f'"s3:{action}"') == 1
    less = with_policy(amazon, whole.replace(f'"s3:{action}"', '"s3:GetBucketTagging"'))
    message = failure(environment_of(less), tmp_path)
    assert message.startswith("Error: The artifact store rejects the probe's")
    assert "AccessDenied" in message


def test_a_policy_without_the_right_to_abort_uploads_suffices_with_a_warning(amazon: S3Server, tmp_path: Path) -> None:
    """Many a policy names put, get, delete and list only."""
    environment = environment_of(
        with_policy(amazon, policy().replace('"s3:AbortMultipartUpload"', '"s3:GetObjectAcl"'))
    )
    with railtrack_server(tmp_path, environment=environment) as server:
        [message] = [line for line in server.log().splitlines() if "AbortMultipartUpload" in line]
    assert "does not allow aborting multipart uploads" in message
    assert amazon.unfinished_uploads(BUCKET) == []


def failure(environment: dict[str, str], folder: Path) -> str:
    """Return the last line of a failing start."""
    with (
        pytest.raises(RuntimeError, match="railtrack ended") as caught,
        railtrack_server(folder, environment=environment),
    ):
        pass
    return str(caught.value).splitlines()[-1]


def error_lines() -> list[str]:
    """Return the last lines of failed starts that the guide quotes, in its order."""
    return [
        line
        for block in ENGLISH.blocks
        if block.language == "text"
        for line in block.text.splitlines()
        if line.startswith("Error: ")
    ]


def generalised(line: str) -> str:
    """Without what differs from one installation to another: addresses, and numbers."""
    line = re.sub(r"postgresql://postgres:\*\*\*@[^ )]+", "ADDRESS", line.partition("(...")[0])
    return re.sub(r"\d+", "N", line)


def test_the_errors_are_as_documented(postgres: PostgresCluster, s3: S3Server, tmp_path: Path) -> None:
    nobody, no_keys, port, login = error_lines()
    given = environment_of(s3)
    there = urlsplit(postgres.url)
    assert there.hostname
    away = urlunsplit(there._replace(netloc=f"postgres:pw@127.0.0.1:{free_port()}"))
    message = failure({**given, "MLFLOW_BACKEND_STORE_URI": away, "RAILTRACK_DB_WAIT_S": "1"}, tmp_path)
    assert generalised(message).startswith(generalised(nobody))
    message = failure({**given, "AWS_ACCESS_KEY_ID": ""}, tmp_path)
    assert message == no_keys
    with socket.create_server(("0.0.0.0", 0)) as taken:
        message = failure({**given, "MLFLOW_PORT": str(taken.getsockname()[1])}, tmp_path)
    assert generalised(message) == generalised(port)
    wrong = urlunsplit(there._replace(netloc=f"postgres:wrong@127.0.0.1:{there.port}"))
    message = failure({**given, "MLFLOW_BACKEND_STORE_URI": wrong}, tmp_path)
    assert generalised(message) == generalised(login)
    assert "wrong" not in message
