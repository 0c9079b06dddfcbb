"""Whose keys are taken, and those of roles: from STS, a container's agent and an instance's metadata service, each a
server on a loopback address.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.certificates import Authority
from tests.servers.processes import free_port
from tests.servers.roles import ROLE, RoleServer, role_server
from tests.servers.s3 import S3Server

from railtrack.artifacts.s3 import roles
from railtrack.artifacts.s3.credentials import aws_host, provider_of
from railtrack.config.settings import load
from railtrack.errors import ApiError

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


async def refusal(environ: dict[str, str], status: int = 403) -> str:
    with pytest.raises(ApiError) as caught:
        await key_of(environ)
    assert caught.value.status == status
    assert "\n" not in caught.value.message
    return caught.value.message


async def test_the_first_in_amazons_order_that_is_set_counts(
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


async def test_nobody_is_asked_for_an_instances_role_unless_a_setting_says_so(agent: RoleServer) -> None:
    message = await refusal({"AWS_EC2_METADATA_SERVICE_ENDPOINT": agent.url})
    assert message.startswith("Unable to locate credentials: an s3:// location needs them. Set AWS_ACCESS_KEY_ID and ")
    assert "RAILTRACK_S3_INSTANCE_ROLE=on" in message
    assert agent.asked == []


async def test_half_of_the_keys_is_no_reason_to_look_further(agent: RoleServer) -> None:
    assert "AWS_SECRET_ACCESS_KEY is not set" in await refusal({"AWS_ACCESS_KEY_ID": "a", **container(agent)})
    assert agent.asked == []


# Web identities


async def test_a_web_identity_gives_keys_that_the_store_takes(
    s3: S3Server, bucket: str, web_identity: dict[str, str]
) -> None:
    stores = stores_at(f"s3://{bucket}", {**web_identity, "AWS_ENDPOINT_URL": s3.url})
    stores.check_credentials()
    assert await stores.try_out() == []
    stores.close()


async def test_a_web_identitys_token_is_read_anew_and_sent_with_the_role(
    agent: RoleServer, web_identity: dict[str, str], tmp_path: Path
) -> None:
    await refusal({**web_identity, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "nowhere")})
    assert "AWS_ROLE_ARN is not" in await refusal({**web_identity, "AWS_ROLE_ARN": ""})
    agent.answers = [
        (403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not for you.</Message></Error></ErrorResponse>")
    ]
    message = await refusal({**web_identity, "AWS_ENDPOINT_URL_STS": agent.url})
    assert message == (
        f"Unable to locate credentials: STS at {agent.url} refuses the role {web_identity['AWS_ROLE_ARN']}: "
        "AccessDenied: Not for you. Check AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE."
    )
    assert [(one.method, one.target) for one in agent.asked] == [("POST", "/")]


async def test_sts_is_amazons_in_the_region() -> None:
    assert aws_host("sts", "eu-west-1") == "sts.eu-west-1.amazonaws.com"
    assert aws_host("sts", "auto") == "sts.us-east-1.amazonaws.com"
    assert aws_host("s3", "cn-north-1") == "s3.cn-north-1.amazonaws.com.cn"


# Containers


async def test_a_containers_agent_is_shown_the_token(agent: RoleServer, tmp_path: Path) -> None:
    environ = container(agent, AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic abc")
    assert await key_of(environ) == "KEY1"
    file = tmp_path / "token"
    file.write_text("first\n")
    environ = container(agent, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(file))
    provider = provider_of(load({}, environ).aws, "us-east-1")
    agent.lifetime = 1
    with pytest.raises(ApiError, match="those offered have expired"):
        await provider()
    file.write_text("second")
    agent.lifetime = 3600
    assert await key_of(environ) == "KEY3"
    assert [one.headers.get("authorization") for one in agent.asked] == ["Basic abc", "first", "second"]
    file.write_text("a\nb")
    assert "is no value of a header" in await refusal(environ)


async def test_a_containers_agent_that_refuses_is_told_with_the_variable(agent: RoleServer) -> None:
    agent.answers = [(401, "no")]
    message = await refusal(container(agent))
    assert message == (
        f"Unable to locate credentials: the container's agent at {agent.url} answers 401. "
        "Check AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN."
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://store.example/x", "store.example may be asked by https only"),
        ("http://10.0.0.1/x", "10.0.0.1 may be asked by https only"),
        ("http://169.254.169.254/x", "169.254.169.254 may be asked by https only"),
        ("http://localhost.evil.example/x", "may be asked by https only"),
        ("http://127.0.0.1@evil.example/x", "is not a URL"),
        ("ftp://127.0.0.1/x", "is not a URL"),
        ("127.0.0.1/x", "is not a URL"),
        ("http://127.0.0.1:0/x", "is not a URL"),
        ("http://127.0.0.1/a b", "is not a URL"),
    ],
)
async def test_the_token_goes_to_no_other_host_in_plain_text(url: str, told: str) -> None:
    message = await refusal({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url})
    assert message.startswith("Unable to locate credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI: ")
    assert told in message


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost/x", "http://169.254.170.2/x",
        "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials", "https://store.example/x",
    ],
)  # fmt: skip
def test_amazons_agents_loopback_addresses_and_https_may_be_asked(url: str) -> None:
    provider_of(load({}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}).aws, "us-east-1")


async def test_a_relative_uri_is_a_path() -> None:
    provider_of(load({}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}).aws, "us-east-1")
    for wrong in ("v2/credentials", "@evil.example/x", "/a b"):
        message = await refusal({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": wrong})
        assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: " in message
        assert "is not a path" in message


async def test_an_agent_may_have_a_certificate_of_ones_own_authority(tmp_path: Path) -> None:
    authority = Authority.new(tmp_path)
    async with role_server(authority.server("127.0.0.1")) as agent:
        assert await key_of({**container(agent), "AWS_CA_BUNDLE": str(authority.bundle)}) == "KEY1"


# Instances


async def test_an_instances_role_is_asked_for_with_a_token(agent: RoleServer) -> None:
    assert await key_of(instance(agent)) == "KEY1"
    assert [(one.method, one.target) for one in agent.asked] == [
        ("PUT", "/latest/api/token"),
        ("GET", ROLE),
        ("GET", f"{ROLE}the-role"),
    ]
    assert agent.asked[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "300"


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([(403, "")], "answers 403 to /latest/api/token. Give the instance a role, or set"),
        ([(404, "")], "answers 404 to /latest/api/token"),
        ([(200, "a\x00b")], "to /latest/api/token"),
        ([(200, "token"), (404, "")], f"answers 404 to {ROLE}"),
        ([(200, "token"), (200, "role"), (200, '{"Code": "AssumeRoleUnauthorizedAccess"}')], "AssumeRoleUnauthorized"),
    ],
)
async def test_an_instance_without_a_role_is_told(agent: RoleServer, answers: list[tuple[int, str]], told: str) -> None:
    agent.answers = answers
    message = await refusal(instance(agent))
    assert message.startswith(f"Unable to locate credentials: the instance's metadata service at {agent.url} ")
    assert told in message


# What passes


async def test_who_is_busy_is_asked_again_and_who_is_away_is_told(
    agent: RoleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "WAIT_S", 0.01)
    agent.answers = [(503, ""), (429, "")]
    assert await key_of(container(agent)) == "KEY1"
    agent.answers = [(500, "")] * 10
    told = "There are no credentials for S3 at the moment: "
    assert (await refusal(container(agent), 503)) == f"{told}{agent.url}: HTTP 500"
    assert len(agent.asked) == 6
    gone = f"http://127.0.0.1:{free_port()}"
    assert (await refusal({"AWS_CONTAINER_CREDENTIALS_FULL_URI": gone}, 503)).startswith(f"{told}{gone}: ")


@pytest.mark.parametrize("body", ["", "[]", "null", "<html>", '{"AccessKeyId": "a"}', '{"Expiration": "soon"}'])
async def test_an_answer_that_has_no_keys_is_none(agent: RoleServer, body: str) -> None:
    agent.answers = [(200, body)]
    assert await refusal(container(agent), 503) == (
        f"There are no credentials for S3 at the moment: {agent.url} answers with something else."
    )


async def test_no_secret_is_told(agent: RoleServer) -> None:
    agent.answers = [(403, "the-secret-of-the-answer")]
    message = await refusal(container(agent, AWS_CONTAINER_AUTHORIZATION_TOKEN="the-secret-of-ours"))
    assert not re.search("the-secret", message)
