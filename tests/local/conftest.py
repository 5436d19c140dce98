"""Fixtures for local models: tiny pipelines with random weights, built once per session, and one torch thread."""

from __future__ import annotations

import os

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest
import torch

from providers.local.host import ModelHost, host_for
from schemas.settings import Settings
from tests.local import tiny_models

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the tiny models, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_models.save_all(folder)
    return folder


@pytest.fixture(scope="session")
def host(weights: Path) -> ModelHost:
    """Return a model host on the CPU."""
    return host_for(Settings(local_models=weights, local_device="cpu", local_threads=1))
