"""The interface's pages for users and roles, and what a user sees who may read one experiment only."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.ui.browser import Tab, new_tab
from tests.ui.test_login import PASSWORD, SETTINGS, log_in

CREATE = """
name => fetch("/ajax-api/2.0/mlflow/experiments/create", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({name})
}).then(response => response.json())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    settings = SETTINGS | {"MLFLOW_AUTH_DEFAULT_PERMISSION": "NO_PERMISSIONS"}
    with railtrack_server(tmp_path_factory.mktemp("access"), environment=settings) as server:
        yield server
        assert server.logged_errors() == []


@pytest.fixture
def admin(server: RailtrackServer, browser: Browser) -> Iterator[Tab]:
    """Yield a tab in which the administrator is logged in."""
    with new_tab(browser, server.url) as tab:
        tab.open("/experiments")
        log_in(tab.page, "admin", PASSWORD)
        tab.see("Default")
        yield tab


def choose_experiment(dialog: Locator, tab: Tab, name: str) -> None:
    dialog.get_by_label("Experiment, no option selected").click()
    tab.page.get_by_role("option", name=name).click()


def test_a_user_created_in_the_interface_sees_only_what_was_granted(
    admin: Tab, server: RailtrackServer, browser: Browser
) -> None:
    hidden, shared = (admin.page.evaluate(CREATE, name)["experiment_id"] for name in ("hidden", "shared"))
    admin.open("/admin")
    admin.page.get_by_role("button", name="Create User").click()
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_placeholder("Enter username").fill("rita")
    dialog.get_by_placeholder("Enter password").fill(PASSWORD)
    dialog.get_by_text("Direct permissions").click()
    choose_experiment(dialog, admin, "shared")
    dialog.get_by_role("button", name="Add", exact=True).click()
    dialog.get_by_role("button", name="Create user").click()
    expect(admin.page.get_by_role("link", name="rita")).to_be_visible()
    admin.check()
    admin.keep_screenshot("admin-users")
    with new_tab(browser, server.url) as tab:
        tab.open("/experiments")
        log_in(tab.page, "rita", PASSWORD)
        tab.see("shared")
        expect(tab.page.get_by_text("hidden")).to_have_count(0)
        expect(tab.page.get_by_text("Default", exact=True)).to_have_count(0)
        tab.keep_screenshot("reader-experiments")
        tab.check()
        tab.open(f"/experiments/{shared}/runs")
        tab.see("No runs logged")
        tab.check()
        tab.open("/account")
        tab.see("Logged in as rita", "You have not been assigned to any roles.")
        tab.keep_screenshot("reader-account")
        tab.check()
        tab.open("/admin")
        tab.settle()
        expect(tab.page.get_by_role("button", name="Create User")).to_have_count(0)
        tab.errors.clear()
        tab.open(f"/experiments/{hidden}/runs")
        tab.see("Permission denied")
        tab.keep_screenshot("reader-denied")


def test_a_role_created_in_the_interface_gives_its_permissions_to_its_users(
    admin: Tab, server: RailtrackServer, browser: Browser
) -> None:
    admin.page.evaluate(CREATE, "of the team")
    admin.open("/admin")
    admin.page.get_by_role("button", name="Create User").click()
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_placeholder("Enter username").fill("theo")
    dialog.get_by_placeholder("Enter password").fill(PASSWORD)
    dialog.get_by_role("button", name="Create user").click()
    expect(admin.page.get_by_role("link", name="theo")).to_be_visible()
    admin.page.get_by_role("tab", name="Roles").click()
    admin.page.get_by_role("button", name="Create Role").click()
    dialog.get_by_placeholder("Enter role name").fill("team")
    dialog.get_by_text("Permissions", exact=True).click()
    dialog.get_by_text("Specific experiment").click()
    choose_experiment(dialog, admin, "of the team")
    dialog.get_by_role("button", name="Add", exact=True).click()
    dialog.get_by_text("Assign users").click()
    dialog.get_by_label("Users, multiselectable").click()
    admin.page.get_by_role("option", name="theo").click()
    admin.page.keyboard.press("Escape")
    dialog.get_by_role("button", name="Create role").click()
    expect(admin.page.get_by_role("link", name="team")).to_be_visible()
    admin.check()
    admin.keep_screenshot("admin-roles")
    with new_tab(browser, server.url) as tab:
        tab.open("/account")
        log_in(tab.page, "theo", PASSWORD)
        tab.see("Logged in as theo", "team")
        tab.open("/experiments")
        tab.see("of the team")
        tab.check()


def test_the_password_is_changed_on_the_interfaces_account_page(
    admin: Tab, server: RailtrackServer, browser: Browser
) -> None:
    created = admin.page.evaluate(
        """password => fetch("/ajax-api/2.0/mlflow/users/create", {
            method: "POST", headers: {"Content-Type": "application/json"},
            body: JSON.stringify({username: "uma", password})
        }).then(response => response.status)""",
        PASSWORD,
    )
    assert created == 200
    with new_tab(browser, server.url) as tab:
        tab.open("/account")
        log_in(tab.page, "uma", PASSWORD)
        tab.page.get_by_role("button", name="Change password").click()
        new = "another one for uma"
        for field, text in (("current", PASSWORD), ("new", new)):
            tab.page.get_by_placeholder(f"Enter {field} password").fill(text)
        tab.page.get_by_placeholder("Confirm new password").fill(new)
        tab.page.get_by_role("button", name="Update password").click()
        expect(tab.page).to_have_url(re.compile(r"/login"))
        log_in(tab.page, "uma", PASSWORD)
        tab.see("The user name or the password is wrong.")
        log_in(tab.page, "uma", new)
        tab.see("uma", "Recent Experiments")


def test_an_administrator_reads_the_audit_log(admin: Tab, server: RailtrackServer) -> None:
    admin.page.evaluate(
        """() => fetch("/ajax-api/2.0/mlflow/users/create", {
            method: "POST", headers: {"Content-Type": "application/json"},
            body: JSON.stringify({username: "zoe", password: "a long password of zoe"})
        })"""
    )
    admin.page.goto(f"{server.url}/account")
    admin.page.get_by_role("link", name="audit log").click()
    admin.see("POST users/create", "zoe", "login")
    admin.keep_screenshot("audit-log")
    assert admin.errors == []
