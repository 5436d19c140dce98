"""Times in and out: a file given as ``timing`` comes out with its times, and a corrected word changes alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ops.availability import obstacles
from pipelines.memory_context import MemoryContext
from pipelines.registry import PIPELINES
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import InputTooLarge, InvalidTiming, LyricsTooLong
from schemas.parse import parse_request
from schemas.settings import Settings
from tests.media_probe import ffmpeg, frames_of, write_photo, write_wav

IMAGE, AUDIO, TIMING = "s3://inbox/a.jpg", "s3://inbox/a.wav", "s3://inbox/words.json"
SECONDS = 12.0
LYRICS = "First light of day\nNever again, R{amp}B \\N\nfallen 你好 leaves"
TEXT = LYRICS.replace("\n", " ").split()


def job(folder: Path, kind: str, timing: str | bytes | None, **data: Any) -> MemoryContext:
    """Run a job whose aligner answers with one word a second; return its context."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {IMAGE: write_photo(folder / "p.jpg"), AUDIO: write_wav(folder / "a.wav", SECONDS)}
    if timing is not None:
        content = timing if isinstance(timing, bytes) else timing.encode()
        files[TIMING] = folder / "timing.input"
        files[TIMING].write_bytes(content)
        data["timing"] = TIMING
    heard = [{"text": word, "start": 0.51 + n, "end": 1.23 + n} for n, word in enumerate(TEXT)]
    answers = {"forced-alignment": lambda call: {"words": heard}}
    context = MemoryContext(folder, kind, files, catalogue_of(Settings()), answers)
    small = {"image": IMAGE, "width": 270, "height": 480, "font_size": 80} if kind == "reel" else {}
    request = parse_request(json.dumps({"id": "a", "type": kind, "data": {"audio": AUDIO, **small, **data}}).encode())
    assert isinstance(request, Request)
    made = PIPELINES[kind].run(request.data, context)
    texts = ["captions.srt", "captions.vtt", "captions.lrc", "captions.ass", "words.json"]
    pictures = ["video.mp4", "cover.jpg"] if kind == "reel" else []
    assert sorted(artifact.name for artifact in made) == sorted([*pictures, *texts])
    return context


FILES = {
    "captions.lrc": "[00:01.00]Hello big world\n[00:03.50]\n[00:05.25]Good night\n[00:08.00]\n",
    "captions.lrc-with-word-times": (
        "[00:01.00]<00:01.00>Hello <00:01.50>big <00:02.07>world<00:03.50>\n[00:03.50]\n"
        "[00:05.25]<00:05.25>Good <00:06.50>night<00:08.00>\n[00:08.00]\n"
    ),
    "captions.srt": (
        "1\n00:00:01,000 --> 00:00:03,507\nHello big world\n\n2\n00:00:05,251 --> 00:00:08,000\nGood night\n"
    ),
    "captions.vtt": (
        "WEBVTT\n\n00:00:01.000 --> 00:00:03.507\nHello big world\n\n00:00:05.251 --> 00:00:08.000\nGood night\n"
    ),
    "captions.ass": (
        "[Script Info]\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Dialogue: 0,0:00:01.00,0:00:03.50,Default,,0,0,0,,{\\k50}Hello {\\k57}big {\\k143}world\n"
        "Dialogue: 0,0:00:05.25,0:00:08.00,Default,,0,0,0,,Good night\n"
    ),
}


@pytest.mark.parametrize("case", FILES, ids=[f"reel-timing-round-{case}" for case in FILES])
def test_a_file_comes_out_with_the_times_that_it_had(tmp_path: Path, case: str) -> None:
    name = case.partition("-")[0]
    context = job(tmp_path, "audio-to-captions", FILES[case], words_per_group=50, min_duration=0)
    assert context.calls == []
    assert context.manifest_details == {"alignment": {"mode": "auto", "used": "given"}}
    came = (tmp_path / name).read_text()
    if name == "captions.ass":
        lines = [line for line in came.splitlines() if line.startswith("Dialogue")]
        assert lines == [line for line in FILES[case].splitlines() if line.startswith("Dialogue")]
    else:
        assert came == FILES[case]
    assert json.loads((tmp_path / "words.json").read_text())["source"] == "given"


@pytest.mark.parametrize("name", ["words.json", "captions.lrc", "captions.ass"])
def test_what_comes_out_can_go_in_again(tmp_path: Path, name: str) -> None:
    job(tmp_path / "first", "audio-to-captions", None, lyrics=LYRICS)
    first = (tmp_path / "first" / name).read_text()
    again = job(tmp_path / "again", "audio-to-captions", first)
    assert (again.calls, (tmp_path / "again" / name).read_text()) == (
        [],
        first.replace('"forced_alignment"', '"given"'),
    )
    texts = [json.loads((tmp_path / folder / "words.json").read_text())["words"] for folder in ("first", "again")]
    assert [word["text"] for word in texts[0]] == [word["text"] for word in texts[1]]
    ffmpeg("-i", str(tmp_path / "first" / "captions.ass"), str(tmp_path / "read.srt"))
    assert "First light of day" in (tmp_path / "read.srt").read_text()


def test_a_corrected_word_changes_only_its_moment_reel_timing_correct(tmp_path: Path) -> None:
    data = {"lyrics": LYRICS, "words_per_group": 3}
    first = job(tmp_path / "first", "reel", None, **data)
    assert [call.step for call in first.calls] == ["align"]
    words = json.loads((tmp_path / "first" / "words.json").read_text())
    index = next(index for index, word in enumerate(words["words"]) if word["text"] == "Never")
    words["words"][index]["text"] = "Ever"
    again = job(tmp_path / "again", "reel", json.dumps(words), **data)
    assert (again.calls, again.manifest_details["alignment"]["used"]) == ([], "given")
    texts = [(tmp_path / folder / "captions.srt").read_text() for folder in ("first", "again")]
    assert texts[0].replace("Never", "Ever") == texts[1]
    frames = [[pixels for *_, pixels in frames_of(tmp_path / folder / "video.mp4")] for folder in ("first", "again")]
    pairs = zip(*frames, strict=True)
    # The encoder looks ahead, so that a few pixels of the caption before are encoded a little differently.
    changed = [n for n, (one, two) in enumerate(pairs) if np.abs(one.astype(int) - two.astype(int)).max() > 80]
    block = next(block for block in texts[1].split("\n\n") if "Ever" in block)
    seconds = [int(time[6:8]) + int(time[9:12]) / 1000 for time in block.splitlines()[1].split(" --> ")]
    assert changed == list(range(round(seconds[0] * 30), round(seconds[1] * 30)))


def test_times_after_the_audio_are_reported_reel_timing_late(tmp_path: Path) -> None:
    late = FILES["captions.lrc"] + "[00:20.00]Gone\n"
    context = job(tmp_path, "audio-to-captions", late)
    assert context.manifest_details["alignment"]["warnings"] == [
        "lines of the timing file after the end of the audio, which are not shown: 1"
    ]
    assert "Gone" not in (tmp_path / "captions.lrc").read_text()


@pytest.mark.parametrize("kind", ["reel", "audio-to-captions"])
@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("[00:20.00]Gone", InvalidTiming, "no time before the end of the audio"),
        ("", InvalidTiming, "is empty"),
        ("[00:01.00]" + "a" * 2_001, LyricsTooLong, "more than 2,000 characters"),
        ("[00:01.00]" + "a " * 900 + "\n[00:02.00]b" * 1, None, ""),
        ("\n" * (4 * 1024 * 1024 + 1), InputTooLarge, "File too large"),
    ],
    ids=[f"reel-timing-refused-{name}" for name in ("late", "empty", "long", "control-many", "large")],
)
def test_a_file_that_cannot_be_used_fails_the_job(
    tmp_path: Path, kind: str, content: str, error: type[Exception] | None, message: str
) -> None:
    if error is None:
        job(tmp_path, kind, content, words_per_group=50)
        return
    with pytest.raises(error, match=message) as caught:
        job(tmp_path, kind, content)
    assert getattr(caught.value, "field", "") == "data.timing"


def test_times_in_lyrics_keep_their_meaning_reel_timing_pasted(tmp_path: Path) -> None:
    job(tmp_path, "audio-to-captions", None, lyrics=FILES["captions.lrc"], alignment_mode="even")
    words = json.loads((tmp_path / "words.json").read_text())
    assert (words["source"], words["words"][0]["start"]) == ("even", 0.0)
    assert "<" not in (tmp_path / "captions.lrc").read_text()
    assert "\\k" not in (tmp_path / "captions.ass").read_text()


def test_a_plan_counts_the_captions_and_costs_nothing_reel_timing_plan(tmp_path: Path) -> None:
    context = job(tmp_path, "reel", FILES["captions.lrc"])
    data = {"image": IMAGE, "audio": AUDIO, "timing": TIMING, "alignment_mode": "elevenlabs"}
    request = parse_request(json.dumps({"id": "b", "type": "reel", "data": data}).encode())
    assert isinstance(request, Request)
    assert obstacles(Settings(), request) == []
    plan = PIPELINES["reel"].plan(request.data, context)
    assert (plan.cost["amount"], plan.details["captions"]) == ("0.00", 2)


def test_a_request_without_timing_is_stored_as_before_reel_timing_absent() -> None:
    data = {"image": IMAGE, "audio": AUDIO, "lyrics": "a"}
    request = parse_request(json.dumps({"id": "b", "type": "reel", "data": data}).encode())
    assert isinstance(request, Request)
    assert "timing" not in request.to_job_request()["data"]
