"""The demonstration models mean what they say: hero, place and words, judged by what can be seen."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers.local.base import LocalCall
from providers.local.demonstration.drawings import COLORS, PLACES, background
from providers.local.host import ModelHost
from providers.registry import catalogue_of
from schemas.settings import Settings

CATALOGUE = catalogue_of(Settings())
#: Not in the snow: a white floor passes for a white hero.
TRAVELLED = ("at night", "on a beach", "in a city", "in a forest")


def drawn(host: ModelHost, *prompts: str) -> list[Any]:
    """The pictures of the prompts, as the model makes them."""
    call = LocalCall(
        prompts=prompts, seeds=tuple(range(100, 100 + len(prompts))), width=32, height=32,
        parameters={"num_inference_steps": 20},
    )  # fmt: skip
    return list(host.run(CATALOGUE.find("demo-shapes", "story-to-video"), call, lambda part: None).pictures)


def color_of(picture: Any) -> str:
    """The hero's colour: the one of the palette that most pixels are near to."""
    pixels = picture.reshape(-1, 3).astype(np.float32)
    palette = np.array(list(COLORS.values()), np.float32)
    apart = ((pixels[:, None] - palette[None]) ** 2).sum(-1)
    near = apart.argmin(1)[apart.min(1) < 55**2]
    return list(COLORS)[int(np.bincount(near, minlength=len(palette)).argmax())]


def border_of(picture: Any) -> Any:
    """What surrounds the hero: the means of the upper rows, the lower rows and both sides."""
    pixels = picture.astype(np.float32)
    sides = [pixels[:6].mean(0), pixels[-3:].mean(0), pixels[:, :2].mean(1), pixels[:, -2:].mean(1)]
    return np.concatenate([side.ravel() for side in sides])


def place_of(picture: Any) -> str:
    """The place whose drawings look most like the picture's border."""
    chance = random.Random(0)
    usual = {
        place: np.mean([border_of(np.asarray(background(place, chance))) for _ in range(30)], 0) for place in PLACES
    }
    return min(usual, key=lambda place: float(((usual[place] - border_of(picture)) ** 2).sum()))


@pytest.mark.parametrize("hero", ["red", "blue", "purple"])
def test_the_hero_of_a_story_has_its_color_in_every_scene_and_every_scene_its_place(host: ModelHost, hero: str) -> None:
    pictures = drawn(host, *(f"a big {hero} circle, {place}" for place in TRAVELLED))
    assert [color_of(picture) for picture in pictures] == [hero] * len(TRAVELLED)
    assert [place_of(picture) for picture in pictures] == list(TRAVELLED)


def test_what_was_drawn_from_words_is_read_in_the_same_words(host: ModelHost, tmp_path: Path) -> None:
    wanted = list(zip(COLORS, PLACES, strict=True))
    read = 0
    for number, picture in enumerate(drawn(host, *(f"a big {color} square, {place}" for color, place in wanted))):
        path = tmp_path / f"{number}.png"
        Image.fromarray(picture).save(path)
        said = host.run(
            CATALOGUE.find("demo-captioner", "image-to-prompt"), LocalCall(image=path), lambda part: None
        ).text
        color, place = wanted[number]
        assert said is not None
        read += color in said and place in said
    assert read >= 7, f"{read} of {len(wanted)} came back in colour and place"


def test_scaled_up_the_hero_is_still_the_same(host: ModelHost) -> None:
    call = LocalCall(
        prompts=("a big red circle, at night",), seeds=(100,), width=256, height=192,
        parameters={"num_inference_steps": 20},
    )  # fmt: skip
    (large,) = host.run(CATALOGUE.find("demo-shapes", "story-to-video"), call, lambda part: None).pictures
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
