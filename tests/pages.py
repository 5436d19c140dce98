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
    """One block of code in a page."""

    page: Path
    line: int
    #: The words behind the backticks: the language first.
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
    """The blocks whose words begin with these; ``*`` stands for any one."""
    return [fence for fence in FENCES if len(fence.words) >= len(words) and _begins(fence.words, words)]


def _begins(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(want in ("*", word) for word, want in zip(words, wanted, strict=False))


def one_fence(*words: str) -> str:
    """The text of the only block whose words begin with these."""
    found = fences(*words)
    assert len(found) == 1, words
    return found[0].text
