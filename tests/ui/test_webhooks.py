"""The page of webhooks: create, test, deliver, change, delete."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect
from tests.servers.databases import WEBHOOK_KEY
from tests.servers.railtrack import railtrack_server
from tests.servers.webhook_receiver import Receiver, Reply, receiving
from tests.ui.browser import Tab, new_tab

SETTINGS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": WEBHOOK_KEY,
}


@dataclass
class Page:
    tab: Tab
    receiver: Receiver


@pytest.fixture
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Yield the page on a server that may send to this machine, and a receiver on it."""
    with (
        receiving() as receiver,
        railtrack_server(tmp_path_factory.mktemp("webhooks"), workers=1, environment=SETTINGS) as server,
        new_tab(browser, server.url) as tab,
    ):
        tab.open("/settings/webhooks")
        tab.see("No webhooks configured")
        yield Page(tab, receiver)
        assert server.logged_errors() == []


def create(page: Page, name: str, url: str, *events: str) -> None:
    tab = page.tab.page
    tab.get_by_role("button", name="Create webhook").click()
    dialog = tab.get_by_role("dialog").filter(visible=True)
    dialog.get_by_placeholder("My webhook").fill(name)
    dialog.get_by_placeholder("https://example.com/webhook").fill(url)
    dialog.get_by_placeholder("Optional description").fill("Deploys what is new.")
    dialog.get_by_placeholder("Optional secret key").fill("shh")
    for event in events:
        dialog.get_by_text(event, exact=True).click()
    dialog.get_by_role("button", name="Create").click()


def test_a_webhook_is_created_tested_and_receives_a_new_model(page: Page) -> None:
    tab, receiver = page.tab, page.receiver
    create(page, "deploy", f"{receiver.url}/hook", "Registered model created", "Model version created")
    tab.see("deploy", "Active", f"{receiver.url}/hook", "Model version created, Registered model created")
    tab.page.get_by_role("button", name="Test").click()
    tab.see("Test succeeded (HTTP 200)")
    assert receiver.next().json["data"]["name"] == "example_model"
    tab.keep_screenshot("webhooks")

    tab.open("/models")
    tab.page.get_by_role("button", name="Create model").click()
    tab.page.get_by_role("dialog").filter(visible=True).get_by_role("textbox").first.fill("new model")
    tab.page.get_by_role("dialog").filter(visible=True).get_by_role("button", name="Create").click()
    delivery = receiver.next()
    assert delivery.json["data"]["name"] == "new model"
    assert delivery.headers["x-mlflow-signature"].startswith("v1,")


def test_a_failed_test_delivery_is_reported(page: Page) -> None:
    page.receiver.replies = [Reply(500, b"ill")]
    create(page, "deploy", page.receiver.url, "Prompt created")
    page.tab.page.get_by_role("button", name="Test").click()
    page.tab.see("Test failed")
    assert page.tab.errors == []


def test_a_webhook_is_changed_and_deleted(page: Page) -> None:
    tab = page.tab
    create(page, "deploy", page.receiver.url, "Prompt created")
    tab.page.get_by_role("button", name="Edit").click()
    dialog = tab.page.get_by_role("dialog").filter(visible=True)
    expect(dialog.get_by_placeholder("My webhook")).to_have_value("deploy")
    dialog.get_by_placeholder("My webhook").fill("renamed")
    dialog.get_by_role("switch").click()
    dialog.get_by_role("button", name="Save").click()
    tab.see("renamed", "Disabled")
    tab.page.get_by_role("button", name="Delete").click()
    tab.page.get_by_role("dialog").filter(visible=True).get_by_role("button", name="Delete").click()
    tab.see("No webhooks configured")
    tab.check()


def test_an_invalid_url_is_reported_in_the_dialog(page: Page) -> None:
    create(page, "deploy", "ftp://example.com/hook", "Prompt created")
    page.tab.see("Allowed schemes are: http.")
    assert page.tab.errors == ["400 POST /ajax-api/2.0/mlflow/webhooks"]
