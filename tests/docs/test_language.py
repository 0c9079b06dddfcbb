"""The pages contain no word of the avoid list."""

import re
from pathlib import Path

import pytest
from tests.docs.pages import Page
from tests.docs.test_figures import PAGES, ROOT
from tests.house.test_language import AVOIDED_IN_TEXTS

AVOIDED = re.compile(rf"\b(?:{'|'.join(AVOIDED_IN_TEXTS)})\b", re.IGNORECASE)


def avoided(page: Page) -> list[str]:
    return [line for line in page.prose.splitlines() if AVOIDED.search(line)]


@pytest.mark.parametrize("name", sorted({str(page.path.relative_to(ROOT)) for page in PAGES}))
def test_a_page_contains_no_avoided_word(name: str) -> None:
    assert not avoided(Page(ROOT / name))


def test_an_avoided_word_is_found_in_prose_and_not_in_blocks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("It tells you.\n```text\nIt tells you.\n```\nConnection refused.\n")
    assert avoided(Page(page)) == ["It tells you."]
