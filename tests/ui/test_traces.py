"""Pages without traces show a message instead of loading forever, and no dialog covers the registry."""

from typing import Any

from tests.ui.browser import Tab

BLOCKED_VIDEO = r"^console: Loading media from\s+'https://mlflow\.org/"
"""The introductory video is on another host, which the content security policy blocks."""


def test_an_experiment_without_traces_shows_how_to_start(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/traces")
    tab.see("Start tracing your LLM application")
    tab.check(allowed=(BLOCKED_VIDEO,))
    tab.keep_screenshot("traces-none")


def test_a_run_without_traces_shows_a_message(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs/{seeded['showcase']}/traces")
    tab.see("No traces found")
    tab.check()


def test_no_dialog_covers_the_registry_on_a_first_visit(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open("/models")
    tab.see("Registered Models", "Aliased versions")
    tab.check()
    assert tab.page.get_by_role("dialog").filter(visible=True).count() == 0
