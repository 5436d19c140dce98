"""The state of a process's local models, for its health report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from providers.catalogue import Model
from providers.local.host import ModelHost
from providers.local.system_report import state_of, system_report

_ORDER = ("healthy", "degraded", "unhealthy")


class LocalModelsHealth:
    """Adds the state of the local models to a health report."""

    def __init__(self, host: Callable[[], ModelHost], models: Sequence[Model], *, needed: bool) -> None:
        """Watch ``models`` on ``host``.

        ``needed`` says that the process exists to run them, so that their problems lower its own status.
        """
        self._host = host
        self._models = models
        self._needed = needed

    def add_to(self, report: dict[str, Any]) -> dict[str, Any]:
        """Return the report with a ``local`` section and, if the models are needed, the worse of both statuses.

        The section's status is ``not installed`` where they are neither needed nor installed.
        """
        local = system_report(self._host(), self._models, look=self._needed)
        status, message = state_of(local)
        if not self._needed and (local["missing"] or not local["installed"]):
            status = "not installed"  # an unhealthy part of a healthy process would look like an alarm
        combined = {**report, "local": local | {"status": status, "message": message}}
        if self._needed:
            combined["status"] = max(report["status"], status, key=_ORDER.index)
        return combined

    def memory(self) -> dict[str, tuple[int, int]]:
        """Return the free and the total bytes of the GPU, by its name; empty until a model needs one."""
        host = self._host() if self._needed else None
        if host is None or host.known_device is None or host.device_failed or host.known_device.kind == "cpu":
            return {}
        device = host.known_device
        return {str(getattr(device, "name", device.kind)): (device.free_bytes(), device.total_bytes())}
