"""Streaming of weights from main memory layer by layer, as on a GPU, with the CPU in its place."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.hooks import group_offloading

from providers.catalogue import Model
from providers.local.base import ImageArray, LocalCall
from providers.local.device import Cpu
from providers.local.host import ModelHost
from providers.local.image_model import ImageModel
from tests.local import tiny_models
from tests.local.test_reference import with_adapters

CALL = LocalCall(prompts=("a fox", "a hill"), seeds=(1, 2), width=64, height=64, parameters={"num_inference_steps": 2})
offloading: Any = group_offloading


class FakeDevice(Cpu):
    """The CPU as a GPU."""

    kind = "cuda"


class Stream:
    """A CUDA stream on which all work is done synchronously."""

    def synchronize(self) -> None:
        """Return at once."""


class Backend:
    """The part of torch.cuda that diffusers uses."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def stream(self, stream: Stream) -> Any:
        return contextlib.nullcontext()

    def current_stream(self) -> Stream:
        return Stream()


class Offloaded:
    """Records the calls of diffusers, and streams the weights from main memory to main memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stay: list[str] = []
        self.streamed: dict[str, Any] = {}
        monkeypatch.setattr(offloading, "TorchDeviceBackend", Backend)
        monkeypatch.setattr(offloading.ModuleGroup, "_to_cpu", staticmethod(lambda tensor, lean: tensor.data.clone()))
        monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: True)
        offload = self.offload
        monkeypatch.setattr(
            tiny_models.D.DiffusionPipeline, "enable_group_offload", lambda pipe, **asked: offload(pipe, asked)
        )

    def offload(self, pipe: Any, asked: dict[str, Any]) -> None:
        assert asked["onload_device"] == torch.device("cuda")
        assert asked["use_stream"]
        self.stay = list(asked["exclude_modules"])
        here = torch.device("cpu")
        for name, part in pipe.components.items():
            if isinstance(part, torch.nn.Module) and name not in self.stay:
                self.streamed[name] = part
                config = offloading.GroupOffloadingConfig(
                    onload_device=here,
                    offload_device=here,
                    offload_type=offloading.GroupOffloadingType.LEAF_LEVEL,
                    non_blocking=False,
                    record_stream=False,
                    low_cpu_mem_usage=False,
                    stream=Stream(),
                )
                offloading._apply_group_offloading(part, config)


@pytest.fixture(name="offloaded")
def _offloaded(monkeypatch: pytest.MonkeyPatch) -> Offloaded:
    return Offloaded(monkeypatch)


def ignore_progress(part: float) -> None:
    """Ignore progress."""


def low(model: Model, **weights: Any) -> Model:
    assert model.weights is not None
    return model.model_copy(update={"weights": model.weights.model_copy(update=weights)})


def images_of(host: ModelHost, model: Model, *, low_memory: bool) -> list[ImageArray]:
    call = LocalCall(**{**{name: getattr(CALL, name) for name in CALL.__dataclass_fields__}, "low_memory": low_memory})
    return list(host.run(model, call, ignore_progress).images)


@pytest.mark.parametrize("name", ["stable-diffusion-v1-5", "stable-diffusion-xl"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_streamed_weights_make_the_same_pictures_call_after_call(
    weights: Path, host: ModelHost, offloaded: Offloaded, name: str, dtype: str
) -> None:
    model = low(with_adapters(weights).find(name, "story-to-video"), dtype=dtype)
    wanted = images_of(host, model, low_memory=False)
    own = ModelHost(weights, device=FakeDevice)
    for _ in range(2):
        made = images_of(own, model, low_memory=True)
        # In this mode images are decoded one by one, which changes the rounding of a few values.
        assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(made, wanted, strict=True))


def test_short_of_memory_pictures_are_decoded_in_tiles_and_one_by_one(weights: Path, offloaded: Offloaded) -> None:
    model = low(with_adapters(weights).find("stable-diffusion-v1-5", "story-to-video"), dtype="float32")
    for low_memory in (False, True):
        own = ImageModel(model, weights)
        own.load(FakeDevice() if low_memory else Cpu(), low_memory=low_memory)
        assert (own.pipe.vae.use_tiling, own.pipe.vae.use_slicing) == (low_memory, low_memory)


def test_parts_take_turns_on_the_card_where_the_entry_says_so(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        tiny_models.D.DiffusionPipeline, "enable_model_cpu_offload", lambda pipe, *, device: asked.append(device)
    )
    model = low(with_adapters(weights).find("stable-diffusion-v1-5", "story-to-video"), dtype="float32", offload=True)
    own = ModelHost(weights, device=FakeDevice)
    images_of(own, model, low_memory=False)
    assert asked == [torch.device("cuda")]
    assert [loaded.bytes for loaded in own.loaded] == [0]


def test_what_stays_on_the_card_is_counted_and_nothing_else(weights: Path, offloaded: Offloaded) -> None:
    own = ModelHost(weights, device=FakeDevice)
    images_of(
        own, low(with_adapters(weights).find("stable-diffusion-xl", "story-to-video"), dtype="float16"), low_memory=True
    )
    assert offloaded.stay == ["vae"]
    assert set(offloaded.streamed) == {"text_encoder", "text_encoder_2", "unet"}
    vae = sum(item.numel() for item in tiny_models.stable_diffusion_xl().vae.parameters())
    assert [loaded.bytes for loaded in own.loaded] == [2 * vae]
