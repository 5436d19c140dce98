"""The HTTP edge for the clients of the Image and Video API and of the local video service, with tiny local models."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import requests
from PIL import Image

from tests.edge_process import EdgeProcess
from tests.local import tiny_models
from tests.media_probe import write_photo
from tests.telecine_process import ROOT, TelecineProcess

IMAGE = """
curl -s -X POST "http://localhost:8000/generate" \\
  -H "Content-Type: application/json" \\
  -d '{
    "prompt": "A cute robot playing guitar",
    "num_inference_steps": 30,
    "return_base64": false
  }' \\
  --output image.png
"""
BASE64 = """
const run = async () => {
const response = await fetch('http://localhost:8000/generate', {
  method: 'POST',
  headers: {'Content-Type': 'application/json'},
  body: JSON.stringify({prompt: 'A beautiful landscape', return_base64: true})
});
const data = await response.json();
console.log(data.success, data.steps, data.format, data.image_base64.slice(0, 11));
};
run();
"""
VIDEO = """
curl -s -D headers.txt -X POST "http://localhost:8000/generate-video" \\
  -H "Content-Type: application/json" \\
  -d '{
    "hero_description": "a brave knight in silver armor with a red cloak",
    "scenes": [
      "standing in front of a castle gate",
      "fighting a dragon in a cave",
      "celebrating victory in a village square"
    ],
    "duration_per_scene": 4.0,
    "fps": 30
  }' \\
  --output video.mp4
"""
INFO = """
curl -s -X POST "http://localhost:8000/generate-video/info" \\
  -H "Content-Type: application/json" \\
  -d '{
    "hero_description": "a brave knight in silver armor",
    "scenes": ["Scene 1", "Scene 2", "Scene 3"],
    "duration_per_scene": 3.0,
    "fps": 24,
    "transition_frames": 12
  }'
"""
#: The document's example with a size that the processor here makes in a second.
LOCAL = """
curl -s -X POST http://localhost:8000/generate \\
  -F "prompt=A serene lake at sunset with mountains in the background" \\
  -F "fps=24" \\
  -F "num_frames=8" \\
  -F "width=256" \\
  -F "height=256" \\
  -F "seed=42" \\
  -F "low_vram=false" \\
  -F "lawful_use_consent=true"
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    folder = tmp_path_factory.mktemp("edge")
    tiny_models.mochi().save_pretrained(folder / "mochi")
    shapes = ROOT / "providers" / "local" / "demonstration" / "shapes"
    small = {"need_gb": None, "low_need_gb": None, "steps": 2}
    models = [
        {"id": "segmind/tiny-sd", "weights": {"source": str(shapes), "native": [64, 64]}},
        {"id": "mochi", "weights": {"source": str(folder / "mochi"), **small}},
    ]
    telecine = TelecineProcess(folder / "home", models=json.dumps(models), local_threads=1, local_device="cpu")
    telecine.environment |= {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with telecine, EdgeProcess(telecine.start()) as process:
        yield process


def frames(content: bytes) -> int:
    with av.open(io.BytesIO(content), "r") as film:
        return len(list(film.decode(video=0)))


def test_the_image_documents_examples(edge: EdgeProcess, tmp_path: Path) -> None:
    edge.shell(IMAGE, tmp_path)
    with Image.open(tmp_path / "image.png") as made:
        assert made.format == "PNG"
    assert edge.program(shutil.which("node") or "node", "-", text=BASE64, folder=tmp_path).split() == [
        "true",
        "25",
        "png",
        "iVBORw0KGgo",
    ]
    edge.shell(VIDEO, tmp_path)
    headers = (tmp_path / "headers.txt").read_text().lower()
    assert frames((tmp_path / "video.mp4").read_bytes()) == 3 * 120 + 2 * 12
    assert "x-video-scenes: 3\n" in headers.replace("\r", "")
    assert "x-video-fps: 30\n" in headers.replace("\r", "")
    assert "x-video-duration: 12.8\n" in headers.replace("\r", "")
    assert json.loads(edge.shell(INFO, tmp_path)) == {
        "scenes_count": 3,
        "frames_per_scene": 72,
        "transition_frames": 12,
        "total_frames": 240,
        "total_duration_seconds": 10.0,
        "fps": 24,
        "resolution": "512x512",
        "estimated_generation_time_seconds": 15,
    }
    health = json.loads(edge.shell("curl -s http://localhost:8000/health", tmp_path))
    assert (health["status"], health["model_loaded"]) == ("healthy", True)
    root = json.loads(edge.shell("curl -s http://localhost:8000/", tmp_path))
    assert (root["status"], root["model"], root["endpoints"]["generate_image"]) == (
        "running",
        "segmind/tiny-sd",
        "/generate",
    )


def test_invalid_image_requests_have_fastapis_form(edge: EdgeProcess) -> None:
    for body, place in (
        ({}, ["body", "prompt"]),
        ({"prompt": "x", "num_inference_steps": 99}, ["body", "num_inference_steps"]),
    ):
        answer = edge.call("POST", "/generate", json=body)
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, place)
    assert edge.call("POST", "/generate-video", json={"scenes": ["one"]}).status_code == 422
    assert edge.call("POST", "/generate", json={"prompt": "x", "unknown": 1, "num_inference_steps": 51}).json()


def test_the_local_video_documents_examples(edge: EdgeProcess, tmp_path: Path) -> None:
    made = json.loads(edge.shell(LOCAL, tmp_path))
    assert (made["success"], made["error"]) == (True, None)
    assert (made["frames"], made["fps"], made["width"], made["height"]) == (8, 24, 256, 256)
    assert (made["seed"], made["backend"]) == (42, "mochi")
    assert made["elapsed_time"] > 0
    edge.shell(f"curl -s http://localhost:8000{made['video_url']} -o my_video.mp4", tmp_path)
    assert frames((tmp_path / "my_video.mp4").read_bytes()) == 8
    # The document's Python client without an image: requests then sends an urlencoded form.
    data = {"prompt": "A cat plays", "fps": 24, "num_frames": 8, "width": 256, "height": 256}
    client = {**data, "low_vram": "false", "lawful_use_consent": "true"}
    assert requests.post(f"{edge.url}/generate", data=client, files={}, timeout=90).json()["success"] is True
    assert set(json.loads(edge.shell("curl -s http://localhost:8000/system-info", tmp_path))) == {
        "cuda_available",
        "device_name",
        "total_vram_gb",
        "free_vram_gb",
        "used_vram_gb",
        "cpu_percent",
        "ram_available_gb",
        "ram_total_gb",
        "backend",
    }


def test_the_local_video_services_errors(edge: EdgeProcess, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "image.jpg").read_bytes()
    consent = {"prompt": "A cat plays", "lawful_use_consent": "true"}
    for data, files, status, error in (
        ({"prompt": "A cat plays"}, {}, 403, "The model requires `lawful_use_consent` to be true"),
        ({**consent, "prompt": "A"}, {}, 400, "prompt: must have at least 3 characters"),
        ({**consent, "width": "300"}, {}, 400, "width: must be a multiple of 8"),
        (consent, {"image": ("", b"")}, 200, None),
        (consent, {"image": b"text"}, 400, "Image must be JPG or PNG"),
        ({**consent, "prefer_backend": "wan"}, {"image": photo}, 503, ""),
    ):
        if status == 200:
            data = {**data, "num_frames": "8", "width": "256", "height": "256", "seed": ""}
        answer = edge.call("POST", "/generate", data=data, files=files or None)
        assert answer.status_code == status, answer.text
        assert (answer.json()["error"] or "").startswith(error or ""), answer.text
    assert edge.call("GET", "/outputs/none.mp4").status_code == 404
