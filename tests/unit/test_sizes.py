"""Files are short enough to be read at once."""

from __future__ import annotations

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
