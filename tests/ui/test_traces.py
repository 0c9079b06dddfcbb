"""Traces where there are none: the pages say so instead of waiting. And the registry, which nothing covers."""

from typing import Any

from tests.ui.browser import Tab

NO_FILM = r"^console: Loading media from\s+'https://mlflow\.org/"
"""The page's introductory film lies on another host, which our policy does not let it ask."""


def test_an_experiment_without_traces_says_how_to_begin(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/traces")
    tab.see("Start tracing your LLM application")
    tab.check(allowed=(NO_FILM,))
    tab.keep_screenshot("traces-none")


def test_a_run_without_traces_says_so(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open(f"/experiments/{seeded['vision']}/runs/{seeded['showcase']}/traces")
    tab.see("No traces found")
    tab.check()


def test_no_dialog_covers_the_registry_of_a_new_visitor(tab: Tab, seeded: dict[str, Any]) -> None:
    tab.open("/models")
    tab.see("Registered Models", "Aliased versions")
    tab.check()
    assert tab.page.get_by_role("dialog").filter(visible=True).count() == 0
