"""The login page in front of the web interface, the account page, and the end of sessions."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.servers.railtrack import RailtrackServer, command, railtrack_server
from tests.ui.browser import Tab, new_tab

from railtrack.auth.state import MAX_AGE_S

PASSWORD = "chosen by the operator"
SETTINGS = {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    with railtrack_server(tmp_path_factory.mktemp("login"), environment=SETTINGS) as server:
        yield server
        assert server.logged_errors() == []


@pytest.fixture
def guest(server: RailtrackServer, browser: Browser) -> Iterator[Tab]:
    """Yield a tab that is not logged in."""
    with new_tab(browser, server.url) as tab:
        yield tab


def log_in(page: Page, username: str, password: str) -> None:
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def log_out(page: Page) -> None:
    """Log out by the menu of the interface."""
    page.get_by_text("admin", exact=True).filter(visible=True).first.click()
    page.get_by_text("Logout", exact=True).filter(visible=True).first.click()


def test_the_login_returns_to_the_route_and_the_logout_to_the_login(guest: Tab) -> None:
    guest.open("/experiments/0/runs")
    expect(guest.page).to_have_url(re.compile(r"/login#/experiments/0/runs$"))
    guest.keep_screenshot("login")
    log_in(guest.page, "admin", "wrong")
    guest.see("The user name or the password is wrong.")
    log_in(guest.page, "admin", PASSWORD)
    expect(guest.page).to_have_url(re.compile(r"/#/experiments/0/runs"))
    guest.see("Default")
    guest.check(allowed=(r"^401 POST /login$",))
    guest.keep_screenshot("logged-in")
    log_out(guest.page)
    expect(guest.page).to_have_url(re.compile(r"/login"))
    guest.open("/")
    expect(guest.page).to_have_url(re.compile(r"/login"))


def test_a_session_that_ends_leads_to_the_login_and_back(guest: Tab, server: RailtrackServer) -> None:
    created = command(server.folder, "users", "create", "eve", "--admin", RAILTRACK_DATA=f"{server.folder}/data")
    guest.open("/experiments/0/runs")
    log_in(guest.page, "eve", created.stdout.split()[-1])
    guest.see("Choose a new password first.")
    change_password(guest.page, created.stdout.split()[-1], PASSWORD)
    guest.open("/experiments/0/runs")
    guest.see("Default")
    reset = command(server.folder, "users", "reset", "eve", RAILTRACK_DATA=f"{server.folder}/data")
    guest.until(lambda: guest.page.request.get(f"{server.url}/graphql").status, 401)
    # The other worker, to which the page may send its only request, accepts the session this much longer.
    guest.page.wait_for_timeout(1000 * MAX_AGE_S)
    guest.page.evaluate("location.hash = '#/models'")
    expect(guest.page).to_have_url(re.compile(r"/login#/models"))
    log_in(guest.page, "eve", reset.stdout.split()[-1])
    guest.see("Choose a new password first.")


def change_password(page: Page, current: str, new: str) -> None:
    page.get_by_label("Current password").fill(current)
    page.get_by_label("New password, of at least 12 characters").fill(new)
    page.get_by_label("New password again").fill(new)
    page.get_by_role("button", name="Change the password").click()


def test_the_account_page_creates_and_revokes_a_token(guest: Tab, server: RailtrackServer) -> None:
    guest.page.goto(f"{server.url}/account")
    log_in(guest.page, "admin", PASSWORD)
    guest.see("Account of admin", "You have no tokens.")
    guest.page.get_by_label("Name, such as the machine").fill("laptop")
    guest.page.get_by_label("Your password").fill(PASSWORD)
    guest.page.get_by_role("button", name="Create the token").click()
    guest.see("Copy your new token now.")
    token = guest.page.locator("#new-token code").inner_text()
    guest.keep_screenshot("account")
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{server.url}/api/2.0/mlflow/experiments/search?max_results=1"
    with guest.page.context.browser.new_context() as other:  # type: ignore[union-attr]
        assert other.request.get(url, headers=headers).status == 200
        guest.page.get_by_role("button", name="Revoke").click()
        guest.see("You have no tokens.")
        guest.until(lambda: other.request.get(url, headers=headers).status, 401)
    guest.page.get_by_role("button", name="Log out").click()
    guest.see("Log in")
    assert guest.errors == []
