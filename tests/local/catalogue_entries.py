"""Catalogue entries of the tiny models, as an operator would write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from providers.catalogue import Catalogue
from providers.registry import catalogue_of
from schemas.settings import Settings


def entries(weights: Path) -> list[dict[str, Any]]:
    """Return the entries; their weights are in folders below ``weights``."""
    small = {"need_gb": None, "low_need_gb": None, "steps": 2}
    return [
        {"id": "segmind/tiny-sd", "weights": {"source": str(weights / "pictures"), **small}},
        {"id": "mochi", "weights": {"source": str(weights / "mochi"), **small}},
        {"id": "wan-1.3b", "weights": {"source": str(weights / "wan"), **small}},
        {"id": "wan", "weights": {"source": str(weights / "wan-i2v"), "takes_text": False, **small}},
        {
            "id": "clip-interrogator/local",
            "weights": {"source": str(weights / "blip"), "ranker": str(weights / "clip"), "need_gb": None},
        },
    ]


def catalogue(weights: Path) -> Catalogue:
    """Return the built-in catalogue with the entries applied."""
    return catalogue_of(Settings()).with_entries(entries(weights))
