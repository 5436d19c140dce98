"""Prompts that are longer than the text encoder's limit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from providers.local.base import LocalCall
from providers.local.host import ModelHost
from providers.local.long_prompts import split_prompts
from schemas.errors import JobCancelled
from tests.local import tiny_models
from tests.local.test_reference import ABLE, LARGE, ignore_progress, same, with_adapters

#: The tiny tokenizer makes each letter a token, so these are more than 77.
HERO = "a brave old fox in a long red coat with a hat, a lamp and a stick, who never laughs and never ever sleeps"


def made(host: ModelHost, weights: Path, *prompts: str, name: str = ABLE, **parameters: Any) -> tuple[list[Any], Any]:
    """Return the images of the prompts, and the manifest details."""
    call = LocalCall(
        prompts=prompts,
        seeds=tuple(range(1, len(prompts) + 1)),
        width=64,
        height=64,
        parameters={"num_inference_steps": 2, "guidance_scale": 9.0, **parameters},
    )
    result = host.run(with_adapters(weights).find(name, "story-to-video"), call, ignore_progress)
    return list(result.images), result.details


def near(first: Sequence[Any], second: Sequence[Any]) -> bool:
    return all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(first, second, strict=True))


def test_a_word_at_the_end_of_a_long_text_changes_the_picture(weights: Path, host: ModelHost) -> None:
    red, told = made(host, weights, f"{HERO}, at a red gate")
    blue, _ = made(host, weights, f"{HERO}, on a blue hill")
    assert not same(red, blue)
    assert told["prompt_parts"] == [2]
    assert "cut_prompts" not in told


def test_a_long_text_of_what_is_not_to_be_seen_is_read_to_its_end(weights: Path, host: ModelHost) -> None:
    plain, red, blue = (
        made(host, weights, "a fox", **named)[0]
        for named in ({}, {"negative_prompt": f"{HERO}, at a red gate"}, {"negative_prompt": f"{HERO}, on a blue hill"})
    )
    assert not same(red, blue)
    assert not same(plain, red)


def test_a_short_text_goes_the_ordinary_way(weights: Path, host: ModelHost) -> None:
    pipe = tiny_models.D.StableDiffusionPipeline.from_pretrained(str(weights / "pictures"))
    pipe.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation warnings among the libraries
        wanted = pipe(
            ["a fox"],
            negative_prompt=["a hat"],
            num_inference_steps=2,
            width=64,
            height=64,
            guidance_scale=9.0,
            generator=[torch.Generator("cpu").manual_seed(1)],
            output_type="pil",
        ).images[0]
    pictures, told = made(host, weights, "a fox", negative_prompt="a hat")
    assert same(pictures, [np.asarray(wanted)])
    assert "prompt_parts" not in told


def test_a_picture_does_not_depend_on_how_long_the_texts_of_its_neighbours_are(weights: Path, host: ModelHost) -> None:
    texts = ("a fox", f"{HERO}, at a gate", f"{HERO}, {HERO}, on a hill")
    together, told = made(host, weights, *texts, negative_prompt="a hat")
    assert told["prompt_parts"] == [1, 2, 3]
    for number, text in enumerate(texts):
        parameters = {"num_inference_steps": 2, "guidance_scale": 9.0, "negative_prompt": "a hat"}
        one = LocalCall(prompts=(text,), seeds=(number + 1,), width=64, height=64, parameters=parameters)
        alone = host.run(with_adapters(weights).find(ABLE, "story-to-video"), one, ignore_progress).images
        assert near(alone, together[number : number + 1])


def test_after_a_long_text_a_short_one_is_as_before_also_where_the_long_one_was_cancelled(
    weights: Path, host: ModelHost
) -> None:
    before, _ = made(host, weights, "a fox")
    made(host, weights, HERO)
    assert same(before, made(host, weights, "a fox")[0])

    def cancel(part: float) -> None:
        raise JobCancelled

    call = LocalCall(prompts=(HERO,), seeds=(1,), width=64, height=64, parameters={"num_inference_steps": 2})
    with pytest.raises(JobCancelled):
        host.run(with_adapters(weights).find(ABLE, "story-to-video"), call, cancel)
    assert same(before, made(host, weights, "a fox")[0])


@pytest.mark.parametrize("guidance", [9.0, 1.0])
def test_a_long_text_and_a_picture_of_the_hero_go_together(
    tmp_path: Path, weights: Path, host: ModelHost, guidance: float
) -> None:
    path = tmp_path / "hero.png"
    Image.new("RGB", (64, 64), "orange").save(path)
    pictures = []
    for end in ("at a red gate", "on a blue hill"):
        call = LocalCall(
            prompts=(f"{HERO}, {end}", "a fox"),
            seeds=(1, 2),
            width=64,
            height=64,
            image=path,
            parameters={"num_inference_steps": 2, "guidance_scale": guidance, "consistency": "reference"},
        )
        pictures.append(host.run(with_adapters(weights).find(ABLE, "story-to-video"), call, ignore_progress).images)
    first, second = pictures
    assert not same(first[:1], second[:1])
    assert same(first[1:], second[1:])


def test_the_manifest_lists_the_prompts_that_a_model_cut(weights: Path, host: ModelHost) -> None:
    _, told = made(host, weights, "a fox", HERO, name=LARGE)
    assert told["cut_prompts"] == [1]
    assert "prompt_parts" not in told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a fox",
        HERO,
        f"{HERO}, {HERO}, {HERO}",
        "x" * 400,
        f"{'x' * 200} {HERO}",
        "狐は山に住む。" * 20,
        "🦊 " * 40,
        f"a  fox\n\tin {HERO}",
    ],
)
def test_the_parts_of_a_text_hold_all_of_it_and_none_is_too_long(text: str) -> None:
    pipe = tiny_models.stable_diffusion()
    (parts,) = split_prompts(pipe, [text])
    assert "".join("".join(parts).split()) == "".join(text.split())
    lengths = [len(pipe.tokenizer(part).input_ids) for part in parts]
    assert max(lengths) <= 77
    if max(lengths) > 2:
        assert min(lengths) > 2


def test_a_text_is_parted_at_a_pause_where_there_is_a_late_one() -> None:
    (parts,) = split_prompts(tiny_models.stable_diffusion(), [HERO])
    assert parts == [
        "a brave old fox in a long red coat with a hat, a lamp and a stick,",
        "who never laughs and never ever sleeps",
    ]
