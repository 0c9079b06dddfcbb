"""The two guides for Railway, English and Korean: what stands in their blocks is right, and the same in both."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.docs.pages import DOCS, ENGLISH, GUIDES, KOREAN, PLATFORMS, Page
from tests.servers.railway import Railway

from railtrack.cli import COMMANDS
from railtrack.config.settings import SETTINGS, load
from railtrack.db.url import parse_database_url

ROOT = DOCS.parent
OURS = {name for setting in SETTINGS for name in setting.variables}
CLIENTS = {
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_S3_ENDPOINT_URL",
}
RAILWAYS = {"RAILWAY_DEPLOYMENT_DRAINING_SECONDS"}
PROGRAMS = {
    "railway": "played against the stand-in",
    "deploy/railway.sh": "the same",
    "curl": "run in test_guides_served.py, but for the installer",
    ".venv/bin/railtrack": "its commands are compared with the program's",
    "cat": "feeds railway",
    "docker": "starts compose.yaml, see tests/deploy",
    "git": "clones",
    "export": "sets what MLflow's clients read",
    "read": "the same, from the terminal",
    "cd": "goes there",
    "make": "its targets are compared in tests/house",
    "npm": "installs Railway's program",
    "sh": "the same",
    "fly": "",
    "heroku": "",
    "kubectl": "",
    "helm": "installs deploy/helm, see tests/deploy/test_helm.py",
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}
MUST_BE_THERE = [
    "vision-platform-prod", "ap-northeast-2", "mvp-vision-ai-platform", "mlflow-service", "backend-service",
    "docker/mlflow/Dockerfile", "/mlflow/docker-entrypoint.sh", "`/health`", "`30` seconds", "`On Failure`",
    "${{Postgres.DATABASE_URL}}", "Object Read & Write", "Generate Domain", "View Logs", "https://s3.us-west-002.backblazeb2.com",
    "https://<account_id>.r2.cloudflarestorage.com", "https://mlflow-service-production-xxxx.up.railway.app",
    "timm", "ultralytics", "huggingface", "http://localhost:5000", "http://localhost:9000", "railway login",
    "railway link", "railway up --service mlflow-service", "Could not connect to backend store",
    "Unable to locate credentials", "Connection refused", "password authentication failed", "$0.023", "$0.015", "512",
]  # fmt: skip
"""Texts of the guide that this one follows."""

both = pytest.mark.parametrize("page", GUIDES.values(), ids=GUIDES)
all_three = pytest.mark.parametrize("page", [*GUIDES.values(), PLATFORMS], ids=[*GUIDES, "platforms"])


def commands(page: Page) -> list[list[str]]:
    """Yield the commands of the bash blocks, each part of a pipe separately."""
    joined = "\n".join(block.code.replace("\\\n", " ") for block in page.blocks if block.language == "bash")
    return [shlex.split(part) for line in joined.splitlines() if line for part in line.split(" | ")]


def variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_both_guides_have_the_same_parts_and_the_same_code() -> None:
    assert [level for level, _ in ENGLISH.headings] == [level for level, _ in KOREAN.headings]
    assert [(one.language, one.code) for one in ENGLISH.blocks] == [(one.language, one.code) for one in KOREAN.blocks]
    assert len(ENGLISH.blocks) > 30
    for text in (r"`[^`\n]+`", r"\d+\. ", r"- "):  # what is code in the prose, and how many items lists have
        pattern = text if text.startswith("`") else f"(?m)^{text}"
        assert len(re.findall(pattern, ENGLISH.prose)) == len(re.findall(pattern, KOREAN.prose)), text
    assert set(re.findall(r"`[^`\n]+`", ENGLISH.prose)) == set(re.findall(r"`[^`\n]+`", KOREAN.prose))


@both
def test_the_guide_has_all_parts_of_the_one_it_follows(page: Page) -> None:
    assert not [text for text in MUST_BE_THERE if text not in page.text]


@all_three
def test_every_code_block_has_a_language(page: Page) -> None:
    assert {block.language for block in page.blocks} <= {"bash", "env", "json", "python", "text", "yaml"}


@all_three
def test_every_command_is_valid_shell_with_a_known_program(page: Page) -> None:
    for block in page.blocks:
        if block.language == "bash":
            done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    assert {arguments[0] for arguments in commands(page)} <= PROGRAMS.keys()


@all_three
def test_every_variable_is_a_known_one(page: Page) -> None:
    found = [variables(block.text).keys() for block in page.blocks if block.language == "env"]
    assert len(found) >= 1
    assert set().union(*found) <= OURS | CLIENTS | RAILWAYS


@both
def test_the_variables_lead_to_the_settings_that_the_guide_describes(page: Page) -> None:
    blocks = [variables(block.text) for block in page.blocks if block.language == "env"]
    stores = [one for one in blocks if "MLFLOW_DEFAULT_ARTIFACT_ROOT" in one]
    assert len(stores) == 5  # four stores, and all variables together
    for given in stores:
        settings = load({}, {name: resolved(text) for name, text in given.items() if name in OURS})
        assert settings.artifacts.default_root == "s3://vision-platform-prod/mlflow-artifacts"
        assert settings.aws.access_key_id
        assert settings.aws.secret_access_key
    (whole,) = [one for one in blocks if "MLFLOW_BACKEND_STORE_URI" in one]
    settings = load({}, {name: resolved(text) for name, text in whole.items() if name in OURS})
    assert parse_database_url(settings.database.uri).host == "postgres.railway.internal"
    assert (settings.server.host, settings.server.port, settings.server.workers, settings.server.threads) == (
        "0.0.0.0",
        5000,
        2,
        4,
    )
    assert settings.database.wait_s < 30


def resolved(text: str) -> str:
    """Replace what Railway and the user fill in."""
    known = {
        "${{Postgres.DATABASE_URL}}": "postgresql://postgres:pw@postgres.railway.internal:5432/railway",
        "${{mlflow-artifacts.BUCKET}}": "vision-platform-prod",
        "${{mlflow-artifacts.ENDPOINT}}": "https://storage.railway.app",
        "${{mlflow-artifacts.REGION}}": "auto",
        "<account_id>": "0123456789abcdef",
    }
    for name, value in known.items():
        text = text.replace(name, value)
    return re.sub(r"<\w+>|\$\{\{mlflow-artifacts\.\w+\}\}", "c2VjcmV0", text)


@both
def test_the_development_credentials_are_those_of_the_compose_file(page: Page) -> None:
    blocks = [variables(block.text) for block in page.blocks if block.language == "env"]
    (local,) = [given for given in blocks if given.get("MLFLOW_TRACKING_URI") == "http://localhost:5000"]
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert f":-{local['AWS_ACCESS_KEY_ID']}}}" in services["minio"]["environment"]["MINIO_ROOT_USER"]
    assert f":-{local['AWS_SECRET_ACCESS_KEY']}}}" in services["minio"]["environment"]["MINIO_ROOT_PASSWORD"]
    assert local["MLFLOW_S3_ENDPOINT_URL"] == "http://localhost:9000"


@both
def test_the_commands_for_railway_are_valid(page: Page, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    (clone / "deploy").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "railway.sh", clone / "deploy")
    railway = Railway(tmp_path / "bin", environment=KEYS)
    (clone / "blocks.sh").write_text("set -eu\n" + "\n".join(railway_blocks(page)))
    done = railway.run("sh", "blocks.sh", cwd=clone, typed="AKIATYPED\n\x04typed too\n\x04password\n\x04")
    assert done.returncode == 0, done.stderr
    calls = railway.calls
    typed = [call["stdin"] for call in calls if "stdin" in call]
    assert typed[-3:] == ["AKIATYPED\n", "typed too\n", "password\n"]
    assert "MLFLOW_BACKEND_STORE_URI=${{Postgres.DATABASE_URL}}" in [word for call in calls for word in call["argv"]]
    assert ["up", "--service", "mlflow-service"] in railway.commands
    assert ["domain", "--service", "mlflow-service", "--port", "5000"] in railway.commands


def railway_blocks(page: Page) -> list[str]:
    return [
        one.text for one in page.blocks if one.language == "bash" and re.search(r"(?m)^(deploy/)?railway", one.text)
    ]


@both
def test_the_manual_steps_set_the_same_as_the_script(page: Page, tmp_path: Path) -> None:
    railway = Railway(tmp_path, environment=KEYS)
    output = railway.run("sh", ROOT / "deploy" / "railway.sh", "--bucket", "vision-platform-prod", "--region",
                       "ap-northeast-2", cwd=ROOT).stdout  # fmt: skip
    by_hand = {
        argument
        for arguments in commands(page)
        if arguments[:3] == ["railway", "variables", "set"]
        for argument in arguments
        if "=" in argument
    }
    by_script = {
        word for line in output.splitlines() if " variable set " in line for word in shlex.split(line) if "=" in word
    }
    assert by_hand == by_script


@both
def test_every_railway_command_in_the_prose_is_valid(page: Page, tmp_path: Path) -> None:
    named = set(re.findall(r"`(railway [a-z][^`]*)`", page.prose))
    gone = {"railway service create", "railway ps"}
    assert gone < named
    railway = Railway(tmp_path)
    for command in named - gone:
        asked = f"{command} --help" if len(command.split()) == 2 else command
        done = railway.run("sh", "-c", asked, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
    for command in gone:
        assert railway.run("sh", "-c", command, cwd=tmp_path).returncode == 2


@both
def test_every_railtrack_command_exists(page: Page) -> None:
    inside = [
        arguments[arguments.index("--") + 1 :] for arguments in commands(page) if arguments[:2] == ["railway", "ssh"]
    ]
    here = [arguments for arguments in commands(page) if arguments[0] == ".venv/bin/railtrack"]
    named = {arguments[1] for arguments in inside + here}
    named |= set(re.findall(r"`railtrack (\w+)", page.prose))
    assert {"doctor", "verify"} <= named
    assert named <= COMMANDS.keys()


@both
def test_the_policy_for_amazon_allows_the_folder_only(page: Page) -> None:
    (policy,) = [json.loads(block.text) for block in page.blocks if block.language == "json"]
    allowed = [statement["Action"] for statement in policy["Statement"]]
    assert allowed == [
        ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
        "s3:ListBucket",
    ]  # that each is needed, and these are enough, is tried out in test_guides_served.py
    assert {statement["Resource"] for statement in policy["Statement"]} == {
        "arn:aws:s3:::vision-platform-prod/mlflow-artifacts/*",
        "arn:aws:s3:::vision-platform-prod",
    }
