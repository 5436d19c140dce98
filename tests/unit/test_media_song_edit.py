"""An excerpt of a song, its fades and its loudness, and the captions that belong to it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from pipelines.audio_to_captions import plan as plan_captions
from pipelines.media.captions.matching import Times
from pipelines.memory_context import MemoryContext
from pipelines.models.alignment import Timing
from pipelines.models.local_reel import render_reel
from pipelines.reel import plan as plan_reel
from schemas.audio_to_captions import AudioToCaptions
from schemas.errors import InvalidField
from schemas.media import LocalFile
from tests.media_probe import ffmpeg, input_file, reel_data, sound_of, write_photo, write_wav

LYRICS = "\n".join(f"word{second}" for second in range(10))


def song(folder: Path, source: str = "", name: str = "song.wav") -> Path:
    """Write ten seconds of sound: a click at each second, or what ``source`` describes for FFmpeg."""
    write_photo(folder / "a.jpg", 64, 64)
    path = folder / name
    if not source:
        return write_wav(path, 10, clicks=True)
    ffmpeg("-f", "lavfi", "-i", source, str(path))
    return path


def made(folder: Path, audio: Path, timing: Timing | None = None, lyrics: str = LYRICS, **options: Any) -> LocalFile:
    (folder / "job").mkdir(exist_ok=True)
    data = reel_data(lyrics, words_per_group=1, min_duration=0, width=128, height=128, **options)
    image = input_file(folder / "a.jpg", "image")
    return render_reel(data, image, input_file(audio, "audio"), folder / "job", timing=timing)[0]


def captions(folder: Path) -> list[tuple[str, str]]:
    return re.findall(r"(\d\d,\d+) --> .*\n(.*)", (folder / "job" / "captions.srt").read_text())


@pytest.mark.parametrize(
    ("start", "end", "seconds"), [(2, 6, 4), (2.5, None, 7.5), (0, 3.25, 3.25), (9.5, 99, 0.5), (0, None, 10)]
)
def test_an_excerpt_has_its_sound_and_its_captions(
    tmp_path: Path, start: float, end: float | None, seconds: float
) -> None:
    video = made(tmp_path, song(tmp_path), start=start, end=end)
    assert video.facts.duration_seconds == pytest.approx(seconds)
    assert video.facts.frames == pytest.approx(seconds * 30, abs=1)
    # The clicks are at whole seconds of the song.
    samples, rate = sound_of(video.path)
    assert len(samples) / rate == pytest.approx(seconds, abs=0.035)
    for second in range(int(start + 1), int(start + seconds)):
        at = round((second - start) * rate)
        peak = at - 400 + np.abs(samples[at - 400 : at + 400]).argmax()
        assert (peak - 30 - at) / rate == pytest.approx(0, abs=0.001), second
    shown = captions(tmp_path)
    assert [text for _, text in shown] == [f"word{n}" for n in range(int(start), -int(-(start + seconds) // 1))]
    assert [float(at.replace(",", ".")) for at, _ in shown] == pytest.approx(
        [max(0, n - start) for n in range(int(start), -int(-(start + seconds) // 1))], abs=0.02
    )


def test_aligned_words_move_with_the_excerpt(tmp_path: Path) -> None:
    times = tuple(Times(second + 0.2, second + 0.6) for second in range(10))
    audio = song(tmp_path)
    made(tmp_path, audio, Timing(LYRICS, "forced_alignment", times), start=3, end=5.5, timing_offset=0.1)
    assert captions(tmp_path) == [("00,300", "word3"), ("01,300", "word4"), ("02,300", "word5")]
    words = json.loads((tmp_path / "job" / "words.json").read_text())
    assert words["duration_seconds"] == 2.5
    assert [(word["text"], word["start"], word["end"]) for word in words["words"]] == [
        ("word3", 0.2, 0.6), ("word4", 1.2, 1.6), ("word5", 2.2, 2.5)
    ]  # fmt: skip
    # An excerpt without words says so.
    quiet = (Times(0.1, 0.2), *times[1:2] * 9)
    video = made(tmp_path, audio, Timing(LYRICS, "forced_alignment", quiet), start=8)
    assert captions(tmp_path) == []
    assert video.details["warnings"] == ["no caption is sung between start and end; none is shown"]


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac"])
def test_every_kind_is_cut_at_the_same_place(tmp_path: Path, kind: str) -> None:
    source = "aevalsrc=0.5*sin(2*PI*(300+200*floor(t))*t):s=44100:d=10"
    video = made(tmp_path, song(tmp_path, source, f"s.{kind}"), start=4, end=6)
    samples, rate = sound_of(video.path)
    for second in (0, 1):
        part = samples[round((second + 0.2) * rate) :][: rate // 2]
        loudest = np.abs(np.fft.rfft(part * np.hanning(len(part)))).argmax() * rate / len(part)
        assert loudest == pytest.approx(300 + 200 * (4 + second), abs=3)


def test_fades(tmp_path: Path) -> None:
    audio = song(tmp_path, "sine=300:sample_rate=44100:duration=10,volume=12dB")
    for start, first in ((0, 0.95), (3, 0.1)):
        samples, rate = sound_of(made(tmp_path, audio, start=start, end=8, fade=1).path)
        levels = [float(np.abs(samples[round(at * rate) :][:2205]).max()) for at in (0.05, 2, 8 - start - 0.08)]
        assert levels[0] == pytest.approx(first * levels[1], abs=0.1 * levels[1])
        assert levels[2] < 0.12 * levels[1]
    # Fades longer than the excerpt meet in its middle.
    samples, rate = sound_of(made(tmp_path, audio, start=3, end=4, fade=30).path)
    assert np.abs(samples[rate // 2 - 2000 :][:4000]).max() > 0.8 * levels[1]


def loudness(path: Path) -> tuple[float, float]:
    """Return integrated loudness and true peak, as FFmpeg measures them."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-i", str(path), "-af", "ebur128=peak=true"]
    text = subprocess.run([*command, "-f", "null", "-"], check=True, capture_output=True, text=True).stderr
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", text)[-1]), float(re.findall(r"Peak:\s+(-?[\d.]+)", text)[-1])


PINK = "anoisesrc=color=pink:sample_rate=44100:duration=10:seed=3:amplitude={}"
SOURCES = {
    "loud": PINK.format(1),
    "quiet": PINK.format(0.01),
    "mono-48k": "anoisesrc=color=brown:sample_rate=48000:duration=10:seed=4,aformat=channel_layouts=mono",
    "beats": PINK.format(0.5) + ",tremolo=f=2:d=0.95",
}


@pytest.mark.parametrize("target", [-14, -20])
@pytest.mark.parametrize("name", SOURCES)
def test_the_loudness_is_the_requested_one_without_high_peaks(tmp_path: Path, name: str, target: float) -> None:
    audio = song(tmp_path, SOURCES[name])
    video = made(tmp_path, audio, loudness=target, start=2)
    integrated, peak = loudness(video.path)
    assert integrated == pytest.approx(target, abs=0.7)
    assert peak <= -0.9
    assert video.facts.duration_seconds == pytest.approx(8)
    assert len(sound_of(video.path)[0]) / sound_of(video.path)[1] == pytest.approx(8, abs=0.035)


def test_silence_and_sound_that_is_too_short_to_measure_stay_as_they_are(tmp_path: Path) -> None:
    silent = song(tmp_path, "anullsrc=sample_rate=44100:duration=3")
    assert np.abs(sound_of(made(tmp_path, silent, loudness=-14).path)[0]).max() < 1e-4
    short = song(tmp_path, "sine=300:sample_rate=44100:duration=0.2,volume=-20dB")
    assert np.abs(sound_of(made(tmp_path, short, lyrics="la", loudness=-14).path)[0]).max() < 0.03


def test_a_start_behind_the_song_is_refused_by_reel_and_plan(tmp_path: Path) -> None:
    audio = song(tmp_path)
    with pytest.raises(InvalidField, match=r"data\.start is 12 s, but the song ends after 10\.0 s") as caught:
        made(tmp_path, audio, start=12)
    assert caught.value.field == "data.start"
    files = {"s3://bucket/a.wav": audio, "s3://bucket/a.jpg": tmp_path / "a.jpg"}
    with pytest.raises(InvalidField, match="song ends after"):
        plan_reel(reel_data("la", start=10), MemoryContext(tmp_path, "reel", files))
    plan = plan_reel(reel_data(LYRICS, start=4, end=7, words_per_group=1), MemoryContext(tmp_path, "reel", files))
    assert (plan.frames, plan.duration_seconds, plan.details["captions"]) == (90, 3, 3)
    request = AudioToCaptions.model_validate({"audio": "s3://bucket/a.wav", "lyrics": LYRICS, "words_per_group": 1})
    assert plan_captions(request, MemoryContext(tmp_path, "audio-to-captions", files)).duration_seconds == 10
