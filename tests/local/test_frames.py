"""Images and frames as output of a model: 8 bits, in the requested size, without side effects on the weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from providers.catalogue import Catalogue, Model
from providers.local.base import ImageArray, LocalCall
from providers.local.device import Cpu
from providers.local.fit_image import fit_image, to_uint8
from providers.local.host import ModelHost
from providers.local.video_model import VideoModel
from schemas.errors import InvalidWeights, RenderFailed
from tests.local import tiny_models
from tests.local.catalogue_entries import catalogue


@pytest.fixture(name="models")
def _models(weights: Path) -> Catalogue:
    return catalogue(weights)


def ignore_progress(part: float) -> None:
    """Ignore progress."""


def same(some: Any, others: Any) -> bool:
    return all(np.array_equal(one, another) for one, another in zip(some, others, strict=True))


@pytest.mark.parametrize("name", ["mochi", "wan-1.3b"])
def test_frames_are_the_bytes_that_the_pipeline_alone_would_make(
    host: ModelHost, weights: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = catalogue(weights).find(name, "text-to-video")
    call = LocalCall(prompts=("a fox",), seeds=(3,), width=40, height=24, frames=8, parameters={})
    made = host.run(model, call, ignore_progress).images
    assert {frame.dtype for frame in made} == {np.dtype(np.uint8)}

    def plain(pipe: Any, most: int) -> Any:
        return torch.no_grad()

    monkeypatch.setattr("providers.local.video_model.uint8_video_frames", plain)
    again = host.run(model, call, ignore_progress).images
    assert len(made) == len(again) == 8
    assert same(made, again)


def test_a_tensor_becomes_the_same_bytes_as_an_array() -> None:
    numbers = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1
    numbers[0, 0, 0] = torch.inf
    array = numbers.permute(1, 2, 0).numpy()
    assert np.array_equal(to_uint8(numbers), to_uint8(array))
    assert to_uint8(numbers).flags["C_CONTIGUOUS"]
    for half in (torch.float16, torch.bfloat16):
        narrow = numbers.to(half)
        assert np.array_equal(to_uint8(narrow), to_uint8(narrow.float().permute(1, 2, 0).numpy()))


@pytest.mark.parametrize(
    ("name", "kind", "part"),
    [("segmind/tiny-sd", "text-to-image", "pictures"), ("wan-1.3b", "text-to-video", "wan")],
)
def test_a_picture_that_is_not_made_of_numbers_is_no_result(
    tmp_path: Path, weights: Path, name: str, kind: str, part: str
) -> None:
    folder = Path(shutil.copytree(weights / part, tmp_path / "copy"))
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["decoder.conv_in.weight"][0] = torch.nan
    save_file(tensors, file, {"format": "pt"})
    model = catalogue(weights).find(name, kind)
    assert model.weights is not None
    broken = model.model_copy(update={"weights": model.weights.model_copy(update={"source": str(folder)})})
    call = LocalCall(prompts=("a fox",), seeds=(3,), width=64, height=64, frames=5, parameters={})
    with pytest.raises(RenderFailed, match="contains NaN"):
        ModelHost(tmp_path, device=Cpu).run(broken, call, ignore_progress)


def test_a_picture_that_a_safety_checker_made_black_is_no_result(tmp_path: Path, weights: Path) -> None:
    tiny_models.stable_diffusion_with_checker().save_pretrained(tmp_path / "checked")
    model = catalogue(weights).find("segmind/tiny-sd", "text-to-image")
    assert model.weights is not None
    checked = model.model_copy(
        update={"weights": model.weights.model_copy(update={"source": str(tmp_path / "checked")})}
    )
    call = LocalCall(prompts=("a fox", "a hill"), seeds=(3, 4), width=64, height=64, parameters={})
    with pytest.raises(RenderFailed, match="segmind/tiny-sd: the model's own safety checker rejected image 1"):
        ModelHost(tmp_path, device=Cpu).run(checked, call, ignore_progress)


def test_a_pipeline_that_there_is_not_is_named(weights: Path, models: Catalogue, tmp_path: Path) -> None:
    model = models.find("wan", "image-to-video")
    assert model.weights is not None
    wrong = model.model_copy(update={"weights": model.weights.model_copy(update={"image_pipeline": "NoPipeline"})})
    Image.new("RGB", (50, 40), "teal").save(tmp_path / "teal.png")
    call = LocalCall(prompts=("a",), seeds=(3,), width=32, height=32, frames=5, image=tmp_path / "teal.png")
    with pytest.raises(InvalidWeights, match=r"diffusers has no NoPipeline; correct weights\.image_pipeline"):
        ModelHost(weights, device=Cpu).run(wrong, call, ignore_progress)


def test_a_film_that_begins_with_a_picture_leaves_the_weights_in_their_type(tmp_path: Path, models: Catalogue) -> None:
    parts: dict[str, Any] = tiny_models.wan().components
    library: Any = diffusers
    library.WanPipeline(**parts, expand_timesteps=True).save_pretrained(tmp_path / "wan")
    model = models.find("wan", "text-to-video")
    assert model.weights is not None
    own = model.weights.model_copy(
        update={"source": str(tmp_path / "wan"), "dtype": "bfloat16", "takes_text": True, "multiple_of": 16}
    )
    made: list[VideoModel] = []

    def make(entry: Model, folder: Path) -> VideoModel:
        made.append(VideoModel(entry, folder))
        return made[-1]

    host = ModelHost(tmp_path, device=Cpu, model_factory=make)
    entry = model.model_copy(update={"weights": own})
    text = LocalCall(prompts=("a fox",), seeds=(3,), width=32, height=32, frames=5, parameters={})
    Image.new("RGB", (50, 40), "teal").save(tmp_path / "teal.png")
    before = host.run(entry, text, ignore_progress)
    begun = host.run(entry, replace(text, image=tmp_path / "teal.png"), ignore_progress)
    after = host.run(entry, text, ignore_progress)
    assert (begun.details["pipeline"], after.details["pipeline"]) == ("WanImageToVideoPipeline", "WanPipeline")
    assert {part.dtype for part in (made[0].pipe.transformer, made[0].pipe.text_encoder)} == {torch.bfloat16}
    assert same(after.images, before.images)
    assert not same(begun.images, before.images)
    assert host.load_count == 1


def striped(width: int, height: int) -> ImageArray:
    """Return an image with a red left half, a blue right half and a white border."""
    pixels = np.full((height, width, 3), (255, 0, 0), dtype=np.uint8)
    pixels[:, width // 2 :] = (0, 0, 255)
    pixels[[0, -1], :] = pixels[:, [0, -1]] = 255
    return pixels


@pytest.mark.parametrize("size", [(512, 512), (100, 60), (60, 100), (17, 23)])
def test_a_picture_in_another_size_shows_the_same(size: tuple[int, int]) -> None:
    width, height = size
    made = fit_image(striped(128, 128), width, height, scale=True)
    assert made.shape == (height, width, 3)
    left, right = made[height // 2, width // 4].astype(int), made[height // 2, 3 * width // 4].astype(int)
    assert np.abs(left - (255, 0, 0)).max() < 12
    assert np.abs(right - (0, 0, 255)).max() < 12
    tall, wide = (max(width, height),) * 2
    with_pillow = Image.fromarray(striped(128, 128)).resize((wide, tall), Image.Resampling.LANCZOS)
    cut = np.asarray(with_pillow)[(tall - height) // 2 :, (wide - width) // 2 :][:height, :width]
    assert np.abs(made.astype(int) - cut).mean() < 6


def test_a_picture_that_is_large_enough_is_cut_and_not_scaled() -> None:
    pixels = striped(40, 40)
    assert np.array_equal(fit_image(pixels, 32, 24, scale=False), pixels[8:32, 4:36])
