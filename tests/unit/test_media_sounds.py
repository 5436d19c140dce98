"""Audio is judged by what can be heard, not by lengths in headers, tags between frames or positions of channels."""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.audio_to_captions import plan as plan_captions
from pipelines.media.encode import aac
from pipelines.media.encode.aac import start_aac
from pipelines.media.encode.ffmpeg import FfmpegDied
from pipelines.media.encode.sound_edit import UNCHANGED, SoundEdit
from pipelines.media.inspect import sound
from pipelines.media.inspect.sound import measure
from pipelines.memory_context import MemoryContext
from pipelines.models.local_reel import _ffmpeg, render_reel
from pipelines.reel import plan as plan_reel
from schemas.audio_to_captions import AudioToCaptions
from schemas.errors import InvalidAudio
from tests.media_probe import ffmpeg, input_file, reel_data, sound_of, write_photo, write_wav

RATE = 16_000
#: Three seconds of a tone, 16 bits, mono.
PCM = (9000 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)).astype("<i2").tobytes()
SIZE = len(PCM)
UNKNOWN = 0xFFFFFFFF
#: An information chunk of even length, and one of odd length without its padding byte.
INFO = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf62.12.102\0"
ODD = b"note\5\0\0\0hello"
FORMAT = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)


def wav(
    data_size: int = SIZE,
    riff_size: int | None = None,
    *,
    pcm: bytes = PCM,
    before: bytes = FORMAT,
    after: bytes = b"",
    form: bytes = b"RIFF",
) -> bytes:
    """Return a WAV file that states these sizes; without ``riff_size`` it fits ``data_size``, as writers do it."""
    chunks = b"WAVE" + before + b"data" + struct.pack("<I", data_size) + pcm + after
    fitting = min(UNKNOWN, len(chunks) - len(pcm) + data_size)
    return form + struct.pack("<I", fitting if riff_size is None else riff_size) + chunks


def rf64(riff: int, data: int, samples: int, form: bytes = b"RF64", pcm: bytes = PCM, data32: int = UNKNOWN) -> bytes:
    sizes = b"ds64" + struct.pack("<IQQQI", 28, riff, data, samples, 0)
    return wav(data32, UNKNOWN, form=form, before=sizes + FORMAT, pcm=pcm)


def flac(folder: Path, total: Callable[[int], int] = lambda true: true, part: float = 1.0) -> bytes:
    """Return the tone as FLAC whose header states another number of samples."""
    (folder / "tone.wav").write_bytes(wav())
    ffmpeg("-i", str(folder / "tone.wav"), str(folder / "tone.flac"))
    data = (folder / "tone.flac").read_bytes()
    packed = int.from_bytes(data[18:26])
    unknown = (1 << 36) - 1
    stated = packed & ~unknown | total(packed & unknown)
    changed = data[:18] + stated.to_bytes(8) + data[26:]
    return changed[: int(len(changed) * part)]


def length(folder: Path, data: bytes, kind: str) -> float:
    (folder / f"x.{kind}").write_bytes(data)
    return measure(folder / f"x.{kind}", kind).seconds


PLACEHOLDERS = {
    **{f"F1-{size:#x}": wav(size) for size in (0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0x7FFFFFDB, 0xFFFFFF00, UNKNOWN)},
    "F1-zero": wav(0, 0),
    "F1-zero-riff-36": wav(0, 36),
    "F1-one-gigabyte": wav(1 << 30),
    "F1-2000000000": wav(2_000_000_000, 2_000_000_036),
    "F1-larger-than-riff": wav(5_000_000, SIZE + 36),
    "F1-riff-zero": wav(5_000_000, 0),
    "F1-chunk-behind": wav(0x7FFFF000, before=INFO + FORMAT),
    "F1-chunk-unpadded": wav(before=ODD + FORMAT),
    "F1-chunk-padded": wav(before=ODD + b"\0" + FORMAT),
    "F1-chunk-after": wav(SIZE, after=INFO),
    "F1-rf64-zero": rf64(0, 0, 0),
    "F1-rf64-all-ones": rf64(*(2**64 - 1,) * 3),
    "F1-rf64-31-bits": rf64(0x7FFFFFFF, 0x7FFFFFFF, 0),
    "F1-rf64-63-bits": rf64(*(2**63 - 1,) * 3),
    "F1-rf64-in-data": rf64(0, 0, 0, data32=SIZE),
    "F1-rf64-without": wav(UNKNOWN, UNKNOWN, form=b"RF64"),
    "F1-bw64-zero": rf64(0, 0, 0, b"BW64"),
    "F1-bw64-right": rf64(SIZE + 72, SIZE, SIZE // 2, b"BW64"),
    **{f"F2-plus-{more}": wav(SIZE + more) for more in (1, 2, 8, 36, 44, 46, 68, 78, 120, 1024, 3000)},
    **{f"F2-riff-right-plus-{more}": wav(SIZE + more, SIZE + 36) for more in (8, 44, 78)},
    "F2-whole-file-behind-a-large-header": wav(SIZE + 8044, before=b"JUNK\x38\x1f\0\0" + bytes(7992) + FORMAT),
}


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_a_length_that_no_file_has_is_no_promise(tmp_path: Path, name: str) -> None:
    assert length(tmp_path, PLACEHOLDERS[name], "wav") == pytest.approx(3.0, abs=0.01)
    # The sound of a film is encoded by another program: it must find the same sound.
    assert start_aac(_ffmpeg(), tmp_path / "x.wav", "wav", tmp_path / "x.aac").wait() == 0
    samples, rate = sound_of(tmp_path / "x.aac")
    assert len(samples) / rate == pytest.approx(3.0, abs=0.1)


CUT = {
    "F1-control-half": wav(pcm=PCM[: SIZE // 2]),
    "F1-control-last-second": wav(pcm=PCM[: SIZE * 2 // 3]),
    "F1-control-quarter-second": wav(pcm=PCM[: SIZE - RATE // 2]),
    "F1-control-rf64-half": rf64(SIZE + 72, SIZE, SIZE // 2, pcm=PCM[: SIZE // 2]),
    "F1-control-bw64-half": rf64(SIZE + 72, SIZE, SIZE // 2, b"BW64", pcm=PCM[: SIZE // 2]),
    "F1-control-chunk-before": wav(before=INFO + FORMAT, pcm=PCM[: SIZE // 2]),
    "F2-control-plus-44-half": wav(SIZE + 44, SIZE + 36, pcm=PCM[: SIZE // 2]),
}


@pytest.mark.parametrize("name", CUT)
def test_a_wav_that_was_cut_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidAudio, match=r"truncated: .* s of 3\.0 s are present; upload the whole file"):
        length(tmp_path, CUT[name], "wav")


def test_lengths_of_flac_that_are_unknown_or_nearly_right_f1_f2(tmp_path: Path) -> None:
    for total in (lambda _: 0, lambda _: (1 << 36) - 1, lambda true: true + 44, lambda true: true + RATE // 20):
        assert length(tmp_path, flac(tmp_path, total), "flac") == pytest.approx(3.0)
    for total in (lambda _: 0, lambda true: true, lambda true: true + 44):
        with pytest.raises(InvalidAudio):
            length(tmp_path, flac(tmp_path, total, 0.5), "flac")
    with pytest.raises(InvalidAudio, match="truncated"):
        length(tmp_path, flac(tmp_path, lambda true: true + RATE), "flac")


def id3(size: int) -> bytes:
    """Return an ID3v2 tag with a picture of ``size`` bytes in which frames seem to begin."""
    body = b"APIC" + bytes((0, size >> 14 & 127, size >> 7 & 127, size & 127, 0, 0))
    body += np.random.default_rng(7).integers(0, 256, size, np.uint8).tobytes().replace(b"\0\0", b"\xff\xfb")
    return b"ID3\4\0\0" + bytes((0, len(body) >> 14 & 127, len(body) >> 7 & 127, len(body) & 127)) + body


def ape(size: int) -> bytes:
    head, foot = (
        struct.pack("<8sIIII8x", b"APETAGEX", 2000, size + 32, 1, flags) for flags in (0xA0000000, 0x80000000)
    )
    return head + b"\xff\xfb\x90\x64" * (size // 4) + foot


ID3V1 = b"TAG" + b"Song".ljust(125, b"\0")
LYRICS3 = b"LYRICSBEGININD0000200" + b"LYR00010[00:01]la " + b"000039LYRICS200" + ID3V1
BETWEEN = {
    "F3-id3": id3(500),
    "F3-id3-picture": id3(100_000),
    "F3-id3-two": id3(500) + id3(70),
    "F3-id3v1": ID3V1,
    "F3-id3v1-then-id3": ID3V1 + id3(500),
    "F3-ape": ape(4000),
    "F3-lyrics3": LYRICS3,
    "F3-zeros": bytes(5000),
    "F3-few-zeros": bytes(17),
    "F3-nothing": b"",
}


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return a second of speech as MP3, as speech services send it: with an information frame, or without."""
    folder = tmp_path_factory.mktemp("chunks")
    found = {}
    for name, xing, rate in (("plain", "0", "64k"), ("info", "1", "64k"), ("vbr", "1", None)):
        path = folder / f"{name}.mp3"
        quality = ["-q:a", "4"] if rate is None else ["-b:a", rate]
        source = "anoisesrc=duration=1:sample_rate=24000:amplitude=0.3:seed=1"
        tags = ["-write_xing", xing, "-id3v2_version", "0"]
        ffmpeg("-f", "lavfi", "-i", source, *quality, *tags, str(path))
        found[name] = path.read_bytes()
    plain = found["plain"]
    found["vbri"] = plain[:36] + b"VBRI" + bytes(26) + plain[66:]
    return found


@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("form", ["plain", "info", "vbr", "vbri"])
def test_tags_and_information_frames_between_the_frames_are_no_damage(
    tmp_path: Path, chunks: dict[str, bytes], form: str, name: str
) -> None:
    joined = (chunks[form] + BETWEEN[name]) * 12
    assert length(tmp_path, joined, "mp3") == pytest.approx(12, abs=1.2)
    assert length(tmp_path, BETWEEN["F3-id3"] + joined, "mp3") == pytest.approx(12, abs=1.2)
    # Control: half of it is still refused, wherever the cut is.
    for part in (0.5, 0.77):
        half = joined[: int(len(joined) * part)]
        frames = half[: half.rindex(chunks[form][:200]) + len(chunks[form]) // 2 + 33]
        with pytest.raises(InvalidAudio, match="truncated"):
            length(tmp_path, frames, "mp3")


def test_damage_is_still_refused_between_tags_f3_control(tmp_path: Path, chunks: dict[str, bytes]) -> None:
    damaged = bytearray((chunks["plain"] + ID3V1) * 12)
    for position in range(3000, len(damaged), 2500):
        damaged[position : position + 900] = b"\x55" * 900
    with pytest.raises(InvalidAudio, match=r"damaged: \d+ of .* packets \(.* s\) cannot be decoded"):
        length(tmp_path, bytes(damaged), "mp3")


@pytest.mark.parametrize("more", [1, 36, 128, 417, 700])
def test_a_count_in_an_mp3_may_be_wrong_by_a_header_f2(tmp_path: Path, chunks: dict[str, bytes], more: int) -> None:
    data = bytearray(chunks["info"])
    at = data.index(b"Info") + 12
    data[at : at + 4] = (int.from_bytes(data[at : at + 4]) + more).to_bytes(4)
    assert length(tmp_path, bytes(data), "mp3") == pytest.approx(1, abs=0.1)
    with pytest.raises(InvalidAudio, match="truncated"):
        length(tmp_path, bytes(data[: len(data) // 2]), "mp3")
    data[at : at + 4] = b"\x7f\xff\xff\xff"  # F1: a placeholder
    assert length(tmp_path, bytes(data), "mp3") == pytest.approx(1, abs=0.1)


# --- channels -------------------------------------------------------------------------------------------------------


def channels(count: int, mask: int | None = 0, *, only: int | None = None, rate: int = RATE) -> bytes:
    """Return a second of WAV; each channel has a tone, from 300 Hz in steps of 100; ``mask`` is their positions."""
    time = np.arange(rate) / rate
    tones = [np.sin(2 * np.pi * (300 + 100 * channel) * time) * (only in (None, channel)) for channel in range(count)]
    pcm = (np.stack(tones, 1) * 16_000).astype("<i2").tobytes()
    form = struct.pack("<HIIHH", count, rate, 2 * count * rate, 2 * count, 16)
    if mask is None:
        form = struct.pack("<H", 1) + form
    else:
        guid = bytes.fromhex("0100000000001000800000aa00389b71")
        form = struct.pack("<H", 0xFFFE) + form + struct.pack("<HHI", 22, 16, mask) + guid
    return wav(len(pcm), pcm=pcm, before=b"fmt " + struct.pack("<I", len(form)) + form)


def mixed(folder: Path, data: bytes) -> np.ndarray:
    """Return what a film contains of the sound: the levels of the tones, for both sides."""
    (folder / "x.wav").write_bytes(data)
    assert measure(folder / "x.wav", "wav").seconds == pytest.approx(1)
    assert start_aac(_ffmpeg(), folder / "x.wav", "wav", folder / "x.aac").wait() == 0
    with av.open(str(folder / "x.aac")) as container:
        assert container.streams.audio[0].rate == 44_100
        sides = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert sides.shape[0] == 2
    assert np.abs(sides).max() < 1.01
    middle = sides[:, 11_025:33_075] * np.hanning(22_050)  # half a second at 44.1 kHz: two hertz a bin
    levels: np.ndarray = np.abs(np.fft.rfft(middle))[:, 150 : 150 + 64 * 50 : 50] * 4 / 22_050
    return levels


@pytest.mark.parametrize("count", [3, 6, 8, 10, 12, 14, 16, 24, 60, 64])
@pytest.mark.parametrize("mask", [0, None, 3], ids=["F12-mask-0", "F12-no-mask", "F12-mask-too-short"])
def test_channels_without_positions_are_mixed_evenly(tmp_path: Path, count: int, mask: int | None) -> None:
    left, right = mixed(tmp_path, channels(count, mask))[:, :count]
    assert left == pytest.approx(right, rel=0.05)
    assert left.min() > 0.7 * left.max()
    assert left.max() > 0.4 / count
    alone = mixed(tmp_path, channels(count, mask, only=count - 1))[:, count - 1]
    assert alone.min() > 0.04  # a single track among sixty can be heard


@pytest.mark.parametrize(
    ("count", "mask", "left", "right"),
    [
        pytest.param(1, None, (0.49,), (0.49,), id="F12-mono"),
        pytest.param(1, 0, (0.49,), (0.49,), id="F12-mono-mask-0"),
        pytest.param(1, 4, (0.49,), (0.49,), id="F12-mono-centre"),
        pytest.param(1, 8, (0.49,), (0.49,), id="F12-mono-low"),
        pytest.param(2, None, (0.49, 0), (0, 0.49), id="F12-stereo"),
        pytest.param(2, 0, (0.49, 0), (0, 0.49), id="F12-stereo-mask-0"),
        pytest.param(2, 0x30, (0.49, 0), (0, 0.49), id="F12-stereo-back"),
        pytest.param(4, 0x33, (0.49, 0, 0.35, 0), (0, 0.49, 0, 0.35), id="F12-quad"),
        pytest.param(3, 0x70000, (0.28, 0.28, 0.28), (0.28, 0.28, 0.28), id="F12-odd-positions"),
    ],
)
def test_mono_and_stereo_and_known_positions_are_kept(
    tmp_path: Path, count: int, mask: int | None, left: tuple[float, ...], right: tuple[float, ...]
) -> None:
    levels = mixed(tmp_path, channels(count, mask))[:, :count]
    assert levels[0] == pytest.approx(left, abs=0.03)
    assert levels[1] == pytest.approx(right, abs=0.03)


LAYOUTS = {"3.0": (3, 0x7), "quad": (4, 0x33), "5.0": (5, 0x37), "5.1": (6, 0x3F), "5.1-side": (6, 0x60F)}
LAYOUTS |= {"6.1": (7, 0x13F | 0x600), "7.1": (8, 0x63F), "unknown": (8, 0)}


def noise(count: int, mask: int | None, rms: float) -> bytes:
    """Return WAV with the same noise in every channel; its peak is about four times ``rms``."""
    samples = np.random.default_rng(5).normal(0, rms, RATE).clip(-0.99, 0.99)
    data = channels(count, mask)
    return data[: -2 * count * RATE] + np.repeat((samples * 32_767).astype("<i2"), count).tobytes()


@pytest.mark.parametrize("name", LAYOUTS)
def test_more_channels_are_mixed_without_clipping_m8(tmp_path: Path, name: str) -> None:
    count, mask = LAYOUTS[name]
    mixed(tmp_path, noise(count, mask, 0.25))
    loud = sound_of(tmp_path / "x.aac")[0]
    assert 0.8 < np.abs(loud).max() < 1
    mixed(tmp_path, noise(count, mask, 0.05))
    quiet = sound_of(tmp_path / "x.aac")[0]
    assert 0.05 * 1.3 < quiet[10_000:40_000].std() < 0.05 * 3.3  # quiet sound is not turned down
    assert np.abs(loud).max() < 5 * loud[10_000:40_000].std()


@pytest.mark.parametrize(("count", "mask"), [(1, None), (1, 4), (1, 8), (2, None), (2, 0x30), (2, 0x600)])
def test_mono_and_stereo_are_as_loud_as_the_file_m7(tmp_path: Path, count: int, mask: int | None) -> None:
    data = channels(count, mask)
    mixed(tmp_path, data)
    with av.open(str(tmp_path / "x.aac")) as container:
        sides = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[:, 10_000:40_000]
    assert np.abs(sides).max(axis=1) == pytest.approx(16_000 / 32_768, abs=0.02)


def planned(folder: Path, data: bytes) -> float | None:
    """Return the length that the plan of a reel and the plan of captions state."""
    (folder / "song.wav").write_bytes(data)
    files = {"s3://bucket/a.wav": folder / "song.wav", "s3://bucket/a.jpg": write_photo(folder / "a.jpg", 64, 64)}
    reel = plan_reel(reel_data("la la"), MemoryContext(folder, "reel", files))
    request = AudioToCaptions.model_validate({"audio": "s3://bucket/a.wav", "lyrics": "la", "alignment_mode": "even"})
    assert plan_captions(request, MemoryContext(folder, "audio-to-captions", files)).duration_seconds == 1
    return reel.duration_seconds


UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "F12-65-channels": (lambda: channels(65), "the audio has 65 channels, the limit is 64; mix it down to stereo"),
    "F12-200-channels": (lambda: channels(200, None), "the audio has 200 channels, the limit is 64"),
    "attack-6-1-hertz": (lambda: wav(before=FORMAT[:12] + struct.pack("<I", 1) + FORMAT[16:]), "a sample rate of 1 Hz"),
    "attack-6-3999-hertz": (lambda: channels(1, rate=3999), "a sample rate of 3,999 Hz, the lowest is 4,000 Hz"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_mixed_is_refused_before_any_work_and_by_the_plan(tmp_path: Path, name: str) -> None:
    make, message = UNREADABLE[name]
    with pytest.raises(InvalidAudio, match=message) as caught:
        planned(tmp_path, make())
    assert caught.value.field == "data.audio"
    (tmp_path / "job").mkdir()
    with pytest.raises(InvalidAudio, match=message):
        render_reel(
            reel_data("la la"),
            input_file(tmp_path / "a.jpg", "image"),
            input_file(tmp_path / "song.wav", "audio"),
            tmp_path / "job",
        )
    assert not (tmp_path / "job" / "video.mp4").exists()


def test_sixty_channels_and_four_kilohertz_are_planned_f12_attack_6(tmp_path: Path) -> None:
    assert planned(tmp_path, channels(60)) == 1
    assert planned(tmp_path, channels(1, rate=4000)) == 1


def test_measuring_has_a_time_limit_of_its_own_attack_6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sound._MAX_CPU_SECONDS < 60
    monkeypatch.setattr(sound, "_MAX_CPU_SECONDS", 0.01)
    (tmp_path / "x.wav").write_bytes(wav(SIZE * 400, pcm=PCM * 400))
    with pytest.raises(InvalidAudio, match=r"the audio takes more than 0\.01 s to decode"):
        measure(tmp_path / "x.wav", "wav")


# --- two halves -----------------------------------------------------------------------------------------------------


def encoded(folder: Path, kind: str, seconds: float, *, halves: bool) -> np.ndarray:
    """Return what is heard of ``song.KIND``, encoded in one process or, cut at half of ``seconds``, in two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aac, "_HALVES_FROM", 0.0 if halves else 1e9)
        encoder = start_aac(_ffmpeg(), folder / f"song.{kind}", kind, folder / "song.aac", seconds=seconds)
    assert len(encoder._processes) == 1 + halves
    assert encoder.wait() == 0
    assert encoder.share(0) > 0
    assert not list(folder.glob("*.half.*"))
    return sound_of(folder / "song.aac")[0]


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac"])
def test_a_song_encoded_in_two_halves_sounds_as_in_one(tmp_path: Path, kind: str) -> None:
    write_wav(tmp_path / "tone.wav", 5.0)
    ffmpeg("-i", str(tmp_path / "tone.wav"), str(tmp_path / f"song.{kind}"))
    whole = encoded(tmp_path, kind, 5, halves=False)
    # Half of what a header states may be anywhere: also just before the end of the sound, or behind it.
    for seconds in (5, 2, 9, 9.3, 9.5, 9.7, 9.9, 10, 11, 400):
        halves = encoded(tmp_path, kind, seconds, halves=True)
        assert len(halves) == len(whole)
        difference = np.abs(halves - whole)[1024:-4096]
        assert difference.max() < 0.004, seconds  # of 0.2: a wrong or a missing frame would be all of it


def test_what_is_short_or_limited_in_loudness_is_encoded_in_one_process(tmp_path: Path) -> None:
    write_wav(tmp_path / "song.wav", 29.0)
    limited = SoundEdit(loudness=-14.0)
    for seconds, edit in ((29.0, UNCHANGED), (0.0, UNCHANGED), (40.0, limited)):
        encoder = start_aac(_ffmpeg(), tmp_path / "song.wav", "wav", tmp_path / "song.aac", edit, seconds)
        assert len(encoder._processes) == 1
        encoder.kill()


def test_a_half_that_cannot_be_encoded_fails_the_sound(tmp_path: Path) -> None:
    write_wav(tmp_path / "song.wav", 400.0, rate=8_000)  # so long that neither half ends before it is killed
    for broken in (0, 1):
        encoder = start_aac(_ffmpeg(), tmp_path / "song.wav", "wav", tmp_path / "song.aac", seconds=400.0)
        encoder._processes[broken].kill()
        assert encoder.wait() == -signal.SIGKILL
        with pytest.raises(FfmpegDied):
            encoder.check("the audio could not be encoded")
        encoder.kill()
