"""Docstrings, comments, messages and pages are written in plain English (CONTRIBUTING.md, "Plain English")."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prose import Prose, measure, unwanted_words

ROOT = Path(__file__).parents[2]
PRODUCT = ("consumer", "ops", "pipelines", "providers", "schemas")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md")


@pytest.fixture(scope="module", params=PRODUCT)
def prose(request: pytest.FixtureRequest) -> Prose:
    return measure([ROOT / request.param])


def test_the_prose_of_the_code_has_no_unwanted_words(prose: Prose) -> None:
    assert prose.words > 1000
    assert not prose.unwanted


def test_docstrings_of_functions_open_with_a_verb(prose: Prose) -> None:
    assert prose.noun_phrase_share < 0.05, prose.noun_phrases


def test_no_line_is_kept_from_the_formatter(prose: Prose) -> None:
    assert prose.skipped_formats == 0


def test_the_tests_are_nearly_as_plain_as_the_product() -> None:
    prose = measure([ROOT / "tests"])  # its word list names every unwanted word once
    assert prose.unwanted_per_1000 < 3.0, prose.unwanted
    assert prose.noun_phrase_share < 0.1, prose.noun_phrases


@pytest.mark.parametrize("pattern", PAGES)
def test_the_pages_have_no_unwanted_words(pattern: str) -> None:
    pages = list(ROOT.glob(pattern))
    assert pages
    assert {str(page): found for page in pages if (found := unwanted_words(page.read_text(encoding="utf-8")))} == {}
