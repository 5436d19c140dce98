"""The edge's checks and its description, in this process.

Each call of the source systems is made with each parameter missing, out of range, too large or of another kind. No door
runs: a request that the edge sends is answered with 503, and fails the test.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from consumer.wiring import build_runtime
from ops.edge import core
from ops.edge.app import build_app
from schemas.settings import Settings
from tests.edge_clients import Example
from tests.edge_examples import GATEWAY, I2V, IMAGES, LOCAL_VIDEOS, REEL_JOBS, REELS, STORIES, STORY_INFO

REEL = REEL_JOBS["Python"][0]
_MORE = {
    "/jobs/create-video": (
        ("words_per_group", "3"),
        ("timing_offset", "0.5"),
        ("min_duration", "1.0"),
        ("debug_mode", "true"),
    ),
    "/generate": (("prefer_backend", "mochi"), ("image", "@image.jpg")),
}
_LEDGER = ("ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm")
EXAMPLES = [REEL, *REELS, *IMAGES, *STORIES, STORY_INFO, I2V, *GATEWAY, *LOCAL_VIDEOS]
LONG = "x" * 200_000
#: Values for parameters whose kind does not show in a valid value.
_WORDS: dict[str, tuple[Any, ...]] = {
    "font_color": ("no colour",),
    "alignment_mode": ("sideways",),
    "resolution": ("12p", "large"),
    "prefer_backend": ("another",),
    "aspect_ratio": ("wide", "0:0"),
    "lawful_use_consent": ("false", "perhaps"),
    "model": ("another model",),
    "image_id": ("ftp://example.com/a.jpg", "cover.jpg", "https://127.0.0.1/a.jpg"),
}
#: What no parameter of another kind becomes: these are texts to the source systems, of any content.
_ANY_TEXT = ("prompt", "lyrics", "hero_description", "language")
_REQUIRED = {
    "/jobs/create-video": {"image", "audio"},
    "/generate": {"prompt", "lawful_use_consent"},
    "/generate-video": {"scenes"},
    "/generate-video/info": {"scenes"},
    "/api/v1/i2v": {"image_id"},
    "/v1/text-to-video/generations": {"prompt", "model"},
    "/v1/image-to-video/generations": {"image", "prompt", "model"},
    "/v1/audio-to-video/generations": {"image", "audio"},
    "/v1/imagine-text-to-video/generations": {"prompt"},
}


def _bad_json(name: str, valid: Any) -> Iterator[Any]:
    yield from ([], {}, [[]])
    if isinstance(valid, bool):
        yield from ("perhaps", 7)
    elif isinstance(valid, int | float):
        large = () if name == "style_id" else (10**9,)  # the operator's settings name the styles
        yield from ("many", -1, *large, 10**400, "1e999")
    elif isinstance(valid, list):
        yield from ("text", 7, [1], [""], ["x"] * 100_000, [LONG, LONG])
    else:
        yield from (LONG, LONG * 10, *_WORDS.get(name, ()))


def _bad_form(name: str, valid: str) -> Iterator[Any]:
    if valid.startswith("@"):
        yield from (
            b"plain text",
            b"\0" * 100,
            b"%PDF-1.7",
            b"\0\0\0\x18ftypmp42" + bytes(64),
            "text instead of a file",
        )
    elif name in _WORDS:
        yield from (*_WORDS[name], LONG)
    elif name in _ANY_TEXT:
        yield LONG * 2
    elif valid in ("true", "false"):
        yield from ("perhaps", LONG)
    else:
        yield from ("many", "-1e9", "1e9", "nan", "inf", "1" * 5000, "0x10", LONG)


def _cases() -> Iterator[Any]:
    imagine, text = GATEWAY[-1], GATEWAY[0]
    for example in (IMAGES[0], STORIES[1], STORY_INFO, I2V, text, imagine):
        assert example.json is not None
        for name, valid in example.json.items():
            bad = [*([None] if name in _REQUIRED[example.path] else []), *_bad_json(name, valid)]
            yield pytest.param(example, name, bad, id=f"{example.name}-{name}")
    for example in (REEL, GATEWAY[1], GATEWAY[3], LOCAL_VIDEOS[0]):
        for name, valid in (*example.form, *_MORE.get(example.path, ())):
            bad = [*([None] if name in _REQUIRED[example.path] else []), *_bad_form(name, valid)]
            yield pytest.param(example, name, bad, id=f"{example.name}-{name}")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, game_api_key="game-key")
    runtime = build_runtime(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "ADMISSION_SECONDS", 0.0)
        with TestClient(build_app(runtime), base_url="http://localhost") as made:
            yield made
    runtime.close()
    assert {path.name for path in home.rglob("*") if path.is_file()} <= {"callback-secret", *_LEDGER}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.path} by {example.client}")
def test_the_description_has_each_documented_call_and_its_parameters(example: Example, client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"][example.path][example.method.lower()]
    body = described["requestBody"]["content"]
    kinds = ["application/json"] if example.json is not None else ["multipart/form-data"]
    if example in LOCAL_VIDEOS:
        kinds.append("application/x-www-form-urlencoded")
    for kind in kinds:
        names = set(body[kind]["schema"]["properties"])
        assert {*(example.json or {}), *(name for name, _ in example.form)} <= names
        assert set(body[kind]["schema"]["required"]) <= names
    assert {parameter["name"] for parameter in described.get("parameters", [])} == set(example.headers or {})
    for page in ("/docs", "/redoc", "/reel/docs"):
        assert client.get(page).status_code == 200
    assert "/reel/openapi.json" in client.get("/reel/docs").text


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 422),
        ("APPLICATION/JSON; charset=utf-8", 422),
        ("multipart/form-data; boundary=b", 400),
        ("Multipart/Form-Data", 400),
        ("application/x-www-form-urlencoded;charset=utf-8", 403),
        ("application/json, multipart/form-data", 415),
        ("application/vnd.api+json", 415),
        ("text/plain", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_a_path_of_two_systems_is_chosen_by_the_kind_of_the_body(
    kind: str | None, status: int, client: TestClient
) -> None:
    # Neither is a whole request: of the image service the prompt is missing, of the video service the consent.
    body = b"{}" if status == 422 else b"prompt=a+cat"
    answer = client.post("/generate", content=body, headers={} if kind is None else {"content-type": kind})
    assert answer.status_code == status
    assert list(answer.json()) == (["detail"] if status == 422 else ["success", "video_url", "error"])


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ("", "http://localhost:3000", True),
        ("", "http://[::1]:3000", True),
        ("", "https://127.0.0.1", True),
        ("", "http://localhost.evil.example", False),
        ("", "http://127.0.0.1.evil.example", False),
        ("", "https://evil.example", False),
        ("", "null", False),
        ("null", "null", True),
        ("https://shop.example", "https://shop.example", True),
        ("https://shop.example", "https://shop.example.evil.example", False),
        ("*", "https://evil.example", True),
    ],
)
def test_only_pages_of_known_origins_may_call(origins: str, origin: str, allowed: bool, tmp_path: Path) -> None:
    runtime = build_runtime(Settings(home=tmp_path, edge_origins=origins))
    with TestClient(build_app(runtime), base_url="http://localhost") as made:
        headers = {"origin": origin, "access-control-request-method": "POST"}
        asked = made.options("/v1/audio-to-video/generations", headers=headers)
        called = made.get("/v1/models", headers={"origin": origin})
    runtime.close()
    assert (asked.status_code, called.status_code) == ((200, 200) if allowed else (400, 403))
    for answer in (asked, called):
        assert answer.headers.get("access-control-allow-origin") in ((origin, "*") if allowed else (None,))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "JPEG")
    sound = b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\x64" + bytes(413)
    return {"image.jpg": picture.getvalue(), "portrait.jpg": picture.getvalue(), "audio.mp3": sound, "voice.mp3": sound}


def _send(client: TestClient, example: Example, files: dict[str, bytes], **changed: Any) -> Any:
    """Make the call; a parameter that is changed to ``None`` is missing."""
    headers = dict(example.headers or {})
    if example.json is not None:
        body = {name: value for name, value in {**example.json, **changed}.items() if value is not None}
        return client.post(example.path, json=body, headers=headers)
    sent = {**dict(example.form), **changed}
    parts: list[tuple[str, Any]] = []
    for key, content in sent.items():
        if isinstance(content, str) and content.startswith("@"):
            parts.append((key, (content[1:], files[content[1:]])))
        elif isinstance(content, bytes):
            parts.append((key, ("file", content)))
        elif content is not None:
            parts.append((key, (None, content)))
    return client.post(example.path, files=parts, headers=headers)


def test_an_idempotency_key_is_the_id_of_the_job_in_every_call(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "ADMISSION_SECONDS", 0.0)
    runtime = build_runtime(Settings(home=tmp_path))
    made = [example for example in EXAMPLES if example is not STORY_INFO]
    with TestClient(build_app(runtime), base_url="http://localhost") as client:
        for number, example in enumerate(made):
            headers = {**(example.headers or {}), "idempotency-key": f"key-{number}"}
            for _ in range(2):
                assert "was sent" in _send(client, replace(example, headers=headers), files).text
    sent: dict[str, list[Any]] = {}
    for path in runtime.settings.inbox_folder.rglob("*.json"):
        request = json.loads(path.read_bytes())
        sent.setdefault(request["id"], []).append(request)
    runtime.close()
    assert set(sent) == {f"key-{number}" for number in range(len(made))}
    for first, second in sent.values():
        assert first == second


@pytest.mark.parametrize(("example", "name", "bad"), list(_cases()))
def test_a_bad_parameter_is_refused_in_the_systems_words(
    example: Example, name: str, bad: list[Any], client: TestClient, files: dict[str, bytes]
) -> None:
    for value in bad:
        answer = _send(client, example, files, **{name: value})
        shown = (repr(value)[:60], answer.status_code, answer.text[:300])
        assert answer.status_code in (400, 403, 413, 422), shown
        body = answer.json()
        if example.path == "/generate" and example.form:
            assert set(body) == {"success", "video_url", "error"}, shown
            assert (body["success"], body["video_url"]) == (False, None)
            message = body["error"]
        else:
            assert list(body) == ["detail"], shown
            message = body["detail"]
        assert (answer.status_code == 422) == isinstance(message, list), shown
        assert len(answer.content) < 2000, shown
