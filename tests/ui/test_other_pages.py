"""Pages of unsupported features: they may be empty or show a message, but must not break."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect
from tests.ui.browser import Tab

from railtrack.api.ui.pages import HIDDEN

PAGES = {
    "settings": ("/settings/general", "Theme preference"),
    "settings-llm-connections": ("/settings/llm-connections", "LLM Connections"),
    "gateway": ("/gateway", "Page Not Found"),
    "mcp-registry": ("/mcp-registry", "Model Context Protocol"),
    "skills": ("/skills", "Create skill"),
    "logged-models": ("/experiments/{vision}/models", "Track and compare versions of your models"),
    "overview": ("/experiments/{vision}/overview", "Send your first trace"),
    "judges": ("/experiments/{vision}/judges", "Create and manage judges"),
    "datasets": ("/experiments/{vision}/datasets", "Create dataset"),
    "evaluation-runs": ("/experiments/{vision}/evaluation-runs", "showcase"),
    "experiment-prompts": ("/experiments/{vision}/prompts", "Create your first prompt"),
    "chat-sessions": ("/experiments/{vision}/chat-sessions", "The Sessions view has moved"),
    "review": ("/experiments/{vision}/review-queue", "Review"),
    "playground": ("/experiments/{vision}/playground", "Add message"),
    "compare-experiments": ("/compare-experiments/s?experiments={both}", "Displaying Runs from 2 Experiments"),
    "no-such-page": ("/nowhere", "Page Not Found"),
}
"""Name -> the page's route and a text on it."""


@pytest.mark.parametrize("name", PAGES)
def test_the_page_does_not_break(name: str, tab: Tab, seeded: dict[str, Any]) -> None:
    route, text = PAGES[name]
    tab.open(route.format(**seeded, both=quote(json.dumps([seeded["vision"], seeded["audio"]]))))
    tab.see(text)
    tab.check()
    tab.keep_screenshot(f"other-{name}")


@pytest.mark.parametrize(
    ("route", "selector"),
    [
        ("/", "[data-assistant-ui]"),
        ("/settings/general", 'a[href^="#/settings/llm-connections"]'),
        ("/prompts", 'a[href^="#/mcp-registry"]'),
        ("/prompts", 'a[href^="#/skills"]'),
    ],
)
def test_what_the_server_lacks_is_not_offered(tab: Tab, route: str, selector: str) -> None:
    """The elements exist: if a new version of the interface names them differently, this fails."""
    assert selector in HIDDEN
    tab.open("/")
    tab.page.evaluate("localStorage.setItem('mlflow.workflowType_v1', JSON.stringify('genai'))")
    tab.open(route)
    tab.page.reload()
    expect(tab.page.locator(selector).first).to_be_attached()
    for one in tab.page.locator(selector).all():
        expect(one).to_be_hidden()
    tab.check()
