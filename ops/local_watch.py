"""How the local models of a process stand, for its health."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from providers.catalogue import Model
from providers.local.host import ModelHost
from providers.local.system import state_of, system_report

_ORDER = ("healthy", "degraded", "unhealthy")


class LocalWatch:
    """Adds the local models to a report of health."""

    def __init__(self, host: Callable[[], ModelHost], models: Sequence[Model], *, needed: bool) -> None:
        """``needed``: the process is there for them, so that what they lack makes it less than healthy."""
        self._host = host
        self._models = models
        self._needed = needed

    def added_to(self, report: dict[str, Any]) -> dict[str, Any]:
        """The report with ``local``, and with the worse status of both."""
        local = system_report(self._host(), self._models, look=self._needed)
        status, message = state_of(local)
        told = {**report, "local": local | {"status": status, "message": message}}
        if self._needed:
            told["status"] = max(report["status"], status, key=_ORDER.index)
        return told
