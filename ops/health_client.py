"""The running Telecine, as its health port describes it."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from consumer.logs import scrub
from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """What ``/health`` answered."""

    #: ``host:port`` that was asked.
    address: str
    #: ``healthy``, ``degraded`` or ``unhealthy``.
    status: str
    #: The parts of the process, each with ``ok`` or what is wrong.
    checks: dict[str, str]
    #: Whether it has the ledger that the settings name. A Telecine that does not say is taken as this one.
    same_ledger: bool
    report: dict[str, Any]

    @property
    def faults(self) -> str:
        """The parts that are not ok, or an empty string."""
        return ", ".join(f"{part}: {word}" for part, word in self.checks.items() if word != "ok")


def installation_id(settings: Settings) -> str:
    """Return what identifies the installation in ``/health``: a hash of its ledger's address."""
    return hashlib.sha256(scrub(settings.ledger).encode()).hexdigest()[:16]


def health_address(settings: Settings) -> str | None:
    """Return ``host:port`` of the health port; ``None`` if a free port is chosen at each start."""
    if not settings.health_port:
        return None
    host = settings.health_host
    name = "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host  # noqa: S104 - compared, not bound
    return f"{name}:{settings.health_port}"


def ask_health(settings: Settings, *, seconds: float = 2.0) -> HealthAnswer | None:
    """Return the answer of the Telecine that serves the health port; ``None`` if none answers."""
    address = health_address(settings)
    report = None if address is None else _get(f"http://{address}/health", seconds)
    if address is None or not isinstance(report, dict) or not isinstance(report.get("checks"), dict):
        return None
    return HealthAnswer(
        address,
        str(report.get("status")),
        report["checks"],
        report.get("installation", installation_id(settings)) == installation_id(settings),
        report,
    )


def _get(url: str, seconds: float) -> Any:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=seconds) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            try:
                return json.load(error)
            except ValueError:
                return None
    except (OSError, ValueError):
        return None
