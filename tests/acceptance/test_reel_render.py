"""A reel rendered by the real child process and checked with other decoders."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from pipelines.media.captions.matching import Times
from pipelines.media.layout import arrange
from pipelines.memory_context import MemoryContext
from pipelines.models.alignment import Timing
from pipelines.models.local_reel import render_reel
from pipelines.reel import plan, reel
from schemas.errors import LyricsTooLong
from schemas.media import StoredArtifact
from tests.media_probe import (
    boxes,
    ffmpeg,
    frames_of,
    input_file,
    planes_digest,
    processes_naming,
    reel_data,
    sound_of,
    write_photo,
    write_wav,
)
from tests.telecine_process import wait_until

SECONDS = 12.35
LYRICS = "one two three\nfour five six\n[Chorus]\nseven eight"


def at_hand(folder: Path, image: Path, audio: Path) -> MemoryContext:
    """Return a context with the two files that ``reel_data`` names."""
    return MemoryContext(folder, "reel", {"s3://bucket/a.jpg": image, "s3://bucket/a.wav": audio})


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("material")
    return write_photo(folder / "photo.jpg"), write_wav(folder / "tone.wav", SECONDS)


@pytest.fixture(scope="module")
def rendered(
    tmp_path_factory: pytest.TempPathFactory, material: tuple[Path, Path]
) -> tuple[Path, Sequence[StoredArtifact], list[float]]:
    folder = tmp_path_factory.mktemp("rendered")
    context = at_hand(folder, *material)
    return folder, reel(reel_data(LYRICS), context), context.reported


Rendered = tuple[Path, Sequence[StoredArtifact], list[float]]


def test_a_reel_is_a_video_and_two_caption_files_with_their_facts(rendered: Rendered) -> None:
    folder, artifacts, _ = rendered
    assert [(a.name, a.content_type) for a in artifacts] == [
        ("video.mp4", "video/mp4"),
        ("captions.srt", "application/x-subrip"),
        ("captions.vtt", "text/vtt"),
        ("captions.lrc", "application/x-lrc"),
        ("captions.ass", "text/x-ssa"),
        ("cover.jpg", "image/jpeg"),
    ]
    facts = artifacts[0].facts
    assert (facts.width, facts.height, facts.fps) == (270, 480, 30.0)
    assert facts.frames == round(SECONDS * 30)
    assert facts.duration_seconds == pytest.approx(SECONDS, abs=1e-4)
    assert sorted(path.name for path in folder.iterdir()) == [
        "captions.ass",
        "captions.lrc",
        "captions.srt",
        "captions.vtt",
        "cover.jpg",
        "video.mp4",
    ]


def test_progress_grows_to_the_end(rendered: Rendered) -> None:
    reported = rendered[2]
    assert reported == sorted(reported)
    assert reported[-1] == 1.0


def test_the_progress_of_a_long_reel_grows_while_its_sound_is_encoded(tmp_path: Path) -> None:
    """The sound takes longer than the few frames that differ; that was a standstill at 90 %."""
    reported: list[float] = []
    image, sound = write_photo(tmp_path / "photo.jpg"), write_wav(tmp_path / "long.wav", 90.0)
    (tmp_path / "film").mkdir()
    small = reel_data("one", width=128, height=128)
    render_reel(small, input_file(image, "image"), input_file(sound, "audio"), tmp_path / "film", reported.append)
    assert reported == sorted(reported)
    assert len({value for value in reported if 0.6 < value < 0.9}) >= 3


def test_a_slow_progress_listener_still_gets_the_end(tmp_path: Path, material: tuple[Path, Path]) -> None:
    reported: list[float] = []

    def listen(done: float) -> None:
        reported.append(done)
        time.sleep(3)  # the child continues and ends meanwhile

    sound = input_file(write_wav(tmp_path / "short.wav", 1.0), "audio")
    render_reel(reel_data(LYRICS), input_file(material[0], "image"), sound, tmp_path, listen)
    assert reported == sorted(reported)
    assert reported[-1] == 1.0


def test_frames_come_every_thirtieth_of_a_second_with_key_frames_at_most_eight_seconds_apart(
    rendered: Rendered,
) -> None:
    frames = list(frames_of(rendered[0] / "video.mp4"))
    assert len(frames) == round(SECONDS * 30)
    assert [round(time * 30, 6) for time, _, _ in frames] == list(range(len(frames)))
    keys = [index for index, (_, key, _) in enumerate(frames) if key]
    assert keys[0] == 0
    assert max(after - before for before, after in pairwise([*keys, len(frames)])) <= 240


def test_the_stream_is_plain_h264_for_players(rendered: Rendered) -> None:
    with av.open(str(rendered[0] / "video.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert {float(video.average_rate or 0), float(video.guessed_rate or 0)} == {30.0}
        assert (audio.codec_context.name, audio.rate, audio.channels) == ("aac", 44100, 2)
        assert not video.codec_context.has_b_frames


def test_the_index_comes_first_and_the_file_has_no_edit_list(rendered: Rendered) -> None:
    found = boxes((rendered[0] / "video.mp4").read_bytes())
    top = [name for name in found if "/" not in name]
    assert top[0] == "ftyp"
    assert top.index("moov") < top.index("mdat")
    assert not any(name.endswith(("elst", "edts")) for name in found)


def test_sound_and_picture_end_within_one_frame(rendered: Rendered) -> None:
    sound, rate = sound_of(rendered[0] / "video.mp4")
    assert abs(sound.size / rate - round(SECONDS * 30) / 30) <= 1 / 30


def test_held_frames_are_bit_identical_and_captions_change_at_the_times_in_the_files(rendered: Rendered) -> None:
    digests = planes_digest(rendered[0] / "video.mp4")
    changes = [index for index in range(1, len(digests)) if digests[index] != digests[index - 1]]
    starts = []
    for line in (rendered[0] / "captions.srt").read_text().splitlines():
        if "-->" in line:
            hours, minutes, rest = line.split(" --> ")[0].split(":")
            starts.append(round((int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))) * 30))
    # A key frame may encode the same caption again; otherwise frames between captions are equal.
    assert set(starts[1:]) <= set(changes)
    with av.open(str(rendered[0] / "video.mp4")) as container:
        keys = {index for index, frame in enumerate(container.decode(video=0)) if frame.key_frame}
    assert set(changes) <= set(starts) | keys


def test_two_independent_decoders_see_the_same_frames(rendered: Rendered) -> None:
    video = str(rendered[0] / "video.mp4")
    sums = [
        ffmpeg("-xerror", "-err_detect", "explode", "-c:v", codec, "-i", video, "-map", "0:v", "-f", "md5", "-")
        for codec in ("h264", "libopenh264")
    ]
    assert sums[0] == sums[1]
    assert sums[0].startswith("MD5=")


@pytest.mark.parametrize("style", ["classic", "karaoke", "pop"])
def test_outside_the_rows_of_the_captions_no_pixel_ever_changes(
    material: tuple[Path, Path], tmp_path: Path, style: str
) -> None:
    image, audio = input_file(material[0], "image"), input_file(write_wav(tmp_path / "s.wav", 18.0), "audio")
    lyrics = "one two three\nfour five six\nseven eight\na longer line that needs a second row of letters\nten"
    render_reel(reel_data(lyrics, style=style, width=540, height=960), image, audio, tmp_path)
    with av.open(str(tmp_path / "video.mp4")) as container:
        frames = [frame.to_ndarray().astype(np.int16) for frame in container.decode(video=0)]
        container.seek(0)
        times = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert times == [(times[1] or 0) * number for number in range(540)]
    change = np.zeros((1440, 540), np.int16)  # the picture, and below it the halved planes of its colours
    for frame in frames:
        np.maximum(change, np.abs(frame - frames[0]), out=change)
    letters = np.flatnonzero((change[:960] > 60).any(axis=1))
    assert 30 < letters[-1] - letters[0] < 300
    changed = np.flatnonzero((change[:960] > 0).any(axis=1))
    assert letters[0] - 48 <= changed[0]
    assert changed[-1] <= letters[-1] + 48
    colors = np.flatnonzero((change[960:].reshape(-1, 270) > 0).any(axis=1)) % 480 * 2
    assert changed[0] - 16 <= colors.min()
    assert colors.max() <= changed[-1] + 16
    sums = [
        ffmpeg("-xerror", "-c:v", codec, "-i", str(tmp_path / "video.mp4"), "-map", "0:v", "-f", "md5", "-")
        for codec in ("h264", "libopenh264")
    ]
    assert sums[0] == sums[1]


def test_a_seek_to_any_time_shows_the_frame_of_that_time(rendered: Rendered) -> None:
    path = rendered[0] / "video.mp4"
    digests = planes_digest(path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        for number in np.random.default_rng(3).integers(0, len(digests), 25):
            container.seek(int(number / 30 / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                index = round((frame.time or 0) * 30)
                assert hashlib.md5(frame.to_ndarray().tobytes()).hexdigest() == digests[index]
                if index >= number:
                    break


def test_the_same_inputs_make_identical_bytes(rendered: Rendered, material: tuple[Path, Path], tmp_path: Path) -> None:
    again = reel(reel_data(LYRICS), at_hand(tmp_path, *material))
    for artifact in again:
        assert (tmp_path / artifact.name).read_bytes() == (rendered[0] / artifact.name).read_bytes()


def test_a_caption_is_visible_between_its_times_and_not_outside(material: tuple[Path, Path], tmp_path: Path) -> None:
    data = reel_data("word", timing_offset=4.0, min_duration=0)
    folder = tmp_path / "shifted"
    folder.mkdir()
    reel(data, at_hand(folder, *material))
    yellow = []
    for _, _, pixels in frames_of(folder / "video.mp4"):
        # Bright red and green, dark blue: no pixel of the photograph has this colour.
        yellow.append(int(((pixels[:, :, 0] > 200) & (pixels[:, :, 1] > 200) & (pixels[:, :, 2] < 90)).sum()))
    assert max(yellow[:120]) == 0
    assert min(yellow[120:]) > 100


def test_lyrics_draw_nothing_but_letters(material: tuple[Path, Path], tmp_path: Path) -> None:
    hostile = (
        r"{\p1}m 0 0 l 900 0 900 900{\p0} <rect width='9999' height='9999' fill='red'/> </text> &#65; %{n} \N Dialogue:"
    )
    (tmp_path / "plain").mkdir()
    (tmp_path / "hostile").mkdir()
    reel(reel_data("x", timing_offset=3600), at_hand(tmp_path / "plain", *material))
    reel(reel_data(hostile, words_per_group=50), at_hand(tmp_path / "hostile", *material))
    blank = next(frames_of(tmp_path / "plain" / "video.mp4"))[2].astype(int)
    drawn = next(frames_of(tmp_path / "hostile" / "video.mp4"))[2].astype(int)
    changed = np.abs(drawn - blank).max(axis=2) > 40
    height, width = changed.shape
    assert changed.any()
    assert not changed[: height // 4].any()
    assert not changed[:, : round(width * 50 / 1080)].any()
    assert not changed[:, width - round(width * 50 / 1080) :].any()


@pytest.mark.parametrize("half", ["#ffff0080", "#ff08"])
def test_the_opacity_of_the_colour_is_that_of_the_captions_gap_L4(tmp_path: Path, half: str) -> None:
    files = write_photo(tmp_path / "photo.jpg"), write_wav(tmp_path / "tone.wav", 0.2)
    shown: list[np.ndarray] = []
    for color in ("#ffff0000", half, "yellow"):
        out = tmp_path / f"film-{len(shown)}"
        out.mkdir()
        reel(reel_data("one 🎉 two", font_color=color), at_hand(out, *files))
        shown.append(next(frames_of(out / "video.mp4"))[2].astype(int))
    clear, some, full = shown
    inside = np.abs(full - clear).max(axis=2) > 90
    assert inside.any()
    assert np.abs(some - clear)[inside].sum() / np.abs(full - clear)[inside].sum() == pytest.approx(0.52, abs=0.03)
    # Without opacity the film is the picture alone: no outline and no shadow.
    height = clear.shape[0]
    blank = tmp_path / "blank"
    blank.mkdir()
    reel(reel_data("x", timing_offset=3600), at_hand(blank, *files))
    assert np.abs(next(frames_of(blank / "video.mp4"))[2].astype(int) - clear)[height // 2 :].max() <= 6


def test_characters_without_a_font_are_reported_and_the_rest_is_drawn(
    material: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "known").mkdir()
    context = at_hand(tmp_path, *material)
    reel(reel_data("one \U00013000 two \U00013001"), context)
    assert context.manifest_details == {"missing_characters": "\U00013000\U00013001"}
    context = at_hand(tmp_path / "known", *material)
    reel(reel_data("one two"), context)
    assert context.manifest_details == {}


@pytest.mark.parametrize("suffix", ["mp3", "flac", "wav"])
def test_sound_stays_in_time_with_the_picture(tmp_path: Path, suffix: str) -> None:
    source = write_wav(tmp_path / "clicks.wav", 20, clicks=True)
    audio = source
    if suffix != "wav":
        audio = tmp_path / f"song.{suffix}"
        ffmpeg("-i", str(source), *(["-b:a", "192k"] if suffix == "mp3" else []), str(audio))
    out = tmp_path / "out"
    out.mkdir()
    artifacts = reel(reel_data("one two"), at_hand(out, write_photo(tmp_path / "p.jpg"), audio))
    assert artifacts[0].facts.frames == 600
    sound, rate = sound_of(out / "video.mp4")
    for second in (1, 7, 19):
        near = sound[second * rate - 2000 : second * rate + 2000]
        peak = second * rate - 2000 + int(np.abs(near).argmax())
        assert abs((peak - 30) / rate - second) < 0.005


@pytest.mark.parametrize("size", [(128, 128), (270, 482), (1080, 1920)])
def test_the_plain_encoder_shows_the_same_film(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    image, audio = write_photo(tmp_path / "p.jpg"), write_wav(tmp_path / "a.wav", 2.0)
    films = {}
    for encoder in ("strips", "skip", "plain"):
        folder = tmp_path / encoder
        folder.mkdir()
        data = reel_data("one two three four", words_per_group=1, width=width, height=height)
        render_reel(data, input_file(image, "image"), input_file(audio, "audio"), folder, encoder=encoder)
        frames = [
            (pixels if index % 15 == 5 else None)
            for index, (_, _, pixels) in enumerate(frames_of(folder / "video.mp4"))
        ]
        assert len(frames) == 60
        films[encoder] = [pixels.astype(np.int16) for pixels in frames if pixels is not None]
    for plain, *others in zip(films["plain"], films["skip"], films["strips"], strict=True):
        assert all(np.abs(plain - other).mean() < 2.5 for other in others)


def test_a_plan_has_the_frame_count_of_the_render(material: tuple[Path, Path], tmp_path: Path) -> None:
    planned = plan(reel_data(LYRICS), at_hand(tmp_path, *material))
    assert planned.frames == round(SECONDS * 30)
    assert planned.details["captions"] == 4
    assert planned.estimated_seconds > 0


def test_a_plan_without_lyrics_has_frames_and_no_captions(material: tuple[Path, Path], tmp_path: Path) -> None:
    planned = plan(reel_data("", alignment_mode="auto"), at_hand(tmp_path, *material))
    assert planned.frames == round(SECONDS * 30)
    assert "captions" not in planned.details


def test_more_captions_than_frames_are_refused_with_the_numbers(material: tuple[Path, Path], tmp_path: Path) -> None:
    data = reel_data("\n".join(["word"] * 2000), words_per_group=1)
    with pytest.raises(LyricsTooLong, match=r"2,000 captions in 12\.3 s"):
        plan(data, at_hand(tmp_path, *material))


def test_a_landscape_photograph_is_shown_whole_over_a_blurred_background(tmp_path: Path) -> None:
    image = Image.new("RGB", (800, 400), (200, 40, 40))
    image.paste((40, 40, 200), (400, 0, 800, 400))
    image.save(tmp_path / "wide.png")
    out = tmp_path / "out"
    out.mkdir()
    reel(reel_data("x", timing_offset=3600), at_hand(out, tmp_path / "wide.png", write_wav(tmp_path / "a.wav", 1)))
    frame = next(frames_of(out / "video.mp4"))[2].astype(int)
    card = arrange((800, 400), 270, 480, caption_height=0.5 * 480).card
    assert card is not None
    bright = np.abs(frame - (200, 40, 40)).max(axis=2) < 12, np.abs(frame - (40, 40, 200)).max(axis=2) < 12
    for half, left, right in ((bright[0], card.left, 135), (bright[1], 135, card.right)):
        columns = np.flatnonzero(half.any(axis=0))
        assert abs(columns.min() - left) <= 2
        assert abs(columns.max() + 1 - right) <= 2
        assert half.any(axis=1).sum() == pytest.approx(card.height, abs=2)
    # Around it, there is a dark copy.
    assert 60 < frame[20, 5, 0] < 130
    assert frame[20, 5, 0] > frame[20, 5, 2]


def test_with_karaoke_each_word_is_lit_while_it_is_sung(material: tuple[Path, Path], tmp_path: Path) -> None:
    image, audio = input_file(material[0], "image"), input_file(write_wav(tmp_path / "s.wav", 4.0), "audio")
    sung = Timing("one two three", "forced_alignment", (Times(0.5, 0.9), Times(1.5, 1.8), Times(2.0, 3.0)))
    data = reel_data("one two three", style="karaoke", highlight_color="#ff0000", timing_offset=0.1)
    render_reel(data, image, audio, tmp_path, timing=sung)
    places = []
    for _, _, pixels in frames_of(tmp_path / "video.mp4"):
        red = (pixels[:, :, 0] > 170) & (pixels[:, :, 1] < 70) & (pixels[:, :, 2] < 70)
        places.append(int(np.nonzero(red)[1].mean()) if red.any() else 0)
    changes = [index for index in range(1, len(places)) if abs(places[index] - places[index - 1]) > 10]
    assert changes == [18, 48, 63, 93]
    assert 0 == places[0] < places[20] < places[50] < places[70]
    # The caption files have whole captions.
    assert (tmp_path / "captions.srt").read_text().count("-->") == 1
    assert plan(data, at_hand(tmp_path, *material)).details["pictures"] >= 3


def test_dots_count_down_after_a_break_and_the_progress_line_grows(material: tuple[Path, Path], tmp_path: Path) -> None:
    image, audio = input_file(material[0], "image"), input_file(write_wav(tmp_path / "s.wav", 9.0), "audio")
    sung = Timing("one two\nthree", "forced_alignment", (Times(6, 6.9), Times(7, 7.4), Times(7.5, 8.9)))
    data = reel_data("one two\nthree", style="karaoke", highlight_color="#ff0000", next_line=True, progress_line=True)
    render_reel(data, image, audio, tmp_path, timing=sung)
    dots, widths = [], []
    for _, _, pixels in frames_of(tmp_path / "video.mp4"):
        red = (pixels[:, :, 0] > 140) & (pixels[:, :, 1] < 90) & (pixels[:, :, 2] < 90)
        line = int(np.nonzero(red[300:316].sum(axis=1) > 8)[0].max(initial=-1)) + 300
        widths.append(int(red[line].sum()) if line >= 300 else 0)
        dots.append(int(red[:296].sum()))
    # Three dots, two, one, a second each; before that nothing, then the first word.
    shares = [
        np.unique(dots[first:end]).mean() / dots[165] for first, end in ((0, 90), (90, 120), (120, 150), (150, 180))
    ]
    assert shares == pytest.approx([0, 3, 2, 1], abs=0.15)
    assert all(0 <= later - sooner < 40 for sooner, later in itertools.pairwise(widths[30:]))
    assert widths[-1] == pytest.approx(0.76 * 270 * 26 / 27, abs=12)


def test_the_child_dies_with_the_worker_that_started_it(material: tuple[Path, Path], tmp_path: Path) -> None:
    script = (
        "import sys, os, threading, time\n"
        "from pathlib import Path\n"
        "from tests.media_probe import input_file, reel_data\n"
        "from pipelines.models.local_reel import render_reel\n"
        "threading.Timer(1.0, lambda: os.kill(os.getpid(), 9)).start()\n"
        "image, audio, folder = map(Path, sys.argv[1:])\n"
        "lyrics = chr(10).join(['word'] * 300)\n"
        "data = reel_data(lyrics, width=1080, height=1920, words_per_group=1)\n"
        "render_reel(data, input_file(image, 'image'), input_file(audio, 'audio'), folder, encoder='plain')\n"
    )
    worker = subprocess.run([sys.executable, "-c", script, *map(str, material), str(tmp_path)], check=False)
    assert worker.returncode == -9
    wait_until(lambda: processes_naming(str(tmp_path)) == [], timeout=30)


def test_ffmpeg_comes_with_its_package() -> None:
    assert Path(imageio_ffmpeg.get_ffmpeg_exe()).is_file()


def test_a_parser_that_shares_no_code_with_ffmpeg_finds_no_errors(tmp_path: Path) -> None:
    photo = input_file(write_photo(tmp_path / "p.png"), "image")
    song = input_file(write_wav(tmp_path / "s.wav", 10.0), "audio")
    render_reel(reel_data("one two three\nfour five six"), photo, song, tmp_path)
    node = Path(__file__).resolve().parent.parent / "node"
    done = subprocess.run(
        ["node", "inspect.mjs", str(tmp_path / "video.mp4")], cwd=node, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    picture, sound = found["tracks"]
    assert found["progressive"]
    assert not found["fragmented"]
    assert (picture["samples"], picture["edits"], picture["reordered"]) == (300, 0, False)
    assert picture["sync"] >= 2
    assert picture["ordered"]
    assert sound["ordered"]
    assert abs(sound["seconds"] - picture["seconds"]) <= 1 / 30


def test_without_nvenc_the_plain_encoder_makes_the_same_bytes(
    rendered: Rendered, material: tuple[Path, Path], tmp_path: Path
) -> None:
    image, audio = material
    render_reel(reel_data(LYRICS), input_file(image, "image"), input_file(audio, "audio"), tmp_path, encoder="nvenc")
    assert (tmp_path / "video.mp4").read_bytes() == (rendered[0] / "video.mp4").read_bytes()
