"""Login at an OpenID Connect provider in a browser, with two workers: to the route, a token, and the logout."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from tests.servers.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, oidc_provider
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.ui.browser import Tab, new_tab


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def server(provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    settings = {
        "RAILTRACK_AUTH": "on",
        "RAILTRACK_AUTH_PASSWORD_FORM": "off",
        "RAILTRACK_OIDC_ISSUER": provider.url,
        "RAILTRACK_OIDC_CLIENT_ID": CLIENT_ID,
        "RAILTRACK_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "RAILTRACK_LOG_LEVEL": "debug",
        "GUNICORN_WORKERS": "2",
    }
    with railtrack_server(tmp_path_factory.mktemp("sso"), environment=settings) as server:
        yield server
        assert server.logged_errors() == []
        assert CLIENT_SECRET not in server.log()


@pytest.fixture
def guest(server: RailtrackServer, browser: Browser) -> Iterator[Tab]:
    with new_tab(browser, server.url) as tab:
        yield tab


def test_a_login_at_the_provider_returns_to_the_route(guest: Tab, provider: OidcProvider) -> None:
    guest.open("/experiments/0/runs")
    expect(guest.page).to_have_url(re.compile(r"/login#/experiments/0/runs$"))
    expect(guest.page.get_by_label("Password")).to_have_count(0)
    guest.keep_screenshot("single-sign-on")
    guest.page.get_by_role("link", name="Log in with single sign-on").click()
    guest.page.get_by_role("button", name="Continue as Eve").click()
    expect(guest.page).to_have_url(re.compile(r"/#/experiments/0/runs"))
    guest.see("Default")
    guest.page.goto(f"{guest.url}/account")
    guest.see("Account of eve@example.com", "You have no tokens.")
    guest.page.get_by_label("Name, such as the machine").fill("laptop")
    guest.page.get_by_role("button", name="Create the token").click()
    guest.see("Copy your new token now.")
    guest.page.get_by_role("button", name="Log out").click()
    expect(guest.page).to_have_url(re.compile(r"/login$"))
    assert provider.logouts[-1]["post_logout_redirect_uri"] == f"{guest.url}/login/oidc/callback"
    guest.open("/")
    expect(guest.page).to_have_url(re.compile(r"/login"))
    assert guest.errors == []
