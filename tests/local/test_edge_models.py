"""The HTTP edge for the clients of the Image and Video API and of the local video service, with tiny local models."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.edge_clients import Example
from tests.edge_examples import HEALTH, IMAGES, LOCAL_VIDEOS, ROOT as ROOT_CALL, STORIES, STORY_INFO, SYSTEM_INFO
from tests.edge_process import EdgeProcess
from tests.local import tiny_models
from tests.media_probe import write_photo
from tests.telecine_process import ROOT, TelecineProcess


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    folder = tmp_path_factory.mktemp("edge")
    tiny_models.mochi().save_pretrained(folder / "mochi")
    tiny_models.wan(from_picture=True).save_pretrained(folder / "wan")
    shapes = ROOT / "providers" / "local" / "demonstration" / "shapes"
    small = {"need_gb": None, "low_need_gb": None, "steps": 2, "native": [64, 64]}
    models = [
        {"id": "segmind/tiny-sd", "weights": {"source": str(shapes), "native": [64, 64]}},
        {"id": "mochi", "weights": {"source": str(folder / "mochi"), **small}},
        {"id": "wan", "weights": {"source": str(folder / "wan"), "takes_text": False, **small}},
    ]
    telecine = TelecineProcess(folder / "home", models=json.dumps(models), local_threads=1, local_device="cpu")
    telecine.environment |= {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with telecine, EdgeProcess(telecine.start()) as process:
        yield process


def film(content: bytes) -> tuple[int, float, int, int]:
    """Return the number of decoded frames, the rate, the width and the height."""
    with av.open(io.BytesIO(content), "r") as opened:
        stream = opened.streams.video[0]
        return len(list(opened.decode(stream))), float(stream.average_rate or 0), stream.width, stream.height


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_photo(folder / "image.jpg")
    return folder


@pytest.mark.parametrize("example", IMAGES, ids=lambda example: example.name)
def test_the_image_documents_images(example: Example, edge: EdgeProcess, media: Path) -> None:
    answer = edge.run(example, media)
    content = answer.body
    if not isinstance(example.answer, str):
        assert example.json is not None
        assert answer.json()["steps"] == example.json.get("num_inference_steps", 25)
        content = base64.b64decode(answer.json()["image_base64"])
    with Image.open(io.BytesIO(content)) as made:
        assert (made.format, made.size) == ("PNG", (512, 512))


@pytest.mark.parametrize("example", STORIES, ids=lambda example: example.name)
def test_the_image_documents_stories(example: Example, edge: EdgeProcess, media: Path) -> None:
    assert example.json is not None
    asked = {"duration_per_scene": 3.0, "fps": 24, "width": 512, "height": 512, "transition_frames": 12, **example.json}
    scenes = len(asked["scenes"])
    frames = scenes * round(asked["duration_per_scene"] * asked["fps"]) + (scenes - 1) * asked["transition_frames"]
    answer = edge.run(example, media)
    assert film(answer.body) == (frames, asked["fps"], asked["width"], asked["height"])
    assert answer.headers["x-video-scenes"] == str(scenes)
    assert answer.headers["x-video-fps"] == str(asked["fps"])
    assert float(answer.headers["x-video-duration"]) == pytest.approx(frames / asked["fps"])


def test_the_image_documents_other_calls(edge: EdgeProcess, media: Path) -> None:
    edge.run(STORY_INFO, media)
    for example, more in ((ROOT_CALL, "endpoints"), (HEALTH, "checks")):
        edge.run(replace(example, answer={**example.answer, more: dict}), media)


def test_invalid_image_requests_have_fastapis_form(edge: EdgeProcess) -> None:
    for body, place in (
        ({}, ["body", "prompt"]),
        ({"prompt": "x", "num_inference_steps": 99}, ["body", "num_inference_steps"]),
    ):
        answer = edge.call("POST", "/generate", json=body)
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, place)
    assert edge.call("POST", "/generate-video", json={"scenes": ["one"]}).status_code == 422
    assert edge.call("POST", "/generate", json={"prompt": "x", "unknown": 1, "num_inference_steps": 51}).json()


@pytest.mark.parametrize("example", LOCAL_VIDEOS, ids=lambda example: example.name)
def test_the_local_video_documents_examples(example: Example, edge: EdgeProcess, media: Path) -> None:
    made = edge.run(example, media).json()
    assert re.fullmatch(r"/outputs/[^/]+\.mp4", made["video_url"])
    download = Example("download", "curl", "GET", made["video_url"], answer="video/mp4")
    assert film(edge.run(download, media).body) == tuple(made[name] for name in ("frames", "fps", "width", "height"))


def test_the_local_video_documents_system_information(edge: EdgeProcess, media: Path) -> None:
    edge.run(SYSTEM_INFO, media)


def test_the_local_video_services_errors(edge: EdgeProcess) -> None:
    consent = {"prompt": "A cat plays", "lawful_use_consent": "true"}
    for data, files, status, error in (
        ({"prompt": "A cat plays"}, {}, 403, "The model requires `lawful_use_consent` to be true"),
        ({**consent, "prompt": "A"}, {}, 400, "prompt: must have at least 3 characters"),
        ({**consent, "width": "300"}, {}, 400, "width: must be a multiple of 8"),
        (consent, {"image": ("", b"")}, 200, None),
        (consent, {"image": b"text"}, 400, "Image must be JPG or PNG"),
    ):
        if status == 200:
            data = {**data, "num_frames": "8", "width": "256", "height": "256", "seed": ""}
        answer = edge.call("POST", "/generate", data=data, files=files or None)
        assert answer.status_code == status, answer.text
        assert (answer.json()["error"] or "").startswith(error or ""), answer.text
    assert edge.call("GET", "/outputs/none.mp4").status_code == 404
