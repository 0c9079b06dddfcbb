"""Settings of logins by another system: combinations that the start rejects, and what doctor reports."""

from collections.abc import Iterator

import pytest
from tests.servers.oidc_provider import OidcProvider, Reply, oidc_provider

from railtrack.checks import CheckStatus
from railtrack.checks.logins import check_login_settings, check_provider
from railtrack.config.settings import Settings, load
from railtrack.errors import StartError

ISSUER, CLIENT = "RAILTRACK_OIDC_ISSUER", "RAILTRACK_OIDC_CLIENT_ID"
HEADER, PROXIES = "RAILTRACK_AUTH_HEADER", "RAILTRACK_AUTH_HEADER_PROXIES"
GOOGLE = {ISSUER: "https://accounts.google.com", CLIENT: "id"}


def settings(**variables: str) -> Settings:
    return load({}, {"RAILTRACK_AUTH": "on", **variables})


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({ISSUER: "https://id.example.com"}, "RAILTRACK_OIDC_CLIENT_ID is not set"),
        ({CLIENT: "id"}, "RAILTRACK_OIDC_ISSUER is not set"),
        ({"RAILTRACK_OIDC_CLIENT_SECRET": "a secret"}, "RAILTRACK_OIDC_ISSUER is not set"),
        ({ISSUER: "http://id.example.com", CLIENT: "id"}, "Use https://"),
        ({ISSUER: "https://user:pw@id.example.com", CLIENT: "id"}, "without login"),
        ({ISSUER: "id.example.com", CLIENT: "id"}, "Use a URL"),
        ({ISSUER: "https://id.example.com", CLIENT: "id", "RAILTRACK_AUTH": "off"}, "Set RAILTRACK_AUTH=on"),
        (GOOGLE, "everyone with a Google account could log in"),
        ({"RAILTRACK_OIDC_SCOPES": "email"}, "include openid"),
        ({"RAILTRACK_OIDC_GROUP_ROLES": "ml"}, "pairs of group and role"),
        ({"RAILTRACK_OIDC_GROUP_ROLES": "ml=a,ml=b"}, "one for each group"),
        ({"RAILTRACK_OIDC_ALLOWED_DOMAINS": "example"}, "domain such as example.com"),
        ({"RAILTRACK_OIDC_LABEL": "x" * 61}, "up to 60"),
        ({HEADER: "X-Forwarded-User"}, "everyone could send the header x-forwarded-user"),
        ({PROXIES: "10.0.0.1"}, "RAILTRACK_AUTH_HEADER is not set"),
        ({HEADER: "X-Forwarded-User", PROXIES: "*"}, "others could log in as anyone"),
        ({HEADER: "X-Forwarded-User", PROXIES: "0.0.0.0/0"}, "others could log in as anyone"),
        ({HEADER: "X-Forwarded-User", PROXIES: "0.0.0.0/1,128.0.0.0/1"}, "others could log in as anyone"),
        ({HEADER: "X-Forwarded-User", PROXIES: "::ffff:0:0/96"}, "others could log in as anyone"),
        ({HEADER: "X-Forwarded-User", PROXIES: "::/8"}, "others could log in as anyone"),
        ({HEADER: "X-Forwarded-User", PROXIES: "::/0"}, "others could log in as anyone"),
        ({HEADER: "X-Forwarded-User", PROXIES: "proxy"}, "IP address or a network"),
        ({HEADER: "X-Forwarded-User", PROXIES: "none"}, "everyone could send the header"),
        ({HEADER: "X-Forwarded-User", PROXIES: "10.0.0.1", "RAILTRACK_AUTH": "off"}, "Set RAILTRACK_AUTH=on"),
        ({HEADER: "Authorization", PROXIES: "10.0.0.1"}, "another purpose"),
        ({HEADER: "X-Forwarded-For", PROXIES: "10.0.0.1"}, "another purpose"),
        ({HEADER: "X_User", PROXIES: "10.0.0.1"}, "letters, digits and hyphens"),
        ({"RAILTRACK_AUTH_PASSWORD_FORM": "off"}, "nobody could log in"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_rejected(variables: dict[str, str], message: str) -> None:
    with pytest.raises(StartError, match=message) as error:
        check_login_settings(settings(**variables))
    assert "a secret" not in str(error.value)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"RAILTRACK_AUTH": "off"},
        {**GOOGLE, "RAILTRACK_OIDC_ALLOWED_DOMAINS": "Example.com, @example.org"},
        {**GOOGLE, "RAILTRACK_OIDC_CREATE_USERS": "off", "RAILTRACK_AUTH_PASSWORD_FORM": "off"},
        {ISSUER: "http://127.0.0.1:8080/realms/ml", CLIENT: "id"},
        {HEADER: "Remote-User", PROXIES: "10.0.0.1,127.0.0.1,fd00::/64", "RAILTRACK_AUTH_PASSWORD_FORM": "off"},
    ],
    ids=str,
)
def test_complete_settings_are_accepted(variables: dict[str, str]) -> None:
    check_login_settings(settings(**variables))


def test_lists_of_the_settings_are_parsed() -> None:
    one = settings(
        RAILTRACK_OIDC_GROUP_ROLES="/ml/team=trainer, cn=ops=operator",
        RAILTRACK_OIDC_ALLOWED_DOMAINS="Example.com, @example.org",
        RAILTRACK_OIDC_SCOPES="openid  email",
    ).oidc
    assert one.group_roles == (("/ml/team", "trainer"), ("cn=ops", "operator"))
    assert one.allowed_domains == ("example.com", "example.org")
    assert one.scopes == "openid email"


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


async def test_doctor_names_the_redirect_uri(provider: OidcProvider) -> None:
    [finding] = await check_provider(settings(**{ISSUER: provider.url, CLIENT: "id", "MLFLOW_STATIC_PREFIX": "/ml"}))
    assert finding.status is CheckStatus.OK
    assert finding.finding.endswith("https://<host of this server>/ml/login/oidc/callback")
    uri = "https://ml.example.com/login/oidc/callback"
    chosen = {ISSUER: provider.url, CLIENT: "id", "RAILTRACK_OIDC_REDIRECT_URI": uri}
    assert uri in (await check_provider(settings(**chosen)))[0].finding


async def test_doctor_reports_a_provider_that_does_not_respond(provider: OidcProvider) -> None:
    provider.replies["/.well-known/openid-configuration"] = Reply(b"", 404)
    [finding] = await check_provider(settings(**{ISSUER: provider.url, CLIENT: "id"}))
    assert finding.status is CheckStatus.WARNING
    assert "responded with 404" in finding.finding
    [finding] = await check_provider(settings(**{ISSUER: "http://127.0.0.1:1", CLIENT: "id"}))
    assert finding.status is CheckStatus.WARNING


async def test_doctor_reports_the_rest() -> None:
    assert await check_provider(settings()) == []
    [finding] = await check_provider(settings(**{HEADER: "Remote-User", PROXIES: "10.0.0.1"}))
    assert finding.finding == "The header remote-user counts from 10.0.0.1."
    [finding] = await check_provider(settings(**{HEADER: "Remote-User"}))
    assert finding.status is CheckStatus.PROBLEM
