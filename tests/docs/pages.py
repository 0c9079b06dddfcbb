"""A Markdown page taken apart: its headings with their anchors, its links, its code blocks."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    language: str
    text: str

    @property
    def code(self) -> str:
        """Without comments, which are prose and may be in any language."""
        lines = [line for line in self.text.splitlines() if not line.startswith("# ")]
        return "\n".join(re.sub(r"\s+# .*", "", line) for line in lines).strip()


@dataclass(frozen=True)
class Page:
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def blocks(self) -> list[Block]:
        found = re.findall(r"^```(\w*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        return [Block(language, text) for language, text in found]

    @property
    def prose(self) -> str:
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    @property
    def headings(self) -> list[tuple[int, str]]:
        found = re.findall(r"^(#+) (.+)$", self.prose, re.MULTILINE)
        return [(len(marks), title) for marks, title in found]

    @property
    def anchors(self) -> set[str]:
        """Return the anchors as GitHub makes them. A second heading with the same text is not linked."""
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in self.headings}

    @property
    def links(self) -> list[str]:
        """Those that don't lead elsewhere."""
        return [link for link in LINK.findall(self.prose) if not re.match(r"\w+:", link)]


ENGLISH = Page(DOCS / "deploy.md")
KOREAN = Page(DOCS / "ko" / "railway.md")
PLATFORMS = Page(DOCS / "platforms.md")
GUIDES = {"english": ENGLISH, "korean": KOREAN}
