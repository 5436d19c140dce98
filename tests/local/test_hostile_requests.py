"""Requests and images at the limits of what is accepted, made to cost as much as possible."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.media.silent_film import crossfade, write_silent_film
from pipelines.models.local_story import shots
from pipelines.registry import PIPELINES
from providers.local.host import ModelHost
from tests.local.test_local_pipelines import FILM, IMAGE, SHORT, Stage
from tests.local.test_reference import STORY, on_stage
from tests.media_probe import ffmpeg


@pytest.mark.parametrize("size", [(1, 3000), (9000, 2)])
def test_a_line_of_pixels_costs_no_more_than_a_picture(
    tmp_path: Path, weights: Path, host: ModelHost, size: tuple[int, int]
) -> None:
    film = Stage(tmp_path, weights, host, "image-to-video")
    words = Stage(tmp_path, weights, host, "image-to-prompt")
    story = on_stage(tmp_path, weights, host)
    Image.effect_noise(size, 90).convert("RGB").save(tmp_path / "fox.png")
    film.run(image=IMAGE, prompt="it runs", model="wan", **FILM, **SHORT)
    words.run(image=IMAGE, model="clip-interrogator/local", mode="fast")
    tracemalloc.start()
    try:
        film.run(image=IMAGE, prompt="it runs", model="wan", **FILM, **SHORT)
        words.run(image=IMAGE, model="clip-interrogator/local", mode="fast")
        story.run(**STORY, hero_image=IMAGE)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text", ["🦊" * 1_000, "👩‍👩‍👧‍👦" * 140, "שָׁלוֹם " * 120, "ﷺ" * 1_000, "a\u0301" * 500, "\u202e\u2066x" * 300]
)
def test_a_text_of_rare_signs_becomes_a_picture(tmp_path: Path, weights: Path, host: ModelHost, text: str) -> None:
    stage = Stage(tmp_path, weights, host, "text-to-image")
    stage.run(prompt=text, negative_prompt=text[::-1], width=64, height=64, num_inference_steps=10)
    assert stage.context.manifest_details["prompt"] == text
    assert stage.context.manifest_details["prompt_parts"][0] > 5


def test_a_hero_and_a_scene_that_are_too_long_together_are_refused_by_their_field(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    stage = Stage(tmp_path, weights, host, "story-to-video")
    error = stage.refusal(scenes=["x" * 1000, "a hill"], hero_description="y" * 1000)
    assert (error.code, error.field) == ("invalid_field", "data.scenes")
    assert "at most 2,000 characters" in error.message


def test_a_plan_costs_nothing_where_the_prompt_is_written_here(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "image-to-video")
    stage.context.catalogue = stage.context.catalogue.with_entries([{"id": "clip-interrogator", "price": "0.03"}])
    plan = PIPELINES["image-to-video"].plan
    here = plan(stage.data(image=IMAGE, model="wan", **FILM), stage.context)
    assert here.cost["amount"] == "0.00"
    elsewhere = plan(stage.data(image=IMAGE, model=["wan", "pika"], **FILM), stage.context)
    assert elsewhere.cost["amount"] == "0.03"
    assert elsewhere.estimated_seconds > here.estimated_seconds


@pytest.mark.parametrize(
    ("scenes", "each", "fades", "fps", "size"),
    [
        (2, 1, 0, 1, (64, 48)),
        (2, 1, 0, 60, (64, 48)),
        (3, 7, 5, 60, (40, 1080)),
        (100, 1, 1, 1, (32, 32)),
        (2, 61, 240, 59, (64, 48)),
        (2, 3_600, 0, 60, (2048, 32)),
    ],
)
def test_a_film_of_odd_numbers_plays_for_exactly_as_long_as_was_planned(
    tmp_path: Path, scenes: int, each: int, fades: int, fps: int, size: tuple[int, int]
) -> None:
    pictures = [np.full((size[1], size[0], 3), 40 * scene % 256, np.uint8) for scene in range(scenes)]

    def draw(name: str) -> Any:
        scene, fade = map(int, name.split("/"))
        return crossfade(pictures[scene], pictures[scene + 1], fade, fades) if fade else pictures[scene]

    path = tmp_path / "video.mp4"
    written = write_silent_film(path, list(shots(scenes, each, fades)), draw, fps=fps, progress=lambda _: None)
    assert written == scenes * each + (scenes - 1) * fades
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert stream.time_base is not None
        times = [frame.pts * stream.time_base for frame in film.decode(stream) if frame.pts is not None]
        assert [time * fps for time in times] == list(range(written))
        assert stream.duration is not None
        assert stream.duration * stream.time_base * fps == written
    other = cv2.VideoCapture(str(path))
    assert sum(1 for _ in iter(lambda: other.read()[0], False)) == written
    other.release()
    assert ffmpeg("-i", str(path), "-f", "null", "-") == ""
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
