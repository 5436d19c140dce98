"""Files are short enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("consumer", "docs", "ops", "pipelines", "providers", "schemas", "tests")


def _is_our_file(path: Path) -> bool:
    """Check that a file is not part of a package that a test server has installed here."""
    return not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_has_500_lines(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if _is_our_file(path)]
    assert files
    long = [str(path.relative_to(ROOT)) for path in files if len(path.read_text(encoding="utf-8").splitlines()) >= 500]
    assert not long


def _long_functions(path: Path) -> Iterator[str]:
    """Yield the functions whose body, docstring aside, has more than 40 lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= 40:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


@pytest.mark.parametrize("folder", ["consumer", "ops", "pipelines", "providers", "schemas"])
def test_no_function_of_the_product_has_more_than_40_lines(folder: str) -> None:
    # A migration lists its tables; the training scripts ran once.
    paths = (ROOT / folder).rglob("*.py")
    ours = [path for path in paths if "migrations" not in path.parts and not path.name.startswith("train_")]
    assert [name for path in ours for name in _long_functions(path)] == []


def test_the_page_that_a_newcomer_reads_first_stays_short() -> None:
    assert len((ROOT / "consumer" / "execution" / "durable.py").read_text(encoding="utf-8").splitlines()) <= 120
