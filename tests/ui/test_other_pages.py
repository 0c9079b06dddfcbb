"""Pages of features that come later or not at all: they may be empty or say so, but must not break."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from tests.ui.browser import Tab

PAGES = {
    "registered-models": "/models",
    "prompts": "/prompts",
    "settings": "/settings/general",
    "settings-webhooks": "/settings/webhooks",
    "settings-llm-connections": "/settings/llm-connections",
    "gateway": "/gateway",
    "mcp-registry": "/mcp-registry",
    "logged-models": "/experiments/{vision}/models",
    "traces": "/experiments/{vision}/traces",
    "run-traces": "/experiments/{vision}/runs/{showcase}/traces",
    "overview": "/experiments/{vision}/overview",
    "judges": "/experiments/{vision}/judges",
    "datasets": "/experiments/{vision}/datasets",
    "evaluation-runs": "/experiments/{vision}/evaluation-runs",
    "experiment-prompts": "/experiments/{vision}/prompts",
    "chat-sessions": "/experiments/{vision}/chat-sessions",
    "playground": "/experiments/{vision}/playground",
    "compare-experiments": "/compare-experiments/s?experiments={both}",
    "no-such-page": "/nowhere",
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_does_not_break(name: str, tab: Tab, seeded: dict[str, Any]) -> None:
    both = quote(json.dumps([seeded["vision"], seeded["audio"]]))
    tab.open(PAGES[name].format(**seeded, both=both))
    tab.settle()
    assert tab.page.locator("main, #root").first.inner_text().strip()
    tab.keep_screenshot(f"other-{name}")
    tab.check()
