"""The demonstration models generate what prompts say: shape, colour and background, judged by pixels."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from providers.local.base import LocalCall
from providers.local.demonstration.drawings import COLORS, PLACES, SHAPES, SIDE, background, corners
from providers.local.host import ModelHost
from providers.registry import catalogue_of
from schemas.settings import Settings

CATALOGUE = catalogue_of(Settings())
#: Without snow and sunset: ground and sky there would count as a white or an orange shape.
TRAVELLED = ("at night", "on a beach", "in a city", "in a forest", "under the sea", "in a desert")


def drawn(host: ModelHost, *prompts: str) -> list[Any]:
    """Return the model's images for the prompts."""
    call = LocalCall(
        prompts=prompts,
        seeds=tuple(range(100, 100 + len(prompts))),
        width=SIDE,
        height=SIDE,
        parameters={"num_inference_steps": 20},
    )
    return list(host.run(CATALOGUE.find("demo-shapes", "story-to-video"), call, lambda part: None).images)


def color_of(picture: Any) -> str:
    """Return the shape's colour: the palette entry nearest to most pixels."""
    pixels = picture.reshape(-1, 3).astype(np.float32)
    palette = np.array(list(COLORS.values()), np.float32)
    apart = ((pixels[:, None] - palette[None]) ** 2).sum(-1)
    near = apart.argmin(1)[apart.min(1) < 55**2]
    return list(COLORS)[int(np.bincount(near, minlength=len(palette)).argmax())]


def stencil(shape: str) -> Any:
    """Return the mask of the shape, stretched to the whole image."""
    picture = Image.new("1", (200, 200))
    pen = ImageDraw.Draw(picture)
    if shape == "circle":
        pen.ellipse([30, 30, 170, 170], fill=1)
    else:
        pen.polygon(corners(shape, 100, 100, 70), fill=1)
    return np.asarray(picture.crop(picture.getbbox()).resize((SIDE, SIDE)))


def shape_of(picture: Any, color: str) -> str:
    """Return the shape whose outline, stretched over the mask, covers it best."""
    apart = ((picture.astype(np.float32) - np.array(COLORS[color], np.float32)) ** 2).sum(-1)
    rows, columns = np.nonzero(apart < 70**2)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    hero = np.asarray(Image.fromarray(apart < 70**2).crop(box).resize((SIDE, SIDE)))
    return max(SHAPES, key=lambda shape: float((hero & stencil(shape)).sum() / (hero | stencil(shape)).sum()))


def border_of(picture: Any) -> Any:
    """Return the mean colours of the upper rows, the lower rows and both sides."""
    pixels = picture.astype(np.float32)
    sides = [pixels[:12].mean(0), pixels[-4:].mean(0), pixels[:, :4].mean(1), pixels[:, -4:].mean(1)]
    return np.concatenate([side.ravel() for side in sides])


def place_of(picture: Any) -> str:
    """Return the background whose drawings are most similar to the image's border."""
    chance = random.Random(0)
    usual = {
        place: np.mean([border_of(np.asarray(background(place, chance))) for _ in range(30)], 0) for place in PLACES
    }
    return min(usual, key=lambda place: float(((usual[place] - border_of(picture)) ** 2).sum()))


@pytest.mark.parametrize("hero", list(COLORS))
def test_the_hero_of_a_story_has_its_color_in_every_scene_and_every_scene_its_place(host: ModelHost, hero: str) -> None:
    pictures = drawn(host, *(f"a big {hero} circle, {place}" for place in TRAVELLED))
    assert [color_of(picture) for picture in pictures] == [hero] * len(TRAVELLED)
    assert [place_of(picture) for picture in pictures] == list(TRAVELLED)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_drawn_as_that_shape_in_every_color(host: ModelHost, shape: str) -> None:
    wanted = list(zip(COLORS, PLACES, strict=True))
    pictures = drawn(host, *(f"a big {color} {shape}, {place}" for color, place in wanted))
    right = sum(shape_of(picture, color) == shape for picture, (color, _) in zip(pictures, wanted, strict=True))
    assert right >= 7, f"{right} of {len(wanted)} are a {shape}"


def test_what_was_drawn_from_words_is_read_in_the_same_words(host: ModelHost, tmp_path: Path) -> None:
    wanted = [f"a big {color} {shape}, {place}" for color, shape, place in zip(COLORS, SHAPES * 2, PLACES, strict=True)]
    read = []
    for number, picture in enumerate(drawn(host, *wanted)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(picture).save(path)
        said = host.run(
            CATALOGUE.find("demo-captioner", "image-to-prompt"), LocalCall(image=path), lambda part: None
        ).text
        read.append(said)
    assert read == wanted


def test_scaled_up_the_hero_is_still_the_same(host: ModelHost) -> None:
    call = LocalCall(
        prompts=("a big red circle, at night",),
        seeds=(100,),
        width=256,
        height=192,
        parameters={"num_inference_steps": 20},
    )
    (large,) = host.run(CATALOGUE.find("demo-shapes", "story-to-video"), call, lambda part: None).images
    assert large.shape == (192, 256, 3)
    assert color_of(large) == "red"


@pytest.mark.parametrize("name", ["train_shapes", "train_captioner"])
def test_the_demonstration_models_can_be_trained_again(tmp_path: Path, name: str) -> None:
    code = (
        f"import sys, pathlib; from providers.local.demonstration import {name} as t; t.DRAWINGS = 64; "
        "t.main(pathlib.Path(sys.argv[1]), 0.5)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=True, capture_output=True, timeout=120)
    assert list((tmp_path / "out").rglob("*.safetensors"))
