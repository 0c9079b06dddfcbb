"""Which source of credentials counts, and each source: a role server, moto's STS and a fake one, programs, files."""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.certificates import Authority
from tests.servers.fake_sts import FakeSts, fake_sts
from tests.servers.processes import free_port, until
from tests.servers.roles import ROLE, RoleServer, role_server
from tests.servers.s3 import S3Server

from railtrack.artifacts.s3 import credentials as credentials_module
from railtrack.artifacts.s3.credentials import aws_host, provider_of
from railtrack.artifacts.s3.signing import Credentials
from railtrack.config.settings import load
from railtrack.errors import ApiError

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "STATIC", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
async def agent() -> AsyncIterator[RoleServer]:
    async with role_server() as server:
        yield server


@pytest.fixture
def web_identity(s3: S3Server, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "token").write_text("header.claims.signature\n")
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": s3.new_role(tmp_path.name),
        "AWS_ENDPOINT_URL_STS": s3.url,
    }


@pytest.fixture
def profile(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "credentials").write_text("[ml]\naws_access_key_id = PROFILE\naws_secret_access_key = s%\n")
    return {"AWS_PROFILE": "ml", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}


def container(agent: RoleServer, **more: str) -> dict[str, str]:
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{agent.url}/credentials?id=1", **more}


def instance(agent: RoleServer) -> dict[str, str]:
    return {"RAILTRACK_S3_INSTANCE_ROLE": "on", "AWS_EC2_METADATA_SERVICE_ENDPOINT": agent.url}


async def key_of(environ: dict[str, str]) -> str:
    return (await provider_of(load({}, environ).aws, "us-east-1")()).access_key


async def error_of(environ: dict[str, str], status: int = 403) -> str:
    with pytest.raises(ApiError) as caught:
        await key_of(environ)
    assert caught.value.status == status
    assert "\n" not in caught.value.message
    return caught.value.message


async def test_the_first_source_in_amazons_order_is_used(
    s3: S3Server, agent: RoleServer, web_identity: dict[str, str], profile: dict[str, str]
) -> None:
    all_of_them = instance(agent) | container(agent) | profile | web_identity | KEYS
    assert await key_of(all_of_them) == "STATIC"
    without_keys = instance(agent) | container(agent) | profile | web_identity
    assert (await key_of(without_keys)).startswith("ASIA")
    assert await key_of(instance(agent) | container(agent) | profile) == "PROFILE"
    assert agent.asked == []
    assert await key_of(instance(agent) | container(agent)) == "KEY1"
    assert agent.targets() == ["/credentials?id=1"]
    assert await key_of(instance(agent)) == "KEY2"


async def test_an_instances_role_is_used_only_if_a_setting_allows_it(agent: RoleServer) -> None:
    message = await error_of({"AWS_EC2_METADATA_SERVICE_ENDPOINT": agent.url})
    assert message.startswith("Unable to locate credentials: an s3:// location needs them. Set AWS_ACCESS_KEY_ID and ")
    assert "RAILTRACK_S3_INSTANCE_ROLE=on" in message
    assert agent.asked == []


async def test_half_of_the_keys_is_an_error(agent: RoleServer) -> None:
    assert "AWS_SECRET_ACCESS_KEY is not set" in await error_of({"AWS_ACCESS_KEY_ID": "a", **container(agent)})
    assert agent.asked == []


# Web identities


async def test_a_web_identity_provides_keys_that_the_store_accepts(
    s3: S3Server, bucket: str, web_identity: dict[str, str]
) -> None:
    stores = stores_at(f"s3://{bucket}", {**web_identity, "AWS_ENDPOINT_URL": s3.url})
    stores.check_credentials()
    assert await stores.probe_buckets() == []
    stores.close()


async def test_a_web_identity_that_is_denied_is_reported_with_the_role(
    agent: RoleServer, web_identity: dict[str, str], tmp_path: Path
) -> None:
    await error_of({**web_identity, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "nowhere")})
    assert "AWS_ROLE_ARN is not" in await error_of({**web_identity, "AWS_ROLE_ARN": ""})
    agent.answers = [
        (403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not for you.</Message></Error></ErrorResponse>")
    ]
    message = await error_of({**web_identity, "AWS_ENDPOINT_URL_STS": agent.url})
    assert message == (
        f"Unable to locate credentials: web identity: STS at {agent.url} denies the role "
        f"{web_identity['AWS_ROLE_ARN']}: AccessDenied: Not for you. "
        "Check AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE."
    )
    assert [(one.method, one.target) for one in agent.asked] == [("POST", "/")]


async def test_the_default_sts_is_amazons_in_the_region() -> None:
    assert aws_host("sts", "eu-west-1") == "sts.eu-west-1.amazonaws.com"
    assert aws_host("sts", "auto") == "sts.us-east-1.amazonaws.com"
    assert aws_host("s3", "cn-north-1") == "s3.cn-north-1.amazonaws.com.cn"


# Containers


async def test_a_containers_agent_gets_the_token(agent: RoleServer, tmp_path: Path) -> None:
    environ = container(agent, AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic abc")
    assert await key_of(environ) == "KEY1"
    file = tmp_path / "token"
    file.write_text("first\n")
    environ = container(agent, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(file))
    assert await key_of(environ) == "KEY2"
    file.write_text("second")
    assert await key_of(environ) == "KEY3"
    assert [one.headers.get("authorization") for one in agent.asked] == ["Basic abc", "first", "second"]
    file.write_text("a\nb")
    assert "has no valid header value" in await error_of(environ)


async def test_a_containers_agent_that_denies_credentials_is_reported_with_its_variable(agent: RoleServer) -> None:
    agent.answers = [(401, "no")]
    message = await error_of(container(agent))
    assert message == (
        f"Unable to locate credentials: the container's agent at {agent.url}: "
        "Unsuccessful status code returned from credentials-fetching http request. "
        "Check AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN."
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://store.example/x", "store.example is allowed by https only"),
        ("http://10.0.0.1/x", "10.0.0.1 is allowed by https only"),
        ("http://169.254.169.254/x", "169.254.169.254 is allowed by https only"),
        ("http://localhost.evil.example/x", "is allowed by https only"),
        ("http://127.0.0.1@evil.example/x", "is not a URL"),
        ("ftp://127.0.0.1/x", "is not a URL"),
        ("127.0.0.1/x", "is not a URL"),
        ("http://127.0.0.1:0/x", "is not a URL"),
        ("http://127.0.0.1/a b", "is not a URL"),
    ],
)
async def test_the_token_is_sent_to_no_other_host_in_plain_text(url: str, expected: str) -> None:
    message = await error_of({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url})
    assert message.startswith("Unable to locate credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI: ")
    assert expected in message


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost/x", "http://169.254.170.2/x",
        "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials", "https://store.example/x",
    ],
)  # fmt: skip
def test_amazons_agents_loopback_addresses_and_https_are_allowed(url: str) -> None:
    provider_of(load({}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}).aws, "us-east-1")


async def test_a_relative_uri_is_a_path() -> None:
    provider_of(load({}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}).aws, "us-east-1")
    for wrong in ("v2/credentials", "@evil.example/x", "/a b"):
        message = await error_of({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": wrong})
        assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: " in message
        assert "is not a path" in message


async def test_an_agent_may_have_a_certificate_of_a_private_ca(tmp_path: Path) -> None:
    authority = Authority.new(tmp_path)
    async with role_server(authority.server("127.0.0.1")) as agent:
        assert await key_of({**container(agent), "AWS_CA_BUNDLE": str(authority.bundle)}) == "KEY1"


# Instances


async def test_an_instances_role_is_requested_with_a_token(agent: RoleServer) -> None:
    assert await key_of(instance(agent)) == "KEY1"
    assert [(one.method, one.target) for one in agent.asked] == [
        ("PUT", "/latest/api/token"),
        ("GET", ROLE),
        ("GET", f"{ROLE}the-role"),
    ]


@pytest.mark.parametrize("answers", [[(403, "")], [(404, "")], [(200, "token"), (404, "")], [(500, "")] * 10])
async def test_an_instance_without_a_role_gets_advice(agent: RoleServer, answers: list[tuple[int, str]]) -> None:
    agent.answers = answers
    assert await error_of(instance(agent)) == (
        f"Unable to locate credentials: the instance's metadata service at {agent.url}: Valid credentials could not be "
        "sourced by the IMDS provider. Give the instance a role, or set RAILTRACK_S3_INSTANCE_ROLE=off and keys."
    )


async def test_a_provider_that_aborts_its_process_leaves_the_server_alone(agent: RoleServer) -> None:
    """As awscrt 0.38 does for this answer, and when STS can't be reached: one reason for the process."""
    agent.answers = [(200, "token"), (200, "role"), (200, '{"Code": "AssumeRoleUnauthorizedAccess"}')]
    assert "awscrt aborted" in await error_of(instance(agent), 503)


# Profiles


@pytest.fixture
def new_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Return a function that writes profiles into the config file, and returns the settings that use the first one."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def new(**profiles: str) -> dict[str, str]:
        sections = [f"[{'profile ' * (name != 'session')}{name}]\n{fields}\n" for name, fields in profiles.items()]
        (tmp_path / "config").write_text("".join(sections).replace("[session]", "[sso-session session]"))
        (tmp_path / "credentials").write_text("[base]\naws_access_key_id = BASE\naws_secret_access_key = s%\n")
        return {
            "AWS_PROFILE": next(iter(profiles)),
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        }

    return new


ROLE_FIELDS = "role_arn = arn:aws:iam::123456789012:role/ml\n"
NewProfile = Callable[..., dict[str, str]]


async def test_a_profile_may_run_a_program(new_profile: NewProfile, tmp_path: Path) -> None:
    printed = {"Version": 1, "AccessKeyId": "PROGRAM", "SecretAccessKey": "s", "Expiration": "2100-01-01T00:00:00Z"}
    (tmp_path / "printed.json").write_text(json.dumps(printed))
    environ = new_profile(ml=f"credential_process = cat {tmp_path}/printed.json")
    credentials = await provider_of(load({}, environ).aws, "us-east-1")()
    assert credentials.access_key == "PROGRAM"
    assert credentials.expires == datetime(2100, 1, 1, tzinfo=UTC).timestamp()
    (tmp_path / "printed.json").write_text("no JSON")
    message = await error_of(environ)
    assert message.startswith("Unable to locate credentials: AWS_PROFILE is 'ml': ")
    assert message.endswith(". Correct the profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.")


async def test_a_program_does_not_inherit_the_settings_of_the_server(
    new_profile: NewProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = {"Version": 1, "AccessKeyId": "PROGRAM", "SecretAccessKey": "s", "Expiration": "2100-01-01T00:00:00Z"}
    (tmp_path / "printed.json").write_text(json.dumps(printed))
    own = {"MLFLOW_BACKEND_STORE_URI", "DATABASE_URL", "PGPASSWORD", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"}
    for name in (*own, "OF_THE_USER"):
        monkeypatch.setenv(name, "a value")
    environ = new_profile(ml=f"credential_process = sh -c 'env > {tmp_path}/env; cat {tmp_path}/printed.json'")
    assert (await provider_of(load({}, environ).aws, "us-east-1")()).access_key == "PROGRAM"
    inherited = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert {"PATH", "OF_THE_USER", "AWS_PROFILE"} <= inherited
    assert not own & inherited


@pytest.mark.parametrize("is_parent_running", [True, False])
async def test_a_program_that_hangs_is_killed(
    is_parent_running: bool, new_profile: NewProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the process that runs awscrt, and the program, was killed before."""
    monkeypatch.setattr(credentials_module, "PROCESS_TIMEOUT_S", 1.0)
    before = "" if is_parent_running else "kill -9 $(ps -o ppid= -p $PPID); "
    environ = new_profile(ml=f"credential_process = sh -c 'echo $$ > {tmp_path}/pid; {before}exec sleep 600'")
    assert "AWS_PROFILE is 'ml': no response within 1 s" in await error_of(environ, 503)
    pid = (tmp_path / "pid").read_text().strip()
    await until(lambda: not Path(f"/proc/{pid}").exists() or "(zombie)" in Path(f"/proc/{pid}/status").read_text())


async def test_a_profile_must_exist(new_profile: NewProfile, tmp_path: Path) -> None:
    environ = new_profile(ml="region = eu-west-1") | {"AWS_PROFILE": "other"}
    assert f"there is no such profile in {tmp_path}/config or {tmp_path}/credentials" in await error_of(environ)
    (tmp_path / "config").write_text("no section")
    assert f"{tmp_path}/config can't be read (MissingSectionHeaderError)" in await error_of(environ)


async def test_a_profile_uses_the_instances_role_only_if_a_setting_allows_it(
    agent: RoleServer, new_profile: NewProfile
) -> None:
    environ = new_profile(
        ml=f"{ROLE_FIELDS}source_profile = middle", middle=f"{ROLE_FIELDS}credential_source = Ec2InstanceMetadata"
    )
    message = await error_of({**environ, "AWS_EC2_METADATA_SERVICE_ENDPOINT": agent.url})
    assert "Set RAILTRACK_S3_INSTANCE_ROLE=on to allow that" in message
    assert agent.asked == []


@pytest.fixture
async def sts(tmp_path: Path) -> AsyncIterator[FakeSts]:
    async with fake_sts(Authority.new(tmp_path)) as server:
        yield server


@pytest.mark.root
async def test_a_profile_assumes_a_role_with_the_keys_of_another(sts: FakeSts, new_profile: NewProfile) -> None:
    environ = new_profile(
        ml=f"{ROLE_FIELDS}source_profile = base\nexternal_id = abc\nrole_session_name = training\nregion = eu-west-1"
    )
    # S3's own address must not become that of STS.
    environ |= sts.environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    assert await key_of(environ) == "ASSUMED"
    (request,) = sts.requests
    assert "Credential=BASE/" in request.headers["authorization"]
    assert "/eu-west-1/sts/aws4_request" in request.headers["authorization"]
    assert request.form == {
        "Version": "2011-06-15",
        "Action": "AssumeRole",
        "RoleArn": "arn:aws:iam::123456789012:role/ml",
        "RoleSessionName": "training",
        "ExternalId": "abc",
        "DurationSeconds": "900",
    }


@pytest.mark.root
async def test_a_profile_assumes_a_role_with_the_instances_keys(
    sts: FakeSts, agent: RoleServer, new_profile: NewProfile
) -> None:
    environ = new_profile(ml=f"{ROLE_FIELDS}credential_source = Ec2InstanceMetadata") | instance(agent)
    assert await key_of(environ | sts.environment) == "ASSUMED"
    assert "Credential=KEY1/" in sts.requests[0].headers["authorization"]


@pytest.mark.root
async def test_a_denied_role_is_reported(sts: FakeSts, new_profile: NewProfile) -> None:
    sts.status = 403
    message = await error_of(new_profile(ml=f"{ROLE_FIELDS}source_profile = base") | sts.environment)
    assert "AWS_PROFILE is 'ml': Unsuccessful status code" in message


async def test_an_unreachable_sts_does_not_abort_the_server(new_profile: NewProfile) -> None:
    nowhere = {"AWS_ENDPOINT_URL_STS": "https://sts.invalid"}
    message = await error_of(new_profile(ml=f"{ROLE_FIELDS}source_profile = base") | nowhere, 503)
    assert message == (
        "There are no credentials for S3 at the moment: AWS_PROFILE is 'ml': awscrt aborted, as it does when STS can't "
        "be reached"
    )


async def test_an_sts_that_awscrt_cannot_reach_is_rejected(new_profile: NewProfile) -> None:
    """It would connect to port 443 whatever the URL is."""
    for url in ("http://127.0.0.1", "https://127.0.0.1:8443"):
        environ = new_profile(ml=f"{ROLE_FIELDS}source_profile = base") | {"AWS_ENDPOINT_URL_STS": url}
        assert f"by https at port 443 only, AWS_ENDPOINT_URL_STS is {url}" in await error_of(environ)


# SSO

SSO_FIELDS = "sso_account_id = 123456789012\nsso_role_name = ml"
SSO_SESSION = "sso_region = eu-west-1\nsso_start_url = https://company.awsapps.com/start"


def log_in(home: Path, key: str, expires: str = "2100-01-01T00:00:00Z") -> None:
    """Leave the token that `aws sso login` would leave."""
    folder = home / ".aws" / "sso" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"accessToken": "the-token", "expiresAt": expires})
    (folder / f"{hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()}.json").write_text(content)


@pytest.mark.parametrize(
    ("profiles", "key"),
    [
        ({"ml": f"{SSO_FIELDS}\nsso_session = session", "session": SSO_SESSION}, "session"),
        ({"ml": f"{SSO_FIELDS}\n{SSO_SESSION}"}, "https://company.awsapps.com/start"),
    ],
)
async def test_a_profile_uses_the_login_of_sso(
    agent: RoleServer, new_profile: NewProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    profiles: dict[str, str], key: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", agent.url)
    environ = new_profile(**profiles)
    assert "Log in with `aws sso login`" in await error_of(environ)
    log_in(tmp_path, key, "2020-01-01T00:00:00Z")
    assert "the SSO access token has expired. Log in" in await error_of(environ)
    assert agent.asked == []
    log_in(tmp_path, key)
    role = {"accessKeyId": "SSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 4102444800000}
    agent.answers = [(500, ""), (200, json.dumps({"roleCredentials": role}))]
    credentials = await provider_of(load({}, environ).aws, "us-east-1")()
    assert credentials == Credentials("SSO", "s", "t", 4102444800.0)
    assert agent.targets() == ["/federation/credentials?role_name=ml&account_id=123456789012"] * 2
    assert agent.asked[0].headers["x-amz-sso_bearer_token"] == "the-token"
    agent.answers = [(403, "")]
    assert "denies the role ml (HTTP 403)" in await error_of(environ)


async def test_sso_as_the_source_of_a_role_gets_advice(new_profile: NewProfile) -> None:
    environ = new_profile(ml=f"{ROLE_FIELDS}source_profile = login", login=f"{SSO_FIELDS}\n{SSO_SESSION}")
    assert "credential_process = aws configure export-credentials --profile login" in await error_of(environ)


# Errors


async def test_a_busy_source_is_retried_and_an_absent_one_is_reported(agent: RoleServer) -> None:
    agent.answers = [(503, ""), (429, "")]
    assert await key_of(container(agent)) == "KEY1"
    reason = "no valid response after several attempts"
    agent.answers = [(500, "")] * 10
    assert await error_of(container(agent), 503) == (
        f"There are no credentials for S3 at the moment: the container's agent at {agent.url}: {reason}"
    )
    absent = f"http://127.0.0.1:{free_port()}"
    assert reason in await error_of({"AWS_CONTAINER_CREDENTIALS_FULL_URI": absent}, 503)


@pytest.mark.parametrize("body", ["", "[]", "<html>", '{"AccessKeyId": "a"}', '{"Expiration": "soon"}'])
async def test_a_response_without_keys_is_an_error(agent: RoleServer, body: str) -> None:
    agent.answers = [(200, body)] * 10
    assert "no valid response after several attempts" in await error_of(container(agent), 503)


async def test_errors_contain_no_secret(agent: RoleServer) -> None:
    agent.answers = [(403, "the-secret-of-the-answer")]
    message = await error_of(container(agent, AWS_CONTAINER_AUTHORIZATION_TOKEN="the-secret-of-ours"))
    assert not re.search("the-secret", message)


async def test_a_source_sees_no_other_setting_of_aws(agent: RoleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """awscrt's chain would take what comes first in its own order."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ELSEWHERE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert await key_of(container(agent)) == "KEY1"
    assert await key_of(instance(agent)) == "KEY2"
