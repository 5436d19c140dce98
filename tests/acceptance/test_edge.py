"""The HTTP edge with a real Telecine and real files: the examples of the reel's document, and the native API."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import av
import pytest
import requests

import telecine_client
from consumer.ledger.queries import find_job
from consumer.ledger.states import State
from consumer.retention.orphaned_uploads import delete_orphaned_uploads
from consumer.storage.factory import storage_of
from tests.edge_clients import Example, run
from tests.edge_examples import REEL_ADMIN, REEL_JOBS, REELS
from tests.edge_process import EdgeProcess, started_at
from tests.media_probe import ffmpeg, write_photo, write_wav
from tests.telecine_process import TelecineProcess, wait_until

SECONDS = 1.5


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the document names."""
    folder = tmp_path_factory.mktemp("media")
    write_photo(folder / "image.jpg")
    ffmpeg("-i", str(write_wav(folder / "audio.wav", SECONDS)), str(folder / "audio.mp3"))
    return folder


@pytest.fixture(scope="module")
def telecine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelecineProcess]:
    with TelecineProcess(tmp_path_factory.mktemp("edge") / "home", notes=True) as process:
        yield process.start()


@pytest.fixture(scope="module")
def edge(telecine: TelecineProcess) -> Iterator[EdgeProcess]:
    with EdgeProcess(telecine, edge_max_upload_bytes=500_000, edge_body_timeout_seconds=3) as process:
        yield process


@pytest.fixture(scope="module")
def once(telecine: TelecineProcess) -> Iterator[EdgeProcess]:
    """Return an edge that deletes a reel when it was downloaded."""
    with EdgeProcess(telecine, edge_download_once="true") as process:
        yield process


def files_of(media: Path) -> dict[str, Any]:
    return {
        name: (file, (media / file).read_bytes()) for name, file in (("image", "image.jpg"), ("audio", "audio.mp3"))
    }


def stored(telecine: TelecineProcess, job_id: str) -> list[str]:
    """Return the names of all files of a job: uploads and results."""
    root = telecine.settings.storage_folder / "results"
    return sorted(path.name for path in root.rglob("*") if path.is_file() and job_id in path.parts)


def note(edge: EdgeProcess, **fields: Any) -> dict[str, Any]:
    made = edge.call("POST", "/v1/jobs", json={"type": "note", "data": {}, **fields})
    assert made.status_code == 202, made.text
    return dict(made.json())


def check_reel(content: bytes) -> None:
    with av.open(io.BytesIO(content), "r") as film:
        assert float(film.duration or 0) / av.time_base == pytest.approx(SECONDS, abs=0.2)


@pytest.mark.parametrize("client", REEL_JOBS)
def test_the_reel_documents_jobs(client: str, edge: EdgeProcess, telecine: TelecineProcess, media: Path) -> None:
    submit, status, download = REEL_JOBS[client]
    made = edge.run(submit, media).json()
    job_id = made["job_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", made["created_at"])
    early = edge.call("GET", f"/jobs/{job_id}/download")
    assert early.status_code in (200, 400)
    seen = set()

    def shown() -> dict[str, Any]:
        found = edge.run(status, media, job_id=job_id).json()
        seen.add(found["status"])
        return dict(found)

    last = wait_until(lambda: (found := shown())["status"] == "completed" and found)
    assert seen <= {"pending", "processing", "completed"}
    assert (last["progress_percentage"], last["processing_time_seconds"] > 0) == (100, True)
    check_reel(edge.run(download, media, job_id=job_id).body)
    files = stored(telecine, job_id)
    assert {"cover.jpg", "manifest.json", "video.mp4"} <= set(files)
    assert len([name for name in files if name.endswith(("-audio", "-image"))]) == 2
    assert job_id in [job["job_id"] for job in edge.call("GET", "/jobs?status=completed&limit=10").json()]
    gone = edge.call("DELETE", f"/jobs/{job_id}").json()
    assert (gone["job_id"], gone["files_deleted"], stored(telecine, job_id)) == (job_id, len(files), [])
    assert edge.call("GET", f"/jobs/{job_id}").status_code == 404


@pytest.mark.parametrize("example", REELS, ids=lambda example: example.name)
def test_the_reel_documents_videos(example: Example, edge: EdgeProcess, media: Path) -> None:
    check_reel(edge.run(example, media).body)


def test_the_reel_documents_cleanup(edge: EdgeProcess, media: Path) -> None:
    for example in REEL_ADMIN:
        done = edge.run(example, media).json()
        assert (done["jobs_deleted"], done["files_deleted"]) == (0, 0)  # nothing is so old


def test_a_local_video_without_weights_is_503(edge: EdgeProcess) -> None:
    answer = edge.call("POST", "/generate", data={"prompt": "A cat plays", "lawful_use_consent": "true"})
    assert answer.status_code == 503
    error = answer.json()
    assert (error["success"], error["video_url"]) == (False, None)
    assert error["error"].startswith("no backend for text-to-video has weights on this worker")


@pytest.mark.parametrize(
    ("changed", "status", "detail"),
    [
        ({"image": b"plain text"}, 400, "Image must be JPG or PNG"),
        ({"image": None}, 400, "Image must be JPG or PNG"),
        ({"audio": b"\x89PNG\r\n\x1a\n" + bytes(40)}, 400, "Audio must be MP3, WAV, or FLAC"),
        ({"lyrics": "", "alignment_mode": "even"}, 400, "Lyrics text is required"),
        ({"font_size": "4000"}, 400, "font_size: must be at most 400"),
        ({"alignment_mode": "sideways"}, 400, "alignment_mode: must be"),
    ],
)
def test_a_bad_reel_is_refused_before_anything_is_stored(
    changed: dict[str, Any], status: int, detail: str, edge: EdgeProcess, telecine: TelecineProcess, media: Path
) -> None:
    before = stored(telecine, "~uploads")
    files = files_of(media) | {n: v for n, v in changed.items() if n in ("image", "audio") and v is not None}
    files = {name: item for name, item in files.items() if changed.get(name, item) is not None}
    data = {name: value for name, value in changed.items() if name not in files}
    answer = edge.call("POST", "/jobs/create-video", files=files, data=data)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
    assert stored(telecine, "~uploads") == before


def test_a_request_with_an_upload_goes_through_the_native_api(
    edge: EdgeProcess, telecine: TelecineProcess, media: Path
) -> None:
    image = (media / "image.jpg").read_bytes()
    made = edge.call("POST", "/v1/uploads", json={"name": "image", "bytes": len(image)}).json()
    job_id, uri = made["id"], made["uri"]
    put = requests.put(made["url"], data=image, headers=made["headers"], timeout=30).json()
    digest = hashlib.sha256(image).hexdigest()
    assert put == {"id": job_id, "uri": uri, "bytes": len(image), "sha256": digest}
    for path, body, status, code in (
        (f"/v1/uploads/{job_id}/image", image + b"x", 409, "output_exists"),
        (f"/v1/uploads/{job_id}/audio", bytes(500_001), 413, "file_too_large"),
        (f"/v1/uploads/{job_id}/{{x}}", b"x", 400, "invalid_field"),
    ):
        refused = edge.call("PUT", path, data=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    error = edge.call("POST", "/v1/jobs", json={"id": "another", "type": "note", "data": {"image": uri}}).json()[
        "error"
    ]
    assert (error["code"], error["field"]) == ("invalid_field", "data.image")
    note(edge, id=job_id, data={"image": uri})
    assert telecine.wait_for_job(job_id).state is State.COMPLETED
    assert stored(telecine, job_id) == ["image", "manifest.json", "note.txt"]
    telecine.run("delete", job_id)
    assert stored(telecine, job_id) == []


def test_jobs_are_waited_for_followed_and_read(edge: EdgeProcess) -> None:
    made = note(edge, data={"seconds": 1, "text": "a few words"})
    with requests.get(made["links"]["events"], stream=True, timeout=30) as followed:
        assert followed.headers["content-type"].startswith("text/event-stream")
        lines = [line.decode() for line in followed.iter_lines() if line]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert names[-1] == "end"
    assert names[:-1] == ["job"] * (len(names) - 1)
    assert json.loads(lines[-1].removeprefix("data: "))["status"] == "completed"
    job = edge.call("GET", f"/v1/jobs/{made['id']}?wait=30").json()
    (output, *_) = job["outputs"]
    whole = requests.get(output["url"], timeout=30)
    assert hashlib.sha256(whole.content).hexdigest() == output["sha256"]
    for given, status, part in (
        ("bytes=1-3", 206, whole.content[1:4]),
        ("bytes=-2", 206, whole.content[-2:]),
        (f"bytes={len(whole.content)}-", 416, None),
        ("lines=1-3", 200, whole.content),
    ):
        got = requests.get(output["url"], headers={"range": given}, timeout=30)
        assert got.status_code == status
        assert part is None or got.content == part
    etag = whole.headers["etag"]
    assert requests.get(output["url"], headers={"if-none-match": etag}, timeout=30).status_code == 304
    assert edge.call("HEAD", f"/v1/jobs/{made['id']}/outputs/{output['name']}").content == b""
    assert edge.call("GET", f"/v1/jobs/{made['id']}/outputs/..%2fmanifest.json").status_code == 404
    assert made["id"] in [item["job_id"] for item in edge.call("GET", "/v1/jobs?type=note").json()["jobs"]]


def test_an_idempotency_key_makes_one_job(edge: EdgeProcess, telecine: TelecineProcess, media: Path) -> None:
    ids = set()
    for _ in range(2):
        header = {"idempotency-key": "order/{7}"}
        answer = edge.call(
            "POST", "/jobs/create-video", files=files_of(media), data={"lyrics": "one two"}, headers=header
        )
        ids.add(answer.json()["job_id"])
    (job_id,) = ids
    other = edge.call("POST", "/jobs/create-video", files=files_of(media), data={"lyrics": "three"}, headers=header)
    assert (other.status_code, other.json()["detail"].partition(";")[0]) == (
        409,
        f"the id {job_id!r} belongs to another request",
    )
    assert telecine.wait_for_job(job_id).duplicates == 1
    assert edge.call("POST", "/v1/jobs", json={"type": "note", "data": {}}, headers={"idempotency-key": "a-1"}).json()[
        "id"
    ] == ("a-1")


def test_a_job_is_cancelled_retried_and_deleted(edge: EdgeProcess) -> None:
    job_id = note(edge, not_before=300)["id"]
    assert edge.call("POST", f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    assert edge.call("POST", f"/v1/jobs/{job_id}/retry").json()["retry"] == 1
    assert edge.call("POST", f"/v1/jobs/{job_id}/retry").json()["error"]["code"] == "job_not_ended"
    assert edge.call("DELETE", f"/v1/jobs/{job_id}").json()["deleted"] is True
    missing = edge.call("GET", f"/v1/jobs/{job_id}")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "job_not_found")


def test_an_invalid_request_names_its_fields(edge: EdgeProcess) -> None:
    for body, code in (
        (b'{"type": "reel", "data": {"font_size": 1}}', "missing_field"),
        (b"[1]", "invalid_json"),
        (b"", "invalid_json"),
        (b'{"type": "job.cancel", "data": {"id": "x"}}', "invalid_request"),
        (b'{"type": "nothing", "data": {}}', "unknown_type"),
    ):
        error = edge.call("POST", "/v1/jobs", data=body).json()["error"]
        assert error["code"] == code, error
        assert code != "missing_field" or [field["path"] for field in error["fields"]][-1] == "data.font_size"


def test_bodies_that_end_early_lie_about_their_length_or_never_end(
    edge: EdgeProcess, telecine: TelecineProcess, media: Path
) -> None:
    before = stored(telecine, "~uploads")
    head = "POST /jobs/create-video HTTP/1.1\nHost: localhost\nContent-Type: multipart/form-data; boundary=b\n"
    image = (media / "image.jpg").read_bytes()
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="i"\r\n\r\n'
    cut = edge.raw(f"{head}Content-Length: {len(part)}", part, more=True)
    assert cut.startswith(b"HTTP/1.1 400"), cut
    assert b"the form ends before its last boundary" in cut
    edge.raw(f"{head}Content-Length: 500000", part + image)  # the client goes away
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\x7f;;"):
        unnamed = (
            f"POST /jobs/create-video HTTP/1.1\nHost: localhost\nContent-Type: {kind}\nContent-Length: {len(part)}"
        )
        assert edge.raw(unnamed, part, more=True).startswith(b"HTTP/1.1 400"), kind
    for path in (
        "/jobs/%00",
        "/jobs/a%2Fb",
        "/jobs/%7Bx%7D/download",
        "/outputs/..%2F..%2Fledger.sqlite3",
        "/v1/jobs/%FF",
    ):
        assert edge.call("GET", path).status_code == 404, path
    claimed = edge.raw(f"{head}Content-Length: 900000000", b"", more=True)
    assert claimed.startswith(b"HTTP/1.1 413"), claimed
    silent = edge.raw(f"{head}Content-Length: 500000", part, more=True)
    assert silent.startswith(b"HTTP/1.1 408"), silent
    with edge.connection() as slow:
        slow.sendall(f"{head}Content-Length: 500000\n\n".replace("\n", "\r\n").encode() + part)
        slow.settimeout(0.3)
        answer, deadline = b"", time.monotonic() + 30
        while not answer and time.monotonic() < deadline:  # a byte now and then
            with suppress(TimeoutError):
                answer = slow.recv(4096)
            with suppress(OSError):
                slow.send(b"x")
    assert answer.startswith(b"HTTP/1.1 408"), answer
    endless = part + bytes(101 << 20)
    chunked = f"{len(endless):x}\r\n".encode() + endless
    assert b"File too large" in edge.raw(f"{head}Transfer-Encoding: chunked", chunked, more=True)
    for call in ("PUT /v1/uploads/cut-1/image", "POST /v1/jobs", "POST /api/v1/i2v", "POST /generate"):
        named = f"{call} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nX-Request-Id: cut-1"
        edge.raw(f"{named}\nContent-Length: 5000", b'{"id": "cut-1", ')
        large = b"2dc6c0\r\n" + b" " * 3_000_000
        refused = edge.raw(f"{named}\nTransfer-Encoding: chunked", large, more=True)
        assert refused.startswith((b"HTTP/1.1 413", b"HTTP/1.1 422")), (call, refused[:200])
        both = edge.raw(f"{named}\nTransfer-Encoding: chunked\nContent-Length: 4", b"0\r\n\r\n", more=True)
        assert both.startswith(b"HTTP/1.1 4"), (call, both[:200])
    assert stored(telecine, "cut-1") == []
    assert b"415" in edge.raw("POST /generate HTTP/1.1\nHost: localhost\nContent-Length: 0", more=True)[:20]
    assert stored(telecine, "~uploads") == before
    assert edge.call("GET", "/health").json()["status"] == "healthy"


def test_a_client_that_hangs_up_leaves_its_place_and_its_job(telecine: TelecineProcess) -> None:
    body = json.dumps({"id": "left-1", "type": "note", "data": {"seconds": 1}})
    with EdgeProcess(telecine, edge_max_open_calls=2) as edge, ExitStack() as opened:
        parked = note(edge, not_before=300)["id"]

        def crowded() -> bool:
            # One that comes while this asks is refused; another one takes its place.
            waiting = opened.enter_context(edge.connection())
            waiting.sendall(f"GET /v1/jobs/{parked}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return edge.call("GET", f"/v1/jobs/{parked}?wait=0.2").status_code == 503

        wait_until(crowded)
        opened.close()
        wait_until(lambda: edge.call("GET", f"/v1/jobs/{parked}?wait=0.2").status_code == 200, timeout=10)
        with edge.connection() as leaving:
            head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            leaving.sendall((head + body).encode())
        assert telecine.wait_for_job("left-1").state is State.COMPLETED


def test_pages_of_other_sites_and_other_names_are_refused(edge: EdgeProcess) -> None:
    local = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    for path in ("/v1/models", "/v1/text-to-video/generations", "/create-video"):
        allowed = edge.call("OPTIONS", path, headers=local)
        assert allowed.headers["access-control-allow-origin"] == local["origin"]
    assert edge.call("GET", "/v1/models", headers={"origin": "http://evil.example"}).status_code == 403
    assert edge.call("GET", "/v1/models", headers={"host": "evil.example"}).status_code == 403
    for path in ("/docs", "/redoc", "/openapi.json", "/static/async_test.html"):
        assert edge.call("GET", path).status_code == 200
    assert "<form" in edge.call("GET", "/", headers={"accept": "text/html"}).text
    assert edge.call("GET", "/").json()["status"] == "running"


def test_tokens_separate_tenants(telecine: TelecineProcess) -> None:
    tokens = {"acme": ["acme-0123456789abcdef"], "other": ["other-0123456789abcdef"]}
    with EdgeProcess(telecine, edge_tokens=json.dumps(tokens), edge_max_open_calls=1) as edge:
        assert edge.call("GET", "/v1/jobs").status_code == 401
        mine = {"authorization": "Bearer acme-0123456789abcdef"}
        made = edge.call("POST", "/v1/jobs", json={"type": "note", "data": {}}, headers=mine).json()
        job = edge.call("GET", f"/v1/jobs/{made['id']}?wait=30", headers=mine).json()
        assert job["tenant"] == "acme"
        parked = edge.call(
            "POST", "/v1/jobs", json={"type": "note", "data": {}, "not_before": 300}, headers=mine
        ).json()
        with requests.get(parked["links"]["events"], headers=mine, stream=True, timeout=30) as followed:
            lines = followed.iter_lines()
            next(lines)
            full = edge.call("GET", f"/v1/jobs/{parked['id']}?wait=5", headers=mine)
            assert (full.status_code, full.headers["retry-after"]) == (503, "10")
        wait_until(lambda: edge.call("GET", f"/v1/jobs/{parked['id']}?wait=0.1", headers=mine).status_code == 200)
        assert telecine_client.Edge(edge.url, token="acme-0123456789abcdef").job(made["id"])["status"] == "completed"
        for token, code in ((None, "unauthorized"), ("other-0123456789abcdef", "job_not_found")):
            with pytest.raises(telecine_client.RequestError) as refusal:
                telecine_client.Edge(edge.url, token=token).job(made["id"])
            assert refusal.value.code == code
        theirs = {"auth": ("any", "other-0123456789abcdef")}
        assert edge.call("GET", f"/v1/jobs/{made['id']}", **theirs).status_code == 404
        assert edge.call("GET", "/v1/jobs", **theirs).json() == {"jobs": []}
        assert edge.call("DELETE", f"/v1/jobs/{made['id']}", **theirs).status_code == 404
        assert edge.call("POST", f"/v1/jobs/{made['id']}/retry", **theirs).status_code == 404
        done = edge.call("POST", f"/v1/jobs/{made['id']}/retry", headers=mine)
        assert (done.status_code, done.json()["error"]["code"]) == (409, "already_completed")
        stolen = {"type": "note", "data": {}, "tenant": "acme"}
        assert edge.call("POST", "/v1/jobs", json=stolen, **theirs).status_code == 403
        assert edge.call("PUT", "/v1/uploads/order-1/image", data=b"mine").status_code == 401
        put = edge.call("PUT", "/v1/uploads/order-1/image", data=b"mine", headers=mine).json()
        taken = {"id": "order-1", "type": "note", "data": {"image": put["uri"]}}
        refused = edge.call("POST", "/v1/jobs", json=taken, **theirs)
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, "data.image")
        url = job["outputs"][0]["url"]
        assert requests.get(url, timeout=30).status_code == 200
        assert requests.get(url.replace("signature=", "signature=0"), timeout=30).status_code == 401


def test_systems_are_told_apart_by_port_and_prefix(telecine: TelecineProcess, media: Path) -> None:
    with EdgeProcess(telecine, "--port", "0", edge_calls_per_minute=12) as edge:
        first, second = (json.loads(row)["url"] for row in edge.log.read_text().splitlines() if "edge_started" in row)
        for base in (f"{first}/reel", second):
            made = run(REEL_JOBS["curl"][0], base, media).json()
            telecine.wait_for_job(made["job_id"])
            check_reel(requests.get(f"{base}/jobs/{made['job_id']}/download", timeout=30).content)
        url = requests.get(f"{first}/gateway/v1/jobs/{made['job_id']}", timeout=30).json()["outputs"][0]["url"]
        assert url.startswith(f"{first}/gateway/v1/jobs/")
        assert requests.get(url, timeout=30).status_code == 200
        # Paths that two systems have: `curl` gets the page of one and the JSON of the others.
        for path, kind in (("local/", "text/html"), ("sd/", "application/json"), ("i2v/", "application/json")):
            assert requests.get(f"{first}/{path}", timeout=30).headers["content-type"].partition(";")[0] == kind
        json_for_local = requests.post(f"{first}/local/generate", json={"prompt": "a cat"}, timeout=30)
        assert (json_for_local.status_code, json_for_local.json()["success"]) == (415, False)
        form_for_images = requests.post(f"{first}/sd/generate", data={"prompt": "a cat"}, timeout=30)
        assert (form_for_images.status_code, type(form_for_images.json()["detail"])) == (422, list)
        assert requests.get(f"{first}/sd/v1/jobs/nothing", timeout=30).json()["error"]["code"] == "job_not_found"
        assert requests.get(f"{first}/nothing/v1/jobs", timeout=30).status_code == 404
        answers = (edge.call("POST", "/jobs/create-video", json={}) for _ in range(30))
        limited = next(answer for answer in answers if answer.status_code != 415)
        assert limited.status_code == 429
        assert limited.json()["detail"].startswith("Rate limit exceeded")
        assert 1 <= int(limited.headers["retry-after"]) <= 5
        assert edge.call("GET", f"/jobs/{made['job_id']}").status_code == 200  # polls are not counted


def test_it_runs_as_a_part_of_up(tmp_path: Path) -> None:
    with TelecineProcess(tmp_path / "home", notes=True, edge_port=0, edge_more_ports="0,0") as telecine:
        telecine.start(arguments=("up", "--only", "doors,sweep,calls,outbox,worker,edge"))
        wait_until(lambda: telecine.log.exists() and telecine.log.read_text().count('"edge_started"') == 3)
        url = started_at(telecine.log)
        made = requests.post(f"{url}/v1/jobs", json={"type": "note", "data": {}}, timeout=30).json()
        job = requests.get(f"{url}/v1/jobs/{made['id']}?wait=30", timeout=60).json()
        assert job["status"] == "completed"
        assert telecine.stop() == 0


def test_without_tokens_only_loopback_is_listened_on(telecine: TelecineProcess) -> None:
    refused = telecine.run("edge", "--host", "0.0.0.0", "--port", "0", check=False)
    assert refused.returncode == 1
    assert b"set TELECINE_EDGE_TOKENS" in refused.stderr


def test_kills_of_the_edge_lose_and_double_nothing(once: EdgeProcess, telecine: TelecineProcess, media: Path) -> None:
    header = {"idempotency-key": "killed-1"}
    options = {"data": {"lyrics": "one two", "alignment_mode": "even"}, "headers": header}
    # In a wait: the job goes on, and the same call again waits for the same job.
    waiting = threading.Thread(target=_ignoring_errors, args=(once, media, options))
    waiting.start()
    database = telecine.database()
    wait_until(lambda: find_job(database, "killed-1"))
    once.kill()
    waiting.join()
    # In an upload: nothing is left in the storage.
    once.start()
    assert once.call("PUT", "/v1/uploads/orphan-1/image", data=b"left behind").status_code == 201
    with once.connection() as made:
        form = "POST /create-video HTTP/1.1\nHost: localhost\nContent-Type: multipart/form-data; boundary=b\n"
        made.sendall(form.replace("\n", "\r\n").encode() + b"Content-Length: 9000\r\n\r\n--b\r\n")
        time.sleep(0.2)
        once.kill()
    once.start()
    check_reel(once.call("POST", "/create-video", files=files_of(media), **options).content)
    assert telecine.wait_for_job("killed-1").epoch == 1
    assert len(stored(telecine, "killed-1")) == 9
    # Killed between the upload and the request: the sweep finds it, and keeps what jobs use.
    sweep = (telecine.settings, database, storage_of(telecine.settings))
    assert delete_orphaned_uploads(*sweep, age_seconds=3600) == 0
    assert stored(telecine, "orphan-1") == ["image"]
    assert delete_orphaned_uploads(*sweep, age_seconds=-5) >= 1
    assert stored(telecine, "orphan-1") == []
    assert len(stored(telecine, "killed-1")) == 9
    database.close()


def _ignoring_errors(edge: EdgeProcess, media: Path, options: dict[str, Any]) -> None:
    try:
        edge.call("POST", "/create-video", files=files_of(media), **options)
    except requests.RequestException:
        return


def test_a_reel_is_downloaded_once_where_the_settings_say_so(
    once: EdgeProcess, telecine: TelecineProcess, media: Path
) -> None:
    data = {"lyrics": "a b", "alignment_mode": "even"}
    job_id = once.call("POST", "/jobs/create-video", files=files_of(media), data=data).json()["job_id"]
    telecine.wait_for_job(job_id)
    part = once.call("GET", f"/jobs/{job_id}/download", headers={"range": "bytes=0-9"})
    assert (part.status_code, len(stored(telecine, job_id))) == (206, 9)
    check_reel(once.call("GET", f"/jobs/{job_id}/download").content)
    wait_until(lambda: stored(telecine, job_id) == [])
    assert once.call("GET", f"/jobs/{job_id}/download").status_code == 410
