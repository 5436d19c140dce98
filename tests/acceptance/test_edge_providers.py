"""The HTTP edge for the clients of the gateway and of the I2V API, with doubles of the providers and results in S3."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.acceptance.test_i2v import BODY
from tests.doubles.imagine import Imagine
from tests.doubles.misbehaviour import Plan
from tests.edge_clients import Example
from tests.edge_examples import GATEWAY, I2V, LISTED_MODELS, MODELS
from tests.edge_process import EdgeProcess
from tests.media_probe import ffmpeg, write_photo, write_wav
from tests.provider_line import ProviderLine
from tests.reporting_page import report_of
from tests.servers.ministack import Ministack
from tests.servers.s3 import endpoint
from tests.telecine_process import wait_until

#: A page of another origin that calls the gateway as its document's page does. `choose` is the user's hand.
PAGE = """<!doctype html><input type=file id=image accept="image/*"><input type=file id=audio accept="audio/*">
<button id=go>Go</button><video id=film muted controls></video><a id=link download="film.mp4">Download</a><script>
const byId = name => document.getElementById(name);
const shown = [];
byId("go").addEventListener("click", async () => {
  const form = new FormData();
  for (const name of ["image", "audio"]) form.append(name, byId(name).files[0]);
  form.append("prompt", "");
  form.append("resolution", "1080p");
  try {
    const response = await fetch("BASE/v1/audio-to-video/generations", {method: "POST", body: form});
    if (!response.ok) throw new Error((await response.json()).detail);
    const result = await response.json();
    byId("film").src = byId("link").href = result.url;
    shown.push(result);
  } catch (error) { shown.push(error.message); }
  document.dispatchEvent(new Event("shown"));
});
const choose = async (name, file, type) => {
  const chosen = new DataTransfer();
  chosen.items.add(new File([await (await fetch(file)).blob()], file, {type}));
  byId(name).files = chosen.files;
};
const once = (place, name) => new Promise(done => place.addEventListener(name, done, {once: true}));
const press = async () => { const seen = once(document, "shown"); byId("go").click(); await seen; };
(async () => {
  const report = {};
  await choose("audio", "voice.mp3", "audio/mpeg");
  await choose("image", "voice.mp3", "image/png");
  await press();
  await choose("image", "portrait.jpg", "image/jpeg");
  const loaded = once(byId("film"), "loadeddata");
  await press();
  if (byId("film").src) { await loaded; await byId("film").play(); await once(byId("film"), "timeupdate"); }
  const {videoWidth, videoHeight, duration, currentTime, error} = byId("film");
  Object.assign(report, {shown, videoWidth, videoHeight, duration, currentTime, error, link: byId("link").href});
  await fetch("/report", {method: "POST", body: JSON.stringify(report)});
})();
</script>"""


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in ("image.jpg", "portrait.jpg"):
        write_photo(folder / name)
    ffmpeg("-i", str(write_wav(folder / "voice.wav", 2.0)), str(folder / "voice.mp3"))
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


def test_the_gateway_lists_its_documents_models(edge: EdgeProcess, media: Path) -> None:
    listed = edge.run(MODELS, media).json()["data"]
    for name, owner in LISTED_MODELS.items():
        assert {"id": name, "object": "model", "created": 1704067200, "owned_by": owner} in listed


@pytest.mark.parametrize("example", GATEWAY, ids=lambda example: example.name)
def test_the_gateway_documents_examples(example: Example, edge: EdgeProcess, line: ProviderLine, media: Path) -> None:
    made = edge.run(example, media).json()
    assert list(made) == list(example.answer)
    film_at(made.get("url") or made["video_url"])
    if "inference_time" in made:
        assert made["inference_time"] == 128036
    if "task_id" in made:
        assert made["task_id"] in line.cococlip.tasks


def test_a_page_of_another_origin_shows_the_gateways_video(edge: EdgeProcess, media: Path, tmp_path: Path) -> None:
    (media / "index.html").write_text(PAGE.replace("BASE", edge.url))
    report = report_of(media, tmp_path, host="localhost")
    refused, made = report["shown"]
    assert refused.startswith("Invalid image file type. Allowed: JPEG, PNG, WebP.")
    assert (made["status"], report["link"], report["error"]) == ("COMPLETED", made["url"], None)
    assert (report["videoWidth"], report["videoHeight"]) == (96, 64)
    assert 0 < report["currentTime"] <= report["duration"]


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


def test_the_i2v_documents_example(edge: EdgeProcess, line: ProviderLine, media: Path) -> None:
    edge.run(replace(I2V, json={"image_id": line.picture}), media)
    (attempt,) = line.receiver.wait_for(1)
    assert attempt.path == "/requests/your-request-id/callback"
    output = attempt.json()["data"]["output"]
    assert attempt.body.decode() == BODY % (output["title"], output["url"])


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
    attempt = wait_until(lambda: next((seen for seen in line.receiver.attempts if "order" in seen.path), None))
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
