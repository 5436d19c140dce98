"""What a check of ``telecine doctor`` finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table. ``advice`` says what to do, for all that is not ``ok``."""

    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that can be looked at. ``look`` may raise: that is a ``fail`` too."""

    name: str
    look: Callable[[], Finding]


def ok(found: str) -> Finding:
    """All is well."""
    return Finding("ok", found)


def warn(found: str, advice: str) -> Finding:
    """It works, but not for long or not as meant."""
    return Finding("warn", found, advice)


def failed(found: str, advice: str) -> Finding:
    """It does not work."""
    return Finding("fail", found, advice)
