"""deploy/railway.sh against a stand-in for Railway's program: what it runs, shows, and keeps to itself."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers.railway import Railway

from railtrack.config.settings import SETTINGS
from railtrack.http_server.processes import GRACE_S

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "railway.sh"
S3 = ("--bucket", "vision-platform-prod", "--region", "ap-northeast-2")
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "it's $ecret"}
PASSWORD = {"MLFLOW_AUTH_ADMIN_PASSWORD": "of th€ operator"}
SET = "variable set --service mlflow-service --skip-deploys"
CONFIG = "--service-config mlflow-service"
ADDED = shlex.split("add --service mlflow-service --variables MLFLOW_PORT=5000")
DEPLOYED = [
    shlex.split(
        f"environment edit --message 'Deploy mlflow-service' {CONFIG} deploy.startCommand /mlflow/docker-entrypoint.sh "
        f"{CONFIG} deploy.healthcheckPath /health {CONFIG} deploy.restartPolicyType ON_FAILURE "
        f"{CONFIG} deploy.restartPolicyMaxRetries 10"
    ),
    shlex.split(
        f"{SET} RAILWAY_DOCKERFILE_PATH=docker/mlflow/Dockerfile RAILWAY_HEALTHCHECK_TIMEOUT_SEC=30 "
        "RAILWAY_DEPLOYMENT_DRAINING_SECONDS=35"
    ),
    shlex.split(
        f"{SET} 'MLFLOW_BACKEND_STORE_URI=${{{{Postgres.DATABASE_URL}}}}' MLFLOW_HOST=0.0.0.0 MLFLOW_PORT=5000 "
        "GUNICORN_WORKERS=2 GUNICORN_THREADS=4 RAILTRACK_DB_WAIT_S=20 MLFLOW_AUTH_DEFAULT_PERMISSION=EDIT"
    ),
]
PASSWORD_SET, *KEYS_SET = [
    shlex.split(f"variable set {name} --stdin --service mlflow-service --skip-deploys") for name in (*PASSWORD, *KEYS)
]
UP = ["up", "--service", "mlflow-service"]
ROOT_IN_BUCKET = "MLFLOW_DEFAULT_ARTIFACT_ROOT=s3://vision-platform-prod/mlflow-artifacts"


@pytest.fixture
def railway(tmp_path: Path) -> Railway:
    return Railway(tmp_path / "bin", environment={**PASSWORD, **KEYS})


def script(railway: Railway, *options: str, typed: str = "", terminal: bool = True) -> str:
    """Run the script, which must succeed, and return its output."""
    done = railway.run("sh", SCRIPT, *options, cwd=Path("/"), typed=typed, terminal=terminal)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(output: str) -> list[list[str]]:
    """Return the commands of the output, split as by a shell; of a pipe, the last one."""
    lines = [line[2:] for line in output.splitlines() if line.startswith("$ ")]
    return [shlex.split(line.rpartition(" | ")[2])[1:] for line in lines]


IN_BUCKET = f"{SET} MLFLOW_DEFAULT_ARTIFACT_ROOT=s3://vision-platform-prod/mlflow-artifacts"
REFERRED_TO = (
    "'AWS_ACCESS_KEY_ID=${{mlflow-artifacts.ACCESS_KEY_ID}}' "
    "'AWS_SECRET_ACCESS_KEY=${{mlflow-artifacts.SECRET_ACCESS_KEY}}' "
    "'AWS_S3_ENDPOINT_URL=${{mlflow-artifacts.ENDPOINT}}' 'AWS_REGION=${{mlflow-artifacts.REGION}}'"
)
R2 = "https://a1.r2.cloudflarestorage.com"
B2 = "https://s3.us-west-002.backblazeb2.com"
STORES = {
    "s3": (S3, [f"{SET} AWS_REGION=ap-northeast-2", IN_BUCKET]),
    "s3-proxied": (
        (*S3, "--proxied"),
        [
            f"{SET} AWS_REGION=ap-northeast-2",
            f"{SET} MLFLOW_DEFAULT_ARTIFACT_ROOT=mlflow-artifacts:/ "
            "MLFLOW_ARTIFACTS_DESTINATION=s3://vision-platform-prod/mlflow-artifacts",
        ],
    ),
    "r2": (
        ("--store", "r2", "--bucket", "vision-platform-prod", "--endpoint", R2),
        [f"{SET} AWS_S3_ENDPOINT_URL={R2}", IN_BUCKET],
    ),
    "b2": (
        ("--store", "b2", "--bucket", "vision-platform-prod", "--endpoint", B2),
        [f"{SET} AWS_S3_ENDPOINT_URL={B2}", IN_BUCKET],
    ),
    "railway": (
        ("--store", "railway"),
        [
            f"{SET} {REFERRED_TO}",
            f"{SET} 'MLFLOW_DEFAULT_ARTIFACT_ROOT=s3://${{{{mlflow-artifacts.BUCKET}}}}/mlflow-artifacts'",
        ],
    ),
}
"""Options -> what is set of the store, besides its keys."""


def commands_for(store: str) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return options of the script, and the commands that it runs for them on an empty project."""
    options, stored = STORES[store]
    made = [ADDED, shlex.split("bucket create mlflow-artifacts --region sin")] if store == "railway" else [ADDED]
    keys = [] if store == "railway" else KEYS_SET
    return options, [*made, *DEPLOYED, PASSWORD_SET, *[shlex.split(command) for command in stored], *keys, UP]


@pytest.mark.parametrize("store", STORES)
def test_the_script_runs_exactly_the_commands_of_the_guide(railway: Railway, store: str) -> None:
    options, expected = commands_for(store)
    assert shown(script(railway, *options)) == expected
    assert railway.calls == []  # that was for show

    output = script(railway, *options, "--apply")
    assert railway.commands == shown(output) == expected
    typed_in = [call["stdin"] for call in railway.calls if "stdin" in call]
    assert typed_in == [*PASSWORD.values(), *([] if store == "railway" else KEYS.values())]


def test_no_secret_is_printed_or_in_an_argument(railway: Railway) -> None:
    output = script(railway, *S3) + script(railway, *S3, "--apply")
    arguments = [word for call in railway.calls for word in call["argv"]]
    for secret in (*PASSWORD.values(), *KEYS.values()):
        assert secret not in output
        assert not [word for word in arguments if secret in word]


def test_without_a_password_a_random_one_is_set_once(railway: Railway) -> None:
    railway.environment = KEYS
    output = script(railway, *S3, "--apply") + script(railway, *S3, "--apply")
    passwords = {call["stdin"] for call in railway.calls if call["argv"] == PASSWORD_SET}
    assert len(passwords) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9]{24}", password) and password not in output for password in passwords)
    railway.variables = PASSWORD
    before = railway.commands.count(PASSWORD_SET)
    assert "# The variable MLFLOW_AUTH_ADMIN_PASSWORD exists." in script(railway, *S3, "--apply")
    assert railway.commands.count(PASSWORD_SET) == before


def test_missing_credentials_are_read_from_the_terminal(railway: Railway) -> None:
    railway.environment = PASSWORD
    output = script(railway, *S3, "--apply", typed="AKIATYPED\nty ped\\n'\n")
    assert [call["stdin"] for call in railway.calls if "stdin" in call][1:] == ["AKIATYPED", "ty ped\\n'"]
    assert "TYPED" not in output
    assert "ty ped" not in output


def test_missing_credentials_without_a_terminal_end_the_script_first(railway: Railway) -> None:
    railway.environment = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"}
    done = railway.run("sh", SCRIPT, *S3, "--apply", cwd=Path("/"), terminal=False)
    assert (done.returncode, done.stderr) == (1, "Error: AWS_SECRET_ACCESS_KEY is not set.\n")
    assert railway.commands == []


def test_a_second_run_creates_nothing_twice(railway: Railway) -> None:
    railway.services = ("Postgres", "mlflow-service")
    railway.buckets = ("mlflow-artifacts",)
    output = script(railway, "--store", "railway", "--apply")
    assert railway.commands == commands_for("railway")[1][2:]
    assert "# The service mlflow-service exists." in output
    assert "# The bucket mlflow-artifacts exists." in output


def test_a_service_with_a_longer_name_is_another_one(railway: Railway) -> None:
    railway.services = ("Postgres", "mlflow-service-2", "my-mlflow-service")
    script(railway, *S3, "--apply")
    assert railway.commands[0] == ADDED


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"logged_in": False}, "Error: Log in first: railway login"),
        ({"linked": False}, "Error: This folder is not linked to a Railway project. Link it: railway link"),
        ({"services": ()}, "Error: The project has no service Postgres. Add it: railway add --database postgres."),
    ],
)
def test_a_missing_prerequisite_ends_the_script_first(railway: Railway, state: dict[str, bool], message: str) -> None:
    for name, value in state.items():
        setattr(railway, name, value)
    done = railway.run("sh", SCRIPT, *S3, "--apply", cwd=Path("/"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(message)
    assert railway.commands == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--store s3 needs --region"),
        (("--region", "us-east-1"), "--store s3 needs --bucket"),
        (("--store", "r2", "--bucket", "b"), "--store r2 needs --endpoint"),
        (("--store", "gcs"), "Invalid --store gcs. Use s3, r2, b2 or railway."),
        (("--bucket",), "--bucket needs a value."),
        (("--aply",), "Unknown option --aply."),
        ((*S3, "--service", "a}}b"), "Invalid name. Use letters, digits, dots"),
    ],
)
def test_an_invalid_option_is_reported_in_one_line(railway: Railway, options: tuple[str, ...], message: str) -> None:
    done = railway.run("sh", SCRIPT, *options, cwd=Path("/"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_without_a_terminal_the_manual_steps_are_printed(railway: Railway) -> None:
    output = script(railway, *S3, "--apply", terminal=False)
    assert "environment" not in [command[0] for command in railway.commands]
    assert "Start Command /mlflow/docker-entrypoint.sh, Healthcheck Path /health." in output


def test_a_failed_deployment_fails_the_script(railway: Railway) -> None:
    railway.up = 1
    done = railway.run("sh", SCRIPT, *S3, "--apply", cwd=Path("/"))
    assert done.returncode == 1
    assert "# Next" not in done.stdout


def test_the_commands_printed_at_the_end_are_valid(railway: Railway) -> None:
    output = script(railway, *S3)
    named = [line[1:].strip() for line in output.splitlines() if line.startswith("#      railway ")]
    assert len(named) == 5
    for command in named:
        assert railway.run("sh", "-c", command, cwd=ROOT).returncode == 0, command


def test_every_variable_is_a_setting_or_one_of_railways(railway: Railway) -> None:
    ours = {name for setting in SETTINGS for name in setting.variables}
    for options, _ in STORES.values():
        for arguments in shown(script(railway, *options)):
            if arguments[:2] == ["variable", "set"]:
                names = {word.partition("=")[0] for word in arguments[2:] if word.isupper() or "=" in word}
                assert names
                assert {name for name in names if not name.startswith("RAILWAY_")} <= ours


def test_railway_waits_longer_than_the_server_takes_to_end() -> None:
    assert f"RAILWAY_DEPLOYMENT_DRAINING_SECONDS={GRACE_S + 5}" in SCRIPT.read_text()


@pytest.mark.parametrize(
    "program",
    sorted(path for names in ("deploy/**/*.sh", "docker/**/*.sh", "tools/get_*s") for path in ROOT.glob(names)),
    ids=lambda program: program.name,
)
def test_shellcheck_finds_nothing(program: Path) -> None:
    checker = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([checker, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
