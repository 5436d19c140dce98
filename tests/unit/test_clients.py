"""The Python client without a server: what it sends, what it refuses, and callbacks. The types of both clients."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import telecine_client
from consumer.callbacks.signing import generate_secret, sign
from schemas.parse import parse_request
from telecine_client import CallbackError, Inbox, ReelRequest, RequestError, SendError, verify
from telecine_client.message import message_of
from tests.acceptance.line import NODE
from tests.contract.golden_corpus import Golden, corpus

REEL: ReelRequest = {
    "id": "order-1",
    "type": "reel",
    "data": {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "La ✓", "alignment_mode": "even"},
    "callback": {"url": "https://shop.example/hooks"},
    "not_before": 3600,
}
STARTED = next(golden for golden in corpus("callbacks") if golden.name.endswith("/started.json")).raw


def test_what_is_sent_is_the_request(tmp_path: Path) -> None:
    with Inbox(tmp_path) as door:
        assert door.submit(REEL) == "order-1"
        door.cancel("order-1")
    bodies = [path.read_bytes() for path in tmp_path.iterdir()]
    assert sorted((json.loads(body) for body in bodies), key=len) == [
        {"type": "job.cancel", "data": {"id": "order-1"}},
        REEL,
    ]
    assert all(parse_request(body) for body in bodies)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


@pytest.mark.parametrize(
    ("change", "code", "field", "says"),
    [
        ({"colour": "red"}, "unknown_field", None, "'colour' was unexpected"),
        ({"data": {**REEL["data"], "fontsize": 45}}, "unknown_field", "data", "'fontsize' was unexpected"),
        ({"data": {"image": "s3://inbox/c.jpg"}}, "missing_field", "data", "'audio' is a required property"),
        ({"data": {**REEL["data"], "font_size": "45"}}, "invalid_field", "data.font_size", "is not of type 'integer'"),
        ({"data": {**REEL["data"], "font_size": 4500}}, "invalid_field", "data.font_size", "the maximum of 400"),
        ({"data": {**REEL["data"], "image": "cover.jpg"}}, "invalid_field", "data.image", "is not s3://bucket/key,"),
        ({"data": {**REEL["data"], "style": "loud"}}, "invalid_field", "data.style", "is not one of ['classic',"),
        ({"data": {**REEL["data"], "lyrics": "x" * 262_144}}, "message_too_large", None, "at most 262,144"),
        ({"output": "results/"}, "invalid_field", "output", "is not s3://bucket/prefix/"),
        ({"callback": {"events": ["failed"]}}, "missing_field", "callback", "'url' is a required property"),
        ({"metadata": {"x": float("nan")}}, "invalid_json", None, "is not JSON"),
        ({"metadata": {"x": Path("/")}}, "invalid_json", None, "is not JSON"),
        ({"id": "a b"}, "invalid_field", "id", "is not text that matches"),
        ({"id": "a\n"}, "invalid_field", "id", "is not text that matches"),
        ({"type": "rel"}, "unknown_type", "type", "is none of audio-to-captions, "),
        ({"type": "image-to-video", "data": {"model": "pika"}}, "missing_field", "data", "'image' is a required"),
    ],
)
def test_an_invalid_request_is_not_sent(
    change: dict[str, Any], code: str, field: str | None, says: str, tmp_path: Path
) -> None:
    request: Any = {**REEL, **change}
    with pytest.raises(RequestError) as caught:
        Inbox(tmp_path).submit(request)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert says in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_request_of_an_extension_is_sent_unchecked(tmp_path: Path) -> None:
    assert Inbox(tmp_path).submit_unchecked({"id": "n-1", "type": "note", "data": {}}) == "n-1"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(SendError, match=r"no folder .*absent; `telecine up` makes it"):
        Inbox(tmp_path / "absent").submit(REEL)


@pytest.mark.parametrize("golden", corpus("callbacks"), ids=str)
def test_a_callback_is_verified_while_the_secret_is_replaced(golden: Golden) -> None:
    old, new = generate_secret(), generate_secret()
    headers = sign("msg_1", int(time.time()), golden.raw, [SecretStr(new), SecretStr(old)])
    for secrets in (old, new, [generate_secret(), old], f"{new}\n"):
        assert verify({name.title(): value for name, value in headers.items()}, golden.raw, secrets) == golden.value


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"webhook-signature": "v1,AAAA"}, "no signature"),
        ({"webhook-signature": "v2,AAAA no,such v1,ä"}, "no signature"),
        ({"webhook-id": "msg_2"}, "no signature"),
        ({"webhook-timestamp": "9999999999"}, "no signature"),
        ({"webhook-timestamp": ""}, "a header is missing"),
    ],
)
def test_a_changed_header_is_refused(headers: dict[str, str], says: str) -> None:
    secret = generate_secret()
    signed = sign("msg_1", int(time.time()), STARTED, [SecretStr(secret)])
    assert verify(signed, STARTED, secret)["type"] == "job.started"
    with pytest.raises(CallbackError, match=says):
        verify({**signed, **headers}, STARTED, secret)
    with pytest.raises(CallbackError, match="no signature"):
        verify(signed, STARTED + b" ", secret)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_an_old_callback_is_refused(seconds: int) -> None:
    secret = generate_secret()
    signed = sign("msg_1", int(time.time()) + seconds, STARTED, [SecretStr(secret)])
    with pytest.raises(CallbackError, match="more than 300 s"):
        verify(signed, STARTED, secret)
    assert verify(signed, STARTED, secret, tolerance_seconds=600)["type"] == "job.started"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_no base64!", "short", ""])
def test_a_malformed_secret_is_an_error_that_does_not_repeat_it(secret: str) -> None:
    signed = sign("msg_1", int(time.time()), STARTED, [SecretStr(generate_secret())])
    with pytest.raises(ValueError, match="the secret") as caught:
        verify(signed, STARTED, secret)
    assert len(secret) < 7 or secret not in str(caught.value)


def test_type_checkers_refuse_a_wrong_request(tmp_path: Path) -> None:
    """`make lint` checks this file: an ignored error that is none would be one."""
    door: telecine_client.Door = Inbox(tmp_path)
    wrong: ReelRequest = {"id": "a", "type": "reel", "data": {"image": "s3://a/b"}}  # type: ignore[typeddict-item]
    telecine_client.Reel(image="s3://a/b", audio="s3://a/c", fontsize=45)  # type: ignore[typeddict-unknown-key]
    telecine_client.Reel(image="s3://a/b", audio="s3://a/c", font_size="45")  # type: ignore[typeddict-item]
    door.submit({"id": "a", "type": "reel", "data": {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3"}})
    with pytest.raises(RequestError):
        door.submit(wrong)
    with pytest.raises(RequestError):
        door.submit({"id": "a", "type": "reel", "data": {"prompt": "a kite"}})  # type: ignore[arg-type, misc]


@pytest.mark.node
def test_the_typescript_types_accept_what_the_contract_accepts(tmp_path: Path) -> None:
    lines = ['import type { Callback, Manifest, ReelRequest, Request } from "telecine-types";']
    kinds = {"requests": "Request", "callbacks": "Callback", "manifests": "Manifest"}
    for number, golden in enumerate(corpus(*kinds)):
        if golden.kind != "requests" or _is_valid(golden.value):
            lines.append(f"export const g{number}: {kinds[golden.kind]} = {json.dumps(golden.value)};")
    assert len(lines) > 100
    wrong = [
        {**REEL, "colour": "red"},
        {**REEL, "type": "rel"},
        {**REEL, "data": {"image": "s3://inbox/c.jpg"}},
        {**REEL, "data": {**REEL["data"], "fontsize": 45}},
        {**REEL, "data": {**REEL["data"], "font_size": "45"}},
        {**REEL, "data": {**REEL["data"], "style": "loud"}},
        {**REEL, "callback": {"url": "https://a.example", "events": ["done"]}},
        {**REEL, "data": {"prompt": "a kite"}},
    ]
    for number, message in enumerate(wrong):
        lines += ["// @ts-expect-error", f"export const w{number}: ReelRequest = {json.dumps(message)};"]
    (tmp_path / "golden.mts").write_text("\n".join(lines))
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    command = ["node_modules/.bin/tsc", "--strict", "--noEmit", "--module", "nodenext", "golden.mts"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[:3000]


def _is_valid(message: Any) -> bool:
    try:
        message_of(message)
    except RequestError:
        return False
    return True
