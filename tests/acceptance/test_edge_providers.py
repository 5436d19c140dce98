"""The HTTP edge for the clients of the gateway and of the I2V API, with doubles of the providers and results in S3."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.acceptance.test_i2v import BODY
from tests.doubles.imagine import Imagine
from tests.doubles.misbehaviour import Plan
from tests.edge_process import EdgeProcess
from tests.media_probe import write_photo, write_wav
from tests.provider_line import ProviderLine
from tests.servers.ministack import Ministack
from tests.servers.s3 import endpoint
from tests.telecine_process import wait_until

TEXT = """
curl -s -X POST "https://your-app.railway.app/v1/text-to-video/generations" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "hailuo02standard",
    "prompt": "A cat playing piano in a jazz club"
  }'
"""
IMAGE = """
curl -s -X POST "https://your-app.railway.app/v1/image-to-video/generations" \\
  -F "image=@/path/to/image.jpg" \\
  -F "model=hailuo23fast" \\
  -F "prompt=The character smiles and waves" \\
  -F "resolution=768p" \\
  -F "duration=6"
"""
PORTRAITS = [
    """
curl -s -X POST "https://your-app.railway.app/v1/audio-to-video/generations" \\
  -F "image=@portrait.jpg" \\
  -F "audio=@voice.mp3" \\
  -F "prompt=make video in motion" \\
  -F "resolution=1080p" \\
  -F "audio_duration=5.06"
""",
    """
curl -s -X POST "https://your-app.railway.app/v1/audio-to-video/generations" \\
  -F "image=@portrait.jpg" \\
  -F "audio=@voice.mp3" \\
  -F "prompt=" \\
  -F "resolution=1080p"
""",
]
IMAGINE = """
curl -s -X POST "https://your-app.railway.app/v1/imagine-text-to-video/generations" \\
  -H "Content-Type: application/json" \\
  -d '{
    "prompt": "A cat eating hotdogs in a park",
    "aspect_ratio": "16:9",
    "duration": 12,
    "resolution": "1080p",
    "style_id": 60503,
    "is_enhance": true
  }'
"""
#: The document's JavaScript, with files from the disk in place of a page's input elements.
JAVASCRIPT = """
const fs = require('fs');
const imageFile = new File([fs.readFileSync('image.jpg')], 'image.jpg', {type: 'image/jpeg'});
(async () => {
const formData = new FormData();
formData.append('image', imageFile); // File from input element
formData.append('model', 'hailuo23fast');
formData.append('prompt', 'The character smiles and waves');
formData.append('resolution', '768p');
formData.append('duration', '6');

const response = await fetch('https://your-app.railway.app/v1/image-to-video/generations', {
  method: 'POST',
  body: formData
});

const result = await response.json();
console.log('Video URL:', result.url);
})();
"""


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in ("image.jpg", "portrait.jpg"):
        write_photo(folder / name)
    write_wav(folder / "voice.mp3", 2.0)
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, ministack: Ministack) -> Iterator[ProviderLine]:
    s3 = endpoint("ministack", ministack)
    bucket = "edge-results"
    s3.client().create_bucket(Bucket=bucket)
    with Imagine() as imagine:
        quick = {"first_wait_seconds": 0.1, "poll_seconds": 0.1}
        names = ("hailuo02standard", "hailuo23fast", "Infinitetalk", "imagine-text-to-video", "pika")
        chosen: dict[str, object] = {
            "storage": "s3",
            "s3_endpoint_url": s3.url,
            "s3_region": s3.region,
            "output": f"s3://{bucket}/results/",
            "imagine_base_url": imagine.url,
            "imagine_api_key": imagine.key,
            "imagine_styles": json.dumps({"60503": "realistic", "default": "realistic"}),
            "models": json.dumps([{"id": name, **quick} for name in (*names, "clip-interrogator")]),
        }
        with ProviderLine(tmp_path_factory.mktemp("edge") / "home", None, **chosen) as made:
            made.telecine.environment |= s3.environment
            made.telecine.start()
            yield made


@pytest.fixture(scope="module")
def edge(line: ProviderLine) -> Iterator[EdgeProcess]:
    with EdgeProcess(line.telecine) as process:
        yield process


def film_at(url: str) -> bytes:
    answer = requests.get(url, timeout=30)
    assert answer.status_code == 200
    assert answer.content[4:8] == b"ftyp"
    return answer.content


def test_the_gateway_documents_shell_examples(edge: EdgeProcess, line: ProviderLine, media: Path) -> None:
    listed = json.loads(edge.shell('curl -s -X GET "https://your-app.railway.app/v1/models"', media))
    assert listed["object"] == "list"
    assert {"id": "hailuo02standard", "object": "model", "created": 1704067200, "owned_by": "cococlip"} in listed[
        "data"
    ]
    for example, status in ((TEXT, "COMPLETED"), (IMAGE, "completed")):
        made = json.loads(edge.shell(example, media))
        assert (list(made), made["status"]) == (["url", "status", "task_id"], status)
        assert made["task_id"] in line.cococlip.tasks
        film_at(made["url"])
    for example in PORTRAITS:
        made = json.loads(edge.shell(example, media))
        assert (made["status"], made["inference_time"]) == ("COMPLETED", 128036)
        film_at(made["url"])
    made = json.loads(edge.shell(IMAGINE, media))
    assert list(made) == ["id", "status", "video_url", "batch_id"]
    film_at(made["video_url"])


def test_the_gateway_documents_javascript(edge: EdgeProcess, media: Path) -> None:
    shown = edge.program(shutil.which("node") or "node", "-", text=JAVASCRIPT, folder=media)
    film_at(shown.removeprefix("Video URL:").strip())


def test_the_gateways_errors(edge: EdgeProcess, line: ProviderLine, media: Path) -> None:
    path = "/v1/audio-to-video/generations"
    film, image = b"\0\0\0\x18ftypmp42" + bytes(64), (media / "image.jpg").read_bytes()
    answer = edge.call("POST", path, files={"image": film, "audio": (media / "voice.mp3").read_bytes()})
    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "Invalid image file type. Allowed: JPEG, PNG, WebP. Got: video/mp4"},
    )
    large = edge.call("POST", path, files={"image": image + bytes(51 << 20), "audio": b"x"})
    assert (large.status_code, large.json()) == (400, {"detail": "File too large"})
    unknown = edge.call("POST", "/v1/text-to-video/generations", json={"model": "nothing", "prompt": "x"})
    assert unknown.status_code == 400
    line.cococlip.plan(Plan("fail", message="not this"))
    failed = edge.call("POST", "/v1/text-to-video/generations", json={"model": "hailuo02standard", "prompt": "y"})
    assert failed.status_code == 500
    assert failed.json()["detail"].startswith("Polling failed: ")


def test_a_client_of_the_i2v_api_chooses_any_id(edge: EdgeProcess, line: ProviderLine) -> None:
    def ask(headers: dict[str, str], body: dict[str, Any]) -> requests.Response:
        return edge.call("POST", "/api/v1/i2v", json=body, headers=headers)

    missing = ask({}, {"image_id": line.picture})
    assert (missing.status_code, missing.json()["detail"][0]["loc"]) == (422, ["header", "x-request-id"])
    for _ in range(2):
        answer = ask({"x-request-id": "order 7/{a}"}, {"image_id": line.picture})
        assert answer.json() == {
            "message": "Video generation pipeline initialized | ETA: 5-7 minutes",
            "request_id": "order 7/{a}",
        }
    (attempt,) = line.receiver.wait_for(1)
    assert attempt.path == "/requests/order%207%2F%7Ba%7D/callback"
    url = attempt.json()["data"]["output"]["url"]
    assert attempt.body.decode() == BODY % (attempt.json()["data"]["output"]["title"], url)
    film_at(url)


def test_a_client_uploads_to_the_bucket_by_itself(edge: EdgeProcess) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "PNG")
    body = picture.getvalue()
    made = edge.call("POST", "/v1/uploads", json={"name": "image", "bytes": len(body)}).json()
    assert requests.put(made["url"], data=body, headers=made["headers"], timeout=30).status_code == 200
    data = {"image": made["uri"], "model": "hailuo23fast", "prompt": "it turns"}
    request = {"id": made["id"], "type": "image-to-video", "data": data}
    assert edge.call("POST", "/v1/jobs", json=request).status_code == 202
    job = edge.call("GET", f"/v1/jobs/{made['id']}?wait=30").json()
    assert job["status"] == "completed", job
    film_at(job["outputs"][0]["url"])
    part = edge.call("GET", f"/v1/jobs/{made['id']}/outputs/video.mp4", headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert edge.call("DELETE", f"/v1/jobs/{made['id']}").json()["files_deleted"] == 3


def test_m3_a_client_sees_the_progress_of_a_provider(edge: EdgeProcess, line: ProviderLine) -> None:
    line.pika.plan(Plan(polls=40))  # its double reports ten percent more at each of them
    data = {"image": line.picture, "model": "pika", "prompt": "it turns"}
    told = {"url": line.receiver.url, "events": ["progress"]}
    body = {"id": "progress-1", "type": "image-to-video", "data": data, "callback": told}
    assert edge.call("POST", "/v1/jobs", json=body).status_code == 202
    events = edge.call("GET", "/v1/jobs/progress-1/events", stream=True, headers={"accept": "text/event-stream"})
    seen, polled = [], []
    for text in events.iter_lines():
        if not text.startswith(b"data: "):
            continue
        shown = json.loads(text.removeprefix(b"data: "))
        if shown.get("progress_percentage"):
            seen.append((shown["status"], shown["progress_percentage"], shown["processing_time_seconds"]))
            polled.append(edge.call("GET", "/jobs/progress-1").json()["status"])
        if shown["status"] == "completed":
            break
    waiting = [percentage for status, percentage, _ in seen if status == "waiting"]
    assert len({percentage for percentage in waiting if percentage > 10}) >= 2, seen
    assert waiting == sorted(waiting)
    assert 60 < waiting[-1] < 95
    times = [seconds for _, _, seconds in seen]
    assert times[0] + 1 < times[1] < times[-1]
    assert set(polled) == {"processing", "completed"}

    def reported() -> list[int]:
        hooks = [attempt.json() for attempt in line.receiver.attempts if b'"job.progress"' in attempt.body]
        return sorted(hook["data"]["progress_percentage"] for hook in hooks if hook["data"]["id"] == "progress-1")

    wait_until(lambda: reported() == sorted(set(waiting) - {5}), what=lambda: f"{reported()} {seen}")
