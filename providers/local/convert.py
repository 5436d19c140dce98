"""Conversion of pickled weights to safetensors, run once by an operator. Workers load only safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from providers.local.device import require_packages
from providers.local.memory_errors import is_out_of_memory
from providers.local.weight_files import pickled_files
from schemas.errors import InvalidWeights, OutOfMemory

_SUFFIX = ".bin"
_INDEX = ".bin.index.json"


def convert(name: str, folder: Path) -> list[Path]:
    """Convert all pickled weights below ``folder`` to safetensors files next to them; return the files written.

    Only tensors are read from a pickle: one that contains anything else is refused, and no code in it is run.

    Raises:
        InvalidWeights: a file contains more than tensors, or is damaged.
        OutOfMemory: a file needs more memory than there is.
        ModelNotInstalled: torch is not installed.
    """
    require_packages()
    written = []
    for pickled in pickled_files(folder):
        target = pickled.with_name(_renamed(pickled.name))
        if not target.exists():
            _save(_tensors(name, pickled), target)
            written.append(target)
    for index in sorted(folder.rglob(f"*pytorch_model*{_INDEX}")):
        target = index.with_name(_renamed(index.name))
        if not target.exists():
            listed = json.loads(index.read_text("utf-8"))
            listed["weight_map"] = {key: _renamed(file) for key, file in listed["weight_map"].items()}
            target.write_text(json.dumps(listed, indent=2) + "\n")
    return written


def _renamed(name: str) -> str:
    """Return the name of the safetensors file for a pickled one.

    transformers calls it ``model`` instead of ``pytorch_model``; diffusers keeps its name.
    """
    if not name.startswith("diffusion_"):
        name = name.replace("pytorch_model", "model", 1)
    return name.replace(_SUFFIX, ".safetensors", 1)


def _tensors(name: str, file: Path) -> dict[str, Any]:
    import torch

    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory() from None
        raise InvalidWeights(
            f"{name}: {file} is damaged, or contains more than tensors; no code in it was run ({type(error).__name__})"
        ) from None
    if not isinstance(held, dict) or not all(isinstance(value, torch.Tensor) for value in held.values()):
        raise InvalidWeights(f"{name}: {file} is not a flat dictionary of tensors")
    return held


def _save(tensors: dict[str, Any], target: Path) -> None:
    from safetensors.torch import save_file

    half = target.with_name(f"{target.name}.part")
    try:
        # safetensors refuses tensors that share memory, so each is copied.
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, half, metadata={"format": "pt"})
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
