"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


@dataclass(frozen=True)
class Fence:
    """A block of code in a page."""

    page: Path
    line: int
    #: The words after the backticks, of which the first is the language.
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _fences() -> Iterator[Fence]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            yield Fence(page, line, tuple(found[1].split()), found[2])


FENCES = list(_fences())


def fences(*words: str) -> Sequence[Fence]:
    """Return the blocks whose words begin with these; ``*`` matches any word."""
    return [fence for fence in FENCES if len(fence.words) >= len(words) and _begins(fence.words, words)]


def _begins(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(want in ("*", word) for word, want in zip(words, wanted, strict=False))


def one_fence(*words: str) -> str:
    """Return the text of the only block whose words begin with these."""
    found = fences(*words)
    assert len(found) == 1, words
    return found[0].text
