"""Checks of ``telecine doctor`` and their findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

CheckVerdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table. ``advice`` says what to do, unless the verdict is ``ok``."""

    verdict: CheckVerdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A named check. If ``run`` raises, the finding is ``fail``."""

    name: str
    run: Callable[[], Finding]
    #: What to do if ``run`` raises.
    advice: str = "run it again; if it stays, report it with this message"


def ok(found: str) -> Finding:
    """Return a finding without a problem."""
    return Finding("ok", found)


def warn(found: str, advice: str) -> Finding:
    """Return a finding for a problem that does not stop Telecine from working now."""
    return Finding("warn", found, advice)


def failed(found: str, advice: str) -> Finding:
    """Return a finding for a part that does not work."""
    return Finding("fail", found, advice)
