"""M4A, AAC, OGG, Opus and AIFF are taken too (REEL M11), and AAC that fits is copied."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.audio_to_captions import audio_to_captions, plan as plan_captions
from pipelines.media.encode.aac import start_aac
from pipelines.media.encode.aac_copy import copy_aac
from pipelines.media.inspect.sniff import HEAD_BYTES, SOUND_KINDS, sniff
from pipelines.media.inspect.sound import measure
from pipelines.memory_context import MemoryContext
from pipelines.models.local_reel import _ffmpeg, render_reel
from schemas.audio_to_captions import AudioToCaptions
from schemas.errors import InvalidAudio
from schemas.media import InputFile, LocalFile
from tests.media_probe import ffmpeg, input_file, reel_data, sound_of, write_photo, write_wav

FORMS: dict[str, tuple[str, list[str]]] = {
    "m4a": ("m4a", []),
    "m4a-index-first": ("m4a", ["-movflags", "+faststart"]),
    "m4a-mono-48k": ("m4a", ["-ar", "48000", "-ac", "1"]),
    "m4a-alac": ("m4a", ["-c:a", "alac"]),
    "m4a-22k": ("m4a", ["-ar", "22050"]),
    "m4a-5.1": ("m4a", ["-ac", "6"]),
    "mp4-of-a-phone": ("mp4", []),
    "fragments": ("m4a", ["-movflags", "frag_keyframe+empty_moov"]),
    "aac": ("aac", []),
    "aac-id3": ("aac", ["-write_id3v2", "1", "-metadata", "title=Song"]),
    "ogg-vorbis": ("ogg", ["-c:a", "vorbis", "-strict", "-2"]),
    "ogg-opus": ("ogg", ["-c:a", "libopus"]),
    "voice-message": ("ogg", ["-c:a", "libopus", "-ar", "16000", "-ac", "1", "-b:a", "16k"]),
    "ogg-flac": ("ogg", ["-c:a", "flac"]),
    "aiff": ("aiff", ["-f", "aiff"]),
    "aifc": ("aiff", ["-f", "aiff", "-c:a", "pcm_s24be"]),
}
COPIED = ("m4a", "m4a-index-first", "m4a-mono-48k", "mp4-of-a-phone", "fragments", "aac", "aac-id3")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return four seconds with a click at each second, in every form."""
    folder = tmp_path_factory.mktemp("kinds")
    wav = write_wav(folder / "song.wav", 4, clicks=True)
    found = {}
    for name, (suffix, options) in FORMS.items():
        found[name] = folder / f"{name}.{suffix}"
        ffmpeg("-i", str(wav), "-f", "ipod" if suffix == "m4a" else {"aac": "adts"}.get(suffix, suffix), *options,
               str(found[name]))  # fmt: skip
    return found


def audio(path: Path) -> InputFile:
    kind = sniff(path.read_bytes()[:HEAD_BYTES])
    assert kind in SOUND_KINDS
    return InputFile(
        name="audio", uri="s3://bucket/a", path=path, kind=kind, bytes=path.stat().st_size, sha256="0" * 64
    )


def rendered(folder: Path, path: Path, **options: object) -> LocalFile:
    write_photo(folder / "a.jpg", 64, 64)
    (folder / "job").mkdir()
    image = input_file(folder / "a.jpg", "image")
    data = reel_data("la la", width=128, height=128, **options)
    return render_reel(data, image, audio(path), folder / "job")[0]


def aac_frames(path: Path) -> list[bytes]:
    """Return the AAC frames of a film or a song, without ADTS headers."""
    with av.open(str(path)) as container:
        frames = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
        adts = container.format.name == "aac"
    return [frame[7:] if adts else frame for frame in frames]


def loud(frames: list[bytes]) -> set[bytes]:
    """Return the frames that contain a click: those of silence are all the same."""
    return {frame for frame in frames if len(frame) > 60}


@pytest.mark.parametrize("name", FORMS)
def test_every_kind_becomes_a_reel_in_time(tmp_path: Path, files: dict[str, Path], name: str) -> None:
    video = rendered(tmp_path, files[name])
    assert video.facts.duration_seconds == pytest.approx(4, abs=0.06)
    samples, rate = sound_of(video.path)
    assert rate in (44_100, 48_000)
    # Without an edit list, the encoder's delay is part of the sound as every player plays it.
    delay = 1024 / rate if name in ("aac", "aac-id3", "fragments") else 0.0
    for second in (1, 2, 3):
        at = round((second + delay) * rate)
        peak = at - 900 + np.abs(samples[at - 900 : at + 900]).argmax()
        assert (peak - at) / rate == pytest.approx(30 / 44_100, abs=0.0025), second
        assert np.abs(samples[peak]) > 0.3
    with av.open(str(video.path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"


@pytest.mark.parametrize("name", FORMS)
def test_only_aac_that_fits_is_copied(tmp_path: Path, files: dict[str, Path], name: str) -> None:
    assert copy_aac(files[name], audio(files[name]).kind, tmp_path / "x.aac") == (name in COPIED)
    if name in COPIED:
        source, video = aac_frames(files[name]), aac_frames(rendered(tmp_path, files[name]).path)
        first = source.index(video[0])
        assert first <= 1
        assert video == source[first : first + len(video)]
        assert len(video) >= len(source) - 3


def test_what_is_changed_or_damaged_is_encoded(tmp_path: Path, files: dict[str, Path]) -> None:
    source = aac_frames(files["m4a"])
    for number, options in enumerate(({"start": 1}, {"end": 3}, {"loudness": -14}, {"fade": 1})):
        (tmp_path / str(number)).mkdir()
        made = rendered(tmp_path / str(number), files["m4a"], **options)
        assert not loud(aac_frames(made.path)) & loud(source)
    # One damaged frame is a click, which is not copied into a reel.
    data = bytearray(files["aac"].read_bytes())
    at = data.index(max(aac_frames(files["aac"])[50:], key=len))
    data[at : at + 40] = b"\xff" * 40
    (tmp_path / "damaged.aac").write_bytes(data)
    assert measure(tmp_path / "damaged.aac", "aac").is_damaged
    encoded = aac_frames(rendered(tmp_path, tmp_path / "damaged.aac").path)
    assert not loud(encoded) & loud(aac_frames(files["aac"]))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("part", [0.0003, 0.3, 0.77, 0.97])
def test_sound_that_was_cut_is_refused(tmp_path: Path, files: dict[str, Path], name: str, part: float) -> None:
    data, path = files[name].read_bytes(), tmp_path / "cut"
    path.write_bytes(data[: max(40, int(len(data) * part) + 3)])
    with pytest.raises(InvalidAudio):
        measure(path, audio(files[name]).kind)


@pytest.mark.parametrize("name", FORMS)
def test_noise_in_a_file_is_an_error_of_the_sound_or_none(tmp_path: Path, files: dict[str, Path], name: str) -> None:
    random = np.random.default_rng(11)
    path, kind = tmp_path / "x", audio(files[name]).kind
    for count, header in itertools.product((1, 20, 400), (False, True)):
        data = np.frombuffer(files[name].read_bytes(), np.uint8).copy()
        data[random.integers(8, min(len(data), 700) if header else len(data), count)] = random.integers(0, 256, count)
        path.write_bytes(data.tobytes())
        with contextlib.suppress(InvalidAudio):
            assert measure(path, kind).seconds < 60
        if copy_aac(path, kind, tmp_path / "x.aac"):
            assert aac_frames(tmp_path / "x.aac")


def test_a_file_that_only_pretends_is_refused(tmp_path: Path, files: dict[str, Path]) -> None:
    playlist = b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n"
    for kind, head in (
        ("m4a", b"\0\0\0\x20ftypM4A "),
        ("aac", b"\xff\xf1\x50\x80"),
        ("ogg", b"OggS"),
        ("aiff", b"FORM"),
    ):
        path = tmp_path / kind
        for content in (b"", head, head + playlist, head + bytes(5000), playlist, files["aac"].read_bytes()[:0]):
            path.write_bytes(content)
            with pytest.raises(InvalidAudio):
                measure(path, kind)
            assert start_aac(_ffmpeg(), path, kind, tmp_path / "out.aac").wait() != 0
    # Sound of one kind under the name of another is not decoded.
    for name, kind in (("m4a", "ogg"), ("ogg-opus", "aac"), ("aiff", "m4a"), ("aac", "aiff")):
        with pytest.raises(InvalidAudio):
            measure(files[name], kind)


def test_a_film_is_no_song(tmp_path: Path, files: dict[str, Path]) -> None:
    film = tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1", "-i", str(files["m4a"]), "-shortest", str(film))
    with pytest.raises(InvalidAudio, match=r"^Audio must be MP3, WAV, or FLAC$"):
        measure(film, "mp4")
    # A song with a cover is one.
    cover = write_photo(tmp_path / "c.jpg", 64, 64)
    song = tmp_path / "song.m4a"
    ffmpeg("-i", str(files["m4a"]), "-i", str(cover), "-map", "0", "-map", "1", "-c", "copy", "-disposition:v",
           "attached_pic", str(song))  # fmt: skip
    assert measure(song, audio(song).kind).seconds == pytest.approx(4)
    assert copy_aac(song, audio(song).kind, tmp_path / "x.aac")


def test_captions_of_a_voice_message_and_the_words_of_a_refusal(tmp_path: Path, files: dict[str, Path]) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("This is not a song.")
    context = MemoryContext(
        tmp_path, "c", {"s3://bucket/voice.ogg": files["voice-message"], "s3://bucket/notes.txt": text}
    )
    request = {"audio": "s3://bucket/voice.ogg", "lyrics": "la la la la", "alignment_mode": "even"}
    made = audio_to_captions(AudioToCaptions.model_validate(request), context)
    assert made[0].name == "captions.srt"
    with pytest.raises(InvalidAudio, match=r"^Audio must be MP3, WAV, or FLAC$"):
        plan_captions(AudioToCaptions.model_validate({**request, "audio": "s3://bucket/notes.txt"}), context)
