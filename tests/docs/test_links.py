"""Every link of every page leads to a file that is there, and to a heading in it."""

from pathlib import Path

from tests.docs.pages import DOCS, Page

ROOT = DOCS.parent
PAGES = [Page(path) for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md"))]


def broken(page: Page) -> list[str]:
    return [link for link in page.links if not _leads_somewhere(page.path, link)]


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return target.exists() and (not anchor or anchor in Page(target).anchors)


def test_every_link_has_a_target() -> None:
    assert sum(len(page.links) for page in PAGES) > 40
    assert {str(page.path.relative_to(ROOT)): broken(page) for page in PAGES if broken(page)} == {}


def test_a_link_without_a_target_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A: title, of `mine`\n[a](#a-title-of-mine) [b](#b) [c](other.md) [d](page.md#b)\n")
    assert broken(Page(page)) == ["#b", "other.md", "page.md#b"]
