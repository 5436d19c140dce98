"""What a process sees of its machine: free disk, files in progress, memory of the GPU."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.local_models_health import LocalModelsHealth
from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes, free and in total, by folder or device."""

    disks: Mapping[str, tuple[int, int]]
    scratch_bytes: int
    devices: Mapping[str, tuple[int, int]]


def look_at_machine(settings: Settings, local: LocalModelsHealth | None) -> Machine:
    """Return the current state of this machine."""
    folders = {"scratch": settings.scratch_folder}
    if settings.ledger.startswith("sqlite"):
        folders["home"] = settings.home.absolute()
    if settings.storage_kind == "folder":
        folders["storage"] = settings.storage_folder
    disks = {}
    for name, folder in folders.items():
        with contextlib.suppress(OSError):  # not readable, or not mounted: no series
            usage = shutil.disk_usage(_existing(folder))
            disks[name] = (usage.free, usage.total)
    devices: dict[str, tuple[int, int]] = {}
    with contextlib.suppress(Exception):  # the device no longer responds: /health says so
        devices = {} if local is None else local.memory()
    return Machine(disks, _bytes_in(settings.scratch_folder), devices)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists: a folder is created when it is first needed."""
    return next((path for path in (folder, *folder.parents) if path.exists()), folder)


def _bytes_in(folder: Path) -> int:
    """Return the size of all files below the folder. Files that vanish meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total
