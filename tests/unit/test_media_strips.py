"""Of a picture only the rows of its patches are encoded; decoders agree, and nothing else ever changes."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from hypothesis import given, settings, strategies as st

from pipelines.media.encode import chunk_encoder
from pipelines.media.encode.bits import BitReader, split_nals
from pipelines.media.encode.chunk_encoder import AccessUnit, ChunkEncoder
from pipelines.media.encode.frame_runs import FrameRun
from pipelines.media.encode.h264 import IntraSlice, UnexpectedStream
from pipelines.media.encode.slicer import Plane
from pipelines.media.encode.strip_encoder import Patch, StripEncoder

BLOCK = 16


class Squares:
    """Soft shapes with squares in them; a name is ``"left,top,side,shade;…"``, or "other" for no patches."""

    def __init__(self, width: int, height: int) -> None:
        ramp = np.add.outer(np.arange(height), np.arange(width)) % 97 + 60
        grain = np.random.default_rng(1).integers(-4, 5, (height, width))
        half = (height // 2, width // 2)
        self.background: list[Plane] = [
            (ramp + grain).astype(np.uint8),
            np.full(half, 110, np.uint8),
            np.full(half, 140, np.uint8),
        ]

    def patches(self, name: str) -> Sequence[Patch] | None:
        if name == "other":
            return None
        patches = []
        for left, top, side, shade in (map(int, square.split(",")) for square in name.split(";") if square):
            luma = self.background[0][top : top + side, left : left + side] // 2 + np.uint8(shade)
            colour = np.full((luma.shape[0] // 2, luma.shape[1] // 2), shade, np.uint8)
            patches.append(Patch(left, top, [luma, colour, colour]))
        return patches

    def planes(self, name: str) -> list[Plane]:
        planes = [255 - plane if name == "other" else plane.copy() for plane in self.background]
        for left, top, pixels in self.patches(name) or ():
            for index, plane in enumerate(planes):
                x, y = left >> (index > 0), top >> (index > 0)
                plane[y : y + pixels[index].shape[0], x : x + pixels[index].shape[1]] = pixels[index]
        return planes

    def draw(self, name: str) -> VideoFrame:
        pixels = np.concatenate([plane.ravel() for plane in self.planes(name)])
        return VideoFrame.from_ndarray(pixels.reshape(-1, self.background[0].shape[1]), format="yuv420p")


def decode(extradata: bytes, units: Sequence[AccessUnit]) -> list[Plane]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = extradata
    decoder.options = {"err_detect": "explode"}
    frames = [frame for unit in [*(Packet(data) for data, _ in units), None] for frame in decoder.decode(unit)]
    return [frame.to_ndarray().astype(np.uint8, copy=False) for frame in frames]


def runs_of(names: Sequence[str], lengths: Sequence[int], keys: Sequence[bool]) -> list[FrameRun]:
    runs, first = [], 0
    for name, length, key in zip(names, lengths, keys, strict=True):
        runs.append(FrameRun(first, length, name, key or first == 0))
        first += length
    return runs


@st.composite
def names(draw: st.DrawFn, width: int, height: int) -> str:
    squares = []
    for _ in range(draw(st.integers(0, 2))):
        side = 2 * draw(st.integers(1, min(width, height) // 4))
        left, top = (2 * draw(st.integers(0, (length - side) // 2)) for length in (width, height))
        squares.append(f"{left},{top},{side},{draw(st.integers(16, 120))}")
    return ";".join(squares)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_picture_shows_its_patches_and_every_other_row_of_the_background_bit_for_bit(data: st.DataObject) -> None:
    width, height = 2 * data.draw(st.integers(8, 80)), 2 * data.draw(st.integers(8, 80))
    pictures = Squares(width, height)
    shown = data.draw(st.lists(names(width, height), min_size=1, max_size=6))
    count = len(shown)
    lengths = data.draw(st.lists(st.integers(1, 20), min_size=count, max_size=count))
    keys = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    whole = ChunkEncoder(width, height, 30, skip=True)
    is_expected = data.draw(st.booleans())
    encoder = StripEncoder(whole, pictures, shown if is_expected else [])
    units = list(encoder.encode(runs_of(["", *shown], [1, *lengths], [True, *keys])))
    frames = decode(whole.extradata, units)
    assert len(frames) == 1 + sum(lengths)
    background = frames[0][:height]
    at = 1
    for name, length in zip(shown, lengths, strict=True):
        assert len({frame.tobytes() for frame in frames[at : at + length]}) == 1
        wanted = pictures.planes(name)[0]
        assert np.abs(frames[at][:height].astype(int) - wanted).mean() < 4
        touched = np.ones(height, np.bool_)
        for _, top, planes in pictures.patches(name) or ():
            touched[top // BLOCK * BLOCK : -(-(top + planes[0].shape[0]) // BLOCK) * BLOCK] = False
        if is_expected:
            assert np.array_equal(frames[at][:height][touched], background[touched])
        at += length


def test_a_chunk_with_another_background_is_encoded_whole_and_fits_between_the_others(tmp_path: Path) -> None:
    pictures = Squares(128, 160)
    whole = ChunkEncoder(128, 160, 30, skip=True)
    encoder = StripEncoder(whole, pictures, ["32,48,32,90", "other"])
    parts = (["", "32,48,32,90", ""], ["other", "32,48,32,90"], ["64,96,16,40", "other"], ["32,48,32,90", ""])
    units = [unit for part in parts for unit in encoder.encode(runs_of(part, [5] * len(part), [False] * len(part)))]
    frames = decode(whole.extradata, units)
    for frame, name in zip(frames[::5], [name for part in parts for name in part], strict=True):
        assert np.abs(frame[:160].astype(int) - pictures.planes(name)[0]).mean() < 3
    assert openh264(tmp_path, whole.extradata, units) == hashlib.md5(b"".join(map(bytes, frames))).hexdigest()


def openh264(folder: Path, extradata: bytes, units: Sequence[AccessUnit]) -> str:
    """Return the MD5 of all pixels that OpenH264 decodes."""
    (folder / "film.h264").write_bytes(extradata + b"".join(data for data, _ in units))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-xerror", "-f", "h264", "-c:v", "libopenh264"]
    command += ["-i", "film.h264", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough", "pipe:1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    assert not done.stderr, done.stderr
    return hashlib.md5(done.stdout).hexdigest()


def test_a_repeated_caption_and_each_background_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = Squares(128, 320)
    encoder = StripEncoder(ChunkEncoder(128, 320, 30, skip=True), pictures, ["32,208,32,90"])
    encoded = []
    encode = encoder._slicer.encode

    def counted(planes: Sequence[Plane], rows: range, columns: range) -> list[IntraSlice]:
        encoded.append((rows, columns))
        return encode(planes, rows, columns)

    monkeypatch.setattr(encoder._slicer, "encode", counted)
    chunk = runs_of(["32,208,32,90", "", "32,208,32,40", "32,208,32,90"] * 2, [2] * 8, [True] + [False] * 7)
    once = list(encoder.encode(chunk))
    assert encoded == [(range(13, 15), range(8)), (range(13, 15), range(2, 4)), (range(13, 15), range(2, 4))]
    assert list(encoder.encode(chunk)) == once
    assert len(encoded) == 3


def test_between_key_frames_only_the_macroblocks_of_a_patch_change() -> None:
    whole = ChunkEncoder(640, 320, 30, skip=True)
    names = ["", "160,96,64,20", "160,96,64,70", "160,96,64,70;384,96,64,99", "160,96,64,70;384,200,48,99", ""]
    encoder = StripEncoder(whole, Squares(640, 320), names)
    units = list(encoder.encode(runs_of(names, [3] * 6, [False] * 6)))
    frames = [frame[:320].astype(int) for frame in decode(whole.extradata, units)]
    changes = [np.nonzero(before != after) for before, after in itertools.pairwise(frames[::3])]
    areas = [[int(edge) // BLOCK for edge in (x.min(), x.max(), y.min(), y.max())] for y, x in changes]
    assert areas[:3] == [[10, 13, 6, 9], [10, 13, 6, 9], [24, 27, 6, 9]]
    assert np.array_equal(frames[0], frames[-1])


def test_beside_a_shorter_line_of_text_nothing_changes() -> None:
    names = ["", "160,0,256,70;160,256,32,99"]
    whole = ChunkEncoder(640, 320, 30, skip=True)
    encoder = StripEncoder(whole, Squares(640, 320), names)
    frames = [
        frame[:320] for frame in decode(whole.extradata, list(encoder.encode(runs_of(names, [1, 1], [False] * 2))))
    ]
    y, x = np.nonzero(frames[0] != frames[1])
    assert (x.max() // BLOCK, y.max() // BLOCK) == (25, 17)
    assert x[y >= 256].max() // BLOCK == 11


def test_a_change_of_colour_alone_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = Squares(128, 160)
    tint = np.full((16, 16), 40, np.uint8)
    patch = Patch(32, 48, [pictures.background[0][48:80, 32:64], tint, tint])
    monkeypatch.setattr(pictures, "patches", lambda name: [patch] if name else [])
    whole = ChunkEncoder(128, 160, 30, skip=True)
    units = list(StripEncoder(whole, pictures, ["tint"]).encode(runs_of(["", "tint"], [2, 2], [True, False])))
    colors = [frame[160:200].reshape(80, 64)[24:40, 16:32] for frame in decode(whole.extradata, units)]
    assert np.abs(colors[0].astype(int) - 110).max() < 4
    assert np.abs(colors[2].astype(int) - 40).max() < 4


def test_consecutive_key_frames_have_different_numbers() -> None:
    whole = ChunkEncoder(128, 160, 30, skip=True)
    encoder = StripEncoder(whole, Squares(128, 160), [])
    numbers = []
    for unit, _ in encoder.encode(runs_of(["", "32,48,32,90", ""], [1] * 3, [True] * 3)):
        bits = BitReader(split_nals(unit)[0][1:17])
        bits.ue(), bits.ue(), bits.ue(), bits.u(encoder._shape.frame_num_bits)
        numbers.append(bits.ue())
    assert numbers[0] != numbers[1] != numbers[2]


def test_a_slice_depends_on_its_pixels_only() -> None:
    chunk = runs_of(["", "32,48,32,90", "16,16,64,20", "32,48,32,90"], [1] * 4, [True, False, True, False])
    encoders = [StripEncoder(ChunkEncoder(128, 160, 30, skip=True), Squares(128, 160), ["0,0,128,9"]) for _ in range(2)]
    for _ in range(3):  # other pictures before
        list(encoders[1].encode(runs_of(["0,0,64,120", "", "64,48,64,16"], [1] * 3, [True] * 3)))
    one, other = (list(encoder.encode(chunk)) for encoder in encoders)
    assert one == other


@pytest.mark.parametrize("changed", ["no-deblock=1:cabac=0", "slices=4"])
def test_streams_whose_slices_cannot_be_combined_are_refused(monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    monkeypatch.setattr(chunk_encoder, "_STRUCTURE", f"{chunk_encoder._STRUCTURE}:{changed}")
    with pytest.raises(UnexpectedStream):
        StripEncoder(ChunkEncoder(128, 640, 30, skip=True), Squares(128, 640), [])
