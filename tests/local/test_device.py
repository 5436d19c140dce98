"""Selection of the device that models run on."""

from __future__ import annotations

import pytest
import torch

from providers.local.device import find_device
from schemas.errors import ConfigurationError
from schemas.settings import Settings


@pytest.mark.parametrize(
    ("here", "wanted", "taken"),
    [
        (("cuda", "mps"), "auto", "cuda"),
        (("mps",), "auto", "mps"),
        ((), "auto", "cpu"),
        (("cuda", "mps"), "mps", "mps"),
        (("cuda", "mps"), "cpu", "cpu"),
    ],
)
def test_the_best_device_is_taken_or_the_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch, here: tuple[str, ...], wanted: str, taken: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in here)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in here)
    assert find_device(Settings(local_device=wanted)).kind == taken


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_device_that_is_named_and_not_here_is_an_error_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=f"TELECINE_LOCAL_DEVICE is {wanted}, which is not available"):
        find_device(Settings(local_device=wanted))
