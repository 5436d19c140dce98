"""The state of this machine, as the source systems report it."""

from __future__ import annotations

from typing import Any

from consumer.ledger.database import Database
from consumer.runtime import Runtime
from ops.ledger_probe import LedgerProbe, LedgerUnavailable
from providers.local.system_report import state_of, system_report

_LEDGER_SECONDS = 1.5


def machine_report(runtime: Runtime) -> dict[str, Any]:
    """Return device, memory and models. Nothing is loaded for it: the workers have the models."""
    report = system_report(runtime.host, list(runtime.catalogue), look=False)
    report["message"] = state_of(report)[1]
    return report


def health_report(runtime: Runtime) -> dict[str, Any]:
    """Return one body with the keys of all source systems. Only a ledger that does not answer is unhealthy."""
    ledger = "ok"
    try:
        LedgerProbe(runtime.database).query(Database.now, seconds=_LEDGER_SECONDS)
    except LedgerUnavailable as error:
        ledger = str(error)
    report = machine_report(runtime)
    return {
        "status": "healthy" if ledger == "ok" else "unhealthy",
        "model_loaded": bool(report["installed"]),
        "device": report["device"] or "cpu",
        "backend": report["backend"],
        "cuda_available": report["cuda_available"],
        "message": report["message"] if ledger == "ok" else "the ledger does not answer",
        "checks": {"ledger": ledger},
    }
