"""The state of this machine for local models: device, memory, CPU, installed backends, loaded models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from providers.catalogue import Model
from providers.local.base import Device
from providers.local.device import INSTALL, missing_packages, responds
from providers.local.host import ModelHost
from providers.local.machine import cpu_percent, memory_bytes
from providers.local.weight_files import has_weights
from providers.weights import GB


def system_report(host: ModelHost, models: Iterable[Model], *, look: bool = True) -> dict[str, Any]:
    """Return the fields of the local video service's system report, and the loaded models.

    With ``look=False`` nothing is imported: the device stays unknown until a model is needed.
    """
    total, available = memory_bytes()
    device = _device(host, look=look)
    report: dict[str, Any] = {
        "cuda_available": device is not None and device.kind == "cuda",
        "device": None if device is None else device.kind,
        "device_name": getattr(device, "name", None),
        "total_vram_gb": None,
        "free_vram_gb": None,
        "used_vram_gb": None,
        "cpu_percent": cpu_percent(),
        "ram_available_gb": _gb(available),
        "ram_total_gb": _gb(total),
        "backend": default_video_backend(host, models),
        "installed": [model.id for model in models if model.weights is not None and has_weights(model, host.folder)],
        "loaded": [
            {"model": loaded.id, "gb": round(loaded.bytes / GB, 3), "low_vram": loaded.low_memory}
            for loaded in host.loaded
        ],
        "missing": missing_packages(),
        "device_answers": None if device is None else not host.device_failed and responds(device),
    }
    if device is not None and device.kind != "cpu" and report["device_answers"]:
        free, whole = device.free_bytes(), device.total_bytes()
        report |= {"total_vram_gb": _gb(whole), "free_vram_gb": _gb(free), "used_vram_gb": _gb(whole - free)}
    return report


def default_video_backend(host: ModelHost, models: Iterable[Model]) -> str | None:
    """Return the first video backend of the catalogue with weights here: the one that ``auto`` tries first."""
    for model in models:
        if model.weights is not None and model.weights.family == "film" and has_weights(model, host.folder):
            return model.id
    return None


def state_of(report: dict[str, Any]) -> tuple[str, str]:
    """Return ``healthy``, ``degraded`` or ``unhealthy`` for a GPU worker, with the reason."""
    if report["missing"]:
        return "unhealthy", f"local models need {', '.join(report['missing'])}: {INSTALL}"
    if report["device_answers"] is False:
        return "unhealthy", "the device of the local models no longer responds; restart the worker"
    if not report["installed"]:
        return "unhealthy", "no local model has weights on this machine"
    if report["device"] == "cpu":
        return "degraded", "no accelerator: local models run on the CPU"
    if report["backend"] is None:
        return "healthy", "no video backend has weights on this machine"  # other models have
    unseen = "" if report["device"] else "; the device is detected when a job needs it"
    return "healthy", f"Service operational with {report['backend']} backend{unseen}"


def _device(host: ModelHost, *, look: bool) -> Device | None:
    if host.known_device is None and (not look or missing_packages()):
        return None
    return host.device


def _gb(count: int) -> float:
    return round(count / GB, 1)
