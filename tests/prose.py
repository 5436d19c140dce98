"""Count what makes English hard to read: unwanted words, and function docstrings that do not open with a verb."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Archaic or unclear words, each with a plain one: "returns" or "reports" for "tells", "is at" for "lies at", "next to"
#: for "beside", "no one" or a subject for "nobody", "again" for "anew", "provider" for "vendor".
UNWANTED = re.compile(
    r"\b(said|told|tells?|whoever|whatever|anew|lest|stands?|lies?|beside|somebody|nobody|heard|hears|wish|brought"
    r"|theirs|ours|vendors?|however often|for ever|in vain|just now)\b",
    re.IGNORECASE,
)
#: Names in code are not prose: they may be stored or published words.
CODE = re.compile(r"```.*?```|``[^`]*``|`[^`\n]*`", re.DOTALL)
#: First words that show that a docstring opens with a noun phrase or a question.
NOUN_PHRASES = frozenset(
    "the a an what whether how where why which who when nothing each every all any no as this that those these one "  # noqa: SIM905
    "same its".split()
)


@dataclass
class Prose:
    """What was counted, and where."""

    words: int = 0
    unwanted: list[str] = field(default_factory=list)
    docstrings: int = 0
    noun_phrases: list[str] = field(default_factory=list)
    skipped_formats: int = 0

    @property
    def unwanted_per_1000(self) -> float:
        """Unwanted words per 1,000 words of docstrings, comments and messages."""
        return 1000 * len(self.unwanted) / max(1, self.words)

    @property
    def noun_phrase_share(self) -> float:
        """The share of function docstrings that open with a noun phrase, properties aside."""
        return len(self.noun_phrases) / max(1, self.docstrings)

    def __str__(self) -> str:
        return (
            f"{self.words} words of prose: {self.unwanted_per_1000:.2f} unwanted words per 1,000; "
            f"{self.noun_phrase_share:.0%} of {self.docstrings} function docstrings open with a noun phrase; "
            f"{self.skipped_formats} times fmt: skip"
        )


def measure(folders: Sequence[Path]) -> Prose:
    """Count the prose of all Python files in ``folders``."""
    found = Prose()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(folder).parts):
                _measure_file(path, found)
    return found


def unwanted_words(text: str) -> list[str]:
    """Return the unwanted words of a text that is prose as a whole."""
    return UNWANTED.findall(CODE.sub("", text))


def _measure_file(path: Path, found: Prose) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (docstring := ast.get_docstring(node)):
            if any("property" in ast.dump(decorator) for decorator in node.decorator_list):
                continue
            found.docstrings += 1
            first = docstring.split()[0].strip(".,:;`").lower()
            if first in NOUN_PHRASES or docstring.startswith("`"):
                found.noun_phrases.append(f"{path}:{node.lineno}")
    for line, prose in _passages(text, tree):
        found.words += len(prose.split())
        found.unwanted += [f"{path}:{line}: {word}" for word in unwanted_words(prose)]
        found.skipped_formats += "fmt: skip" in prose


def _passages(text: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the strings of more than one word, docstrings included, and the comments, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
