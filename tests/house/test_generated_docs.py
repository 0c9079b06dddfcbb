"""The generated pages are up to date."""

import pytest
from tools.write_docs import pages


@pytest.mark.parametrize("name", sorted(page.name for page in pages()))
def test_a_generated_page_is_what_make_docs_writes(name: str) -> None:
    [(page, text)] = [(page, text) for page, text in pages().items() if page.name == name]
    assert page.read_text() == text, "run `make docs`"
