"""ElevenLabs' adapter against its double: forms that are sent once, recognised words, and errors."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import json
import time
import wave
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from providers.base import Call, Failed, MediaInput, Ready, TaskRef
from providers.elevenlabs import adapter as elevenlabs_adapter
from providers.elevenlabs.models import FORCED_ALIGNMENT, SCRIBE
from providers.elevenlabs.words import words_in
from providers.http.policy import Policy
from providers.registry import catalogue_of, open_provider
from schemas.errors import InvalidField, ProviderError, ProviderNotConfigured, Verdict
from schemas.settings import Settings
from schemas.words import parse_aligned_words
from tests.doubles.calls import call_of, closing, contains_no_secret, media
from tests.doubles.elevenlabs import ElevenLabs, refused
from tests.doubles.misbehaviour import Fault

T = TypeVar("T")


@pytest.fixture
def double() -> Iterator[ElevenLabs]:
    with ElevenLabs() as started:
        yield started


@pytest.fixture
def song(tmp_path: Path) -> MediaInput:
    """Return four seconds of silence as a WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(2 * 8000 * 4))
    path = tmp_path / "song.wav"
    path.write_bytes(file.getvalue())
    sha256 = hashlib.sha256(file.getvalue()).hexdigest()
    return dataclasses.replace(media("song.wav", "audio/wav", path.stat().st_size), sha256=sha256, load=lambda: path)


def adapter(double: ElevenLabs, **changes: Any) -> elevenlabs_adapter.ElevenLabs:
    values: dict[str, Any] = {"elevenlabs_base_url": double.url, "elevenlabs_key": SecretStr(double.key)}
    settings = Settings(**(values | {"elevenlabs_timeout_seconds": 5.0} | changes))
    return elevenlabs_adapter.from_settings(settings, Policy(allowed_hosts=frozenset({double.host})))


def ask(double: ElevenLabs, work: Callable[[elevenlabs_adapter.ElevenLabs], Awaitable[T]], **changes: Any) -> T:
    return asyncio.run(closing(adapter(double, **changes), work))


def submit(double: ElevenLabs, call: Call, **changes: Any) -> Ready:
    return ask(double, lambda provider: provider.submit(call), **changes)


def trouble(double: ElevenLabs, call: Call, **changes: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        submit(double, call, **changes)
    assert contains_no_secret(caught.value, double.key)
    return caught.value


def scribe(song: MediaInput, **given: Any) -> Call:
    return call_of(SCRIBE, given, {"audio": song})


def align(song: MediaInput, text: str = "Hello there,\nbright kite") -> Call:
    return call_of(FORCED_ALIGNMENT, {"text": text}, {"audio": song})


# Requests and responses


def test_scribe_returns_words_with_their_times_and_the_language(double: ElevenLabs, song: MediaInput) -> None:
    answer = submit(double, scribe(song))
    assert [word["text"] for word in answer.value["words"]] == double.transcript.split()
    assert answer.value["words"][0] == {"text": "Hello", "start": 0.0, "end": 0.457}
    assert answer.value["language"] == "eng"
    assert answer.details["version"] == "scribe_v1"
    assert all(word.start is not None for word in parse_aligned_words(answer.value))
    assert (double.count("submit"), double.charges(song.sha256), double.charges()) == (1, 1, 1)


def test_a_local_file_is_sent_without_its_path(double: ElevenLabs, song: MediaInput) -> None:
    local = dataclasses.replace(song, url="file:///home/example/song.wav")
    assert submit(double, scribe(local)).value["words"]
    assert "somebody" not in repr(double.requests)


def test_the_form_has_the_whole_file_and_all_fields(double: ElevenLabs, song: MediaInput) -> None:
    submit(double, scribe(song, language_code="de", tag_audio_events=True))
    ((_, seen),) = double.requests
    parts = seen.parts()
    assert parts["file"] == song.load().read_bytes()
    assert seen.files()["file"] == ("audio.wav", "audio/wav")
    sent = {name: parts[name].decode() for name in ("model_id", "language_code", "tag_audio_events")}
    assert sent == {"model_id": "scribe_v1", "language_code": "de", "tag_audio_events": "true"}
    assert parts["timestamps_granularity"] == b"word"
    assert seen.headers["xi-api-key"] == double.key
    assert int(seen.headers["content-length"]) == len(seen.body)
    assert not [name for name in seen.headers if name.startswith("x-fern")]


def test_audio_events_are_omitted_unless_requested(double: ElevenLabs, song: MediaInput) -> None:
    plain, events = submit(double, scribe(song)), submit(double, scribe(song, tag_audio_events=True))
    assert "(laughter)" not in [word["text"] for word in plain.value["words"]]
    assert events.value["words"][-1]["text"] == "(laughter)"


def test_forced_alignment_gives_each_given_word_its_time(double: ElevenLabs, song: MediaInput) -> None:
    answer = submit(double, align(song))
    assert [word["text"] for word in answer.value["words"]] == ["Hello", "there,", "bright", "kite"]
    assert answer.value["words"][1] == {"text": "there,", "start": 1.0, "end": 1.8}
    assert answer.value["language"] is None
    assert answer.details == {"loss": 0.1}
    ((_, seen),) = double.requests
    assert seen.path == "/v1/forced-alignment"
    # A multipart form does not change line breaks.
    assert seen.parts()["text"].decode().splitlines() == ["Hello there,", "bright kite"]


def test_words_without_times_stay_without_times(double: ElevenLabs, song: MediaInput) -> None:
    double.untimed = 2
    words = submit(double, scribe(song)).value["words"]
    assert [word["text"] for word in words] == double.transcript.split()
    assert [word["start"] is None for word in words] == [False] * 5 + [True] * 2


def test_a_song_without_words_has_none(double: ElevenLabs, song: MediaInput) -> None:
    double.transcript = ""
    assert submit(double, scribe(song)).value == {"words": [], "language": "eng"}


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ({"text": "a", "start": 1, "end": 2}, {"text": "a", "start": 1.0, "end": 2.0}),
        ({"text": " a ", "start": 1.23456, "end": 2.0}, {"text": "a", "start": 1.235, "end": 2.0}),
        ({"text": "a", "start": None, "end": 2.0}, {"text": "a", "start": None, "end": None}),
        ({"text": "a", "start": 3.0, "end": 2.0}, {"text": "a", "start": None, "end": None}),
        ({"text": "a", "start": -1.0, "end": 2.0}, {"text": "a", "start": None, "end": None}),
        ({"text": "a", "start": float("nan"), "end": 2.0}, {"text": "a", "start": None, "end": None}),
        ({"text": "a", "start": "1", "end": True}, {"text": "a", "start": None, "end": None}),
        ({"text": " ", "start": 1.0, "end": 2.0}, None),
        ({"text": "\n", "start": 1.0, "end": 2.0, "type": "spacing"}, None),
        ({"start": 1.0, "end": 2.0}, None),
        ("a", None),
    ],
)
def test_each_invalid_word_is_corrected_or_dropped(word: Any, kept: dict[str, Any] | None) -> None:
    assert words_in({"words": [word]}) == ([] if kept is None else [kept])


def test_a_word_before_its_predecessor_loses_its_times() -> None:
    words = [
        {"text": "a", "start": 2, "end": 3},
        {"text": "b", "start": 1, "end": 2},
        {"text": "c", "start": 2, "end": 4},
    ]
    assert [word["start"] for word in words_in({"words": words}) or []] == [2.0, None, 2.0]


def test_a_large_file_is_sent_without_blocking_the_loop(double: ElevenLabs, song: MediaInput, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    large.write_bytes(song.load().read_bytes() + bytes(4 * 1024 * 1024))

    def load() -> Path:
        time.sleep(0.3)
        return large

    call = align(dataclasses.replace(song, load=load))

    async def work(provider: elevenlabs_adapter.ElevenLabs) -> float:
        longest, before = 0.0, time.monotonic()
        task = asyncio.create_task(provider.submit(call))
        while not task.done():
            await asyncio.sleep(0.005)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
        await task
        return longest

    # A busy machine may block the loop in one attempt; reading and sending in the loop would block it in all.
    assert any(ask(double, work) < 0.25 for _ in range(5))
    assert len(double.requests[0][1].parts()["file"]) == large.stat().st_size


def test_several_calls_at_once_each_get_their_own_words(double: ElevenLabs, song: MediaInput) -> None:
    async def work(provider: elevenlabs_adapter.ElevenLabs) -> list[Ready]:
        return await asyncio.gather(*(provider.submit(align(song, f"word{number}")) for number in range(8)))

    answers = ask(double, work)
    assert [answer.value["words"][0]["text"] for answer in answers] == [f"word{number}" for number in range(8)]
    assert double.charges() == 8


# Refused requests


def test_the_catalogue_has_both_for_captions_and_reels() -> None:
    catalogue = catalogue_of(Settings())
    for name in ("scribe", "forced-alignment"):
        assert {catalogue.find(name, kind).id for kind in ("audio-to-captions", "reel")} == {name}


def test_forced_alignment_needs_its_text(song: MediaInput) -> None:
    with pytest.raises(InvalidField, match=r"data\.text: forced-alignment needs it"):
        call_of(FORCED_ALIGNMENT, {}, {"audio": song})


@pytest.mark.parametrize("key", [None, SecretStr("")])
def test_a_missing_key_has_the_source_systems_message(key: SecretStr | None) -> None:
    with pytest.raises(ProviderNotConfigured, match=r"ElevenLabs API key is required\. Set ELEVENLABS_API_KEY"):
        open_provider("elevenlabs", Settings(elevenlabs_key=key), Policy())


def test_a_key_in_the_environment_does_not_override_the_settings(
    double: ElevenLabs, song: MediaInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = adapter(double)
    monkeypatch.setenv("ELEVENLABS_API_KEY", "xi_somebody_elses_key")
    call = align(song)
    asyncio.run(closing(provider, lambda opened: opened.submit(call)))
    assert [seen.headers["xi-api-key"] for _, seen in double.requests] == [double.key]


def test_a_file_that_is_not_audio_is_refused_before_any_request(double: ElevenLabs) -> None:
    error = trouble(double, call_of(SCRIBE, {}, {"audio": media("in.mp4", "video/mp4")}))
    assert (error.code, error.field, double.requests) == ("provider_refused", "data.audio", [])


def test_a_file_that_elevenlabs_cannot_read_is_refused_with_its_message(
    double: ElevenLabs, song: MediaInput, tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF no audio")
    broken = dataclasses.replace(song, load=lambda: tmp_path / "broken.wav")
    error = trouble(double, scribe(broken))
    assert error.code == "provider_refused"
    assert "too short or cannot be read" in error.message
    assert double.charges() == 0


_QUOTA = "This request exceeds your quota. You have 12 credits remaining"


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    ("status", "code", "expected", "message", "wait"),
    [
        (401, "quota_exceeded", "quota_exhausted", _QUOTA, None),
        (401, "invalid_api_key", "provider_unauthorized", "ELEVENLABS_API_KEY", None),
        (401, "missing_permissions", "provider_unauthorized", "ELEVENLABS_API_KEY", None),
        (402, "payment_required", "quota_exhausted", "HTTP 402", None),
        (429, "rate_limit_exceeded", "rate_limited", "rate_limit_exceeded", 10.0),
        (429, "concurrent_limit_exceeded", "rate_limited", "concurrent_limit_exceeded", 20.0),
        (429, "too_many_concurrent_requests", "rate_limited", "too_many_concurrent_requests", 20.0),
        (429, "system_busy", "provider_unavailable", "system_busy", 5.0),
        (400, "invalid_language_code", "provider_refused", "HTTP 400", None),
    ],
)
def test_each_refusal_has_its_error_in_both_formats_and_is_sent_once(
    double: ElevenLabs,
    song: MediaInput,
    status: int,
    code: str,
    expected: str,
    message: str,
    wait: float | None,
    older: bool,
) -> None:
    double.fault(refused(status, code, _QUOTA, older=older))
    error = trouble(double, scribe(song))
    assert (error.code, error.retry_after_seconds) == (expected, wait)
    assert message in error.message
    assert (double.count("submit"), double.charges()) == (1, 0)


def test_the_retry_after_of_elevenlabs_is_kept(double: ElevenLabs, song: MediaInput) -> None:
    double.fault(refused(429, "rate_limit_exceeded", "slow down", headers={"retry-after": "33"}))
    assert trouble(double, scribe(song)).retry_after_seconds == 33.0


def test_a_validation_error_in_a_list_has_its_message(double: ElevenLabs, song: MediaInput) -> None:
    detail = [{"loc": ["body", "model_id"], "msg": "Field required: model_id", "type": "missing"}]
    double.fault(Fault(status=422, body=json.dumps({"detail": detail})))
    error = trouble(double, scribe(song))
    assert error.code == "provider_refused"
    assert "Field required: model_id" in error.message


def test_a_message_with_the_key_in_it_is_scrubbed(double: ElevenLabs, song: MediaInput) -> None:
    double.fault(refused(400, "bad", f"key {double.key} and https://x.example/a?token={double.key} " + "y" * 9000))
    error = trouble(double, scribe(song))
    assert len(error.message) < 500


# Unknown outcomes


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(act="drop"),
        Fault(act="reset"),
        Fault(act="cut", accept=True),
        Fault(act="slow", seconds=9.0),
        Fault(status=500),
        Fault(status=503),
        Fault(status=408),
        Fault(status=200, body="<html>"),
        Fault(status=200, body="{}"),
        Fault(status=200, body='{"words": null}'),
        Fault(status=200, body="[]"),
        Fault(status=202, body='{"message": "x"}'),
    ],
    ids=lambda fault: f"{fault.act}-{fault.status}-{fault.body[:12]}",
)
def test_a_call_that_may_have_been_received_is_unknown_and_never_sent_twice(
    double: ElevenLabs, song: MediaInput, fault: Fault, accept: bool
) -> None:
    double.fault(dataclasses.replace(fault, accept=accept or fault.accept))
    error = trouble(double, align(song), **({"elevenlabs_timeout_seconds": 2.0} if fault.seconds else {}))
    assert (error.code, error.verdict) == ("outcome_unknown", Verdict.UNKNOWN)
    assert double.count("submit") == 1
    assert double.charges() <= 1


def test_it_has_no_poll_cancel_or_find(double: ElevenLabs, song: MediaInput) -> None:
    call, task = scribe(song), TaskRef("tr_1")

    async def work(provider: elevenlabs_adapter.ElevenLabs) -> tuple[Any, bool, TaskRef | None, bool]:
        return (
            await provider.poll(call, task),
            await provider.cancel(call, task),
            await provider.find(call),
            provider.can_find,
        )

    standing, *rest = ask(double, work)
    assert isinstance(standing, Failed)
    assert standing.error.code == "provider_task_lost"
    assert rest == [False, None, False]
    assert double.requests == []


def test_the_double_serves_other_processes_and_counts_charges_for_them(double: ElevenLabs, song: MediaInput) -> None:
    double.fault(Fault("submit", "drop", accept=True))
    trouble(double, align(song))
    assert list(double.state()["charges"].values()) == [1]
