"""A file holds one concept, and a reader sees it whole."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("consumer", "docs", "ops", "pipelines", "providers", "schemas", "tests")


def _ours(path: Path) -> bool:
    """Not of a package that a test server has installed beside it."""
    return not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_has_500_lines(folder: str) -> None:
    ours = [path for path in (ROOT / folder).rglob("*.py") if _ours(path)]
    assert ours
    long = [str(path.relative_to(ROOT)) for path in ours if len(path.read_text(encoding="utf-8").splitlines()) >= 500]
    assert not long
