"""Pages of prompts, which the registry stores with the models."""

from typing import Any

from playwright.sync_api import Locator, expect
from tests.ui.browser import Tab

HINT = "^Diff highlighting is not supported in Markdown view"


def dialog(tab: Tab) -> Locator:
    return tab.page.get_by_role("dialog").filter(visible=True)


def versions(tab: Tab, name: str) -> dict[str, Any]:
    """Return the prompt's versions by number, with their tags as dictionaries."""
    response = tab.request(
        "model-versions/search", filter=f"name = '{name}' AND tags.`mlflow.prompt.is_prompt` = 'true'"
    )
    return {
        one["version"]: one | {"tags": {tag["key"]: tag["value"] for tag in one["tags"]}}
        for one in response.get("model_versions", ())
    }


def test_prompts_are_listed_separately_from_models_and_searched(tab: Tab) -> None:
    tab.open("/prompts")
    greeting = tab.page.get_by_role("row").filter(has_text="greeting")
    expect(greeting).to_contain_text("Version 2")
    expect(greeting).to_contain_text("lang")
    tab.see("farewell")
    expect(tab.page.get_by_text("segmenter")).to_have_count(0)
    tab.check()
    tab.keep_screenshot("prompts")

    search = tab.page.get_by_placeholder("Search prompts")
    search.fill("FARE")
    search.press("Enter")
    tab.see("farewell")
    expect(greeting).to_have_count(0)
    tab.check()


def test_a_prompt_shows_its_versions_and_their_differences(tab: Tab) -> None:
    tab.open("/prompts/greeting")
    tab.see("Viewing version 2", "안녕 {{name}}!", "둘째", "@ production")
    tab.page.get_by_text("Version 1", exact=True).click()
    tab.see("Viewing version 1", "Hello {{name}}!", "first")
    tab.check()
    tab.keep_screenshot("prompt")

    tab.page.get_by_text("Compare", exact=True).click()
    tab.see("Comparing version 1 with version 2", "안녕 {{name}}!", "Hello {{name}}!")
    tab.check(allowed=(HINT,))
    tab.keep_screenshot("prompt-compared")

    tab.page.get_by_text("Preview", exact=True).click()
    tab.page.get_by_role("button", name="Use").click()
    expect(dialog(tab)).to_contain_text("load_prompt")
    tab.check(allowed=(HINT,))


def test_a_prompt_is_created_changed_tagged_and_deleted(tab: Tab) -> None:
    tab.open("/prompts")
    tab.page.get_by_role("button", name="Create prompt").click()
    dialog(tab).get_by_placeholder("unique prompt name").fill("haiku")
    dialog(tab).locator("textarea").fill("Five {{단어}}")
    tab.part("prompts.create.commit_message").fill("처음")
    dialog(tab).get_by_role("button", name="Create").click()
    tab.see("Viewing version 1", "Five {{단어}}", "처음")
    first = versions(tab, "haiku")["1"]
    assert (first["description"], first["tags"]["mlflow.prompt.text"]) == ("처음", "Five {{단어}}")

    tab.page.get_by_role("button", name="Create prompt version").click()
    expect(dialog(tab).locator("textarea")).to_have_value("Five {{단어}}")
    dialog(tab).locator("textarea").fill("Seven {{단어}}")
    dialog(tab).get_by_role("button", name="Create").click()
    tab.see("Viewing version 2", "Seven {{단어}}")
    assert versions(tab, "haiku")["2"]["tags"]["mlflow.prompt.text"] == "Seven {{단어}}"

    tab.part("prompts.details.version.add_tags").click()
    dialog(tab).get_by_role("combobox").fill("lang")
    dialog(tab).get_by_role("combobox").press("Enter")
    dialog(tab).get_by_label("Value").fill("ko")
    dialog(tab).get_by_label("Add tag").click()
    dialog(tab).get_by_role("button", name="Save").click()
    tab.see("lang")
    tab.until(lambda: versions(tab, "haiku")["2"]["tags"].get("lang"), "ko")
    tab.keep_screenshot("prompt-made")

    tab.page.get_by_role("button", name="Delete version").click()
    dialog(tab).get_by_role("button", name="Delete").click()
    tab.see("Viewing version 1")
    tab.until(lambda: list(versions(tab, "haiku")), ["1"])
    tab.page.get_by_label("More actions").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    dialog(tab).get_by_role("button", name="Delete").click()
    tab.see("farewell")
    expect(tab.page.get_by_text("haiku")).to_have_count(0)
    tab.until(lambda: versions(tab, "haiku"), {})
    tab.check()


def test_a_prompt_version_is_given_an_alias(tab: Tab) -> None:
    tab.open("/prompts/farewell")
    tab.see("Bye {{name}}.")
    tab.part("modelversiontablealiasescell.tsx_30").last.click()
    dialog(tab).get_by_role("combobox").fill("spoken")
    dialog(tab).get_by_role("combobox").press("Enter")
    dialog(tab).get_by_role("button", name="Save aliases").click()
    tab.see("@ spoken")
    tab.check()
    response = tab.request("registered-models/get", name="farewell")["registered_model"]
    assert response["aliases"] == [{"alias": "spoken", "version": "1"}]
