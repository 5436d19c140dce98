"""Skip slices repeat the previous picture exactly, for any size and quantiser."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from hypothesis import given, settings, strategies as st

from pipelines.media.captions.placement import Caption
from pipelines.media.encode import chunk_encoder
from pipelines.media.encode.bits import BitReader, BitWriter, escape, split_nals, unescape
from pipelines.media.encode.chunk_encoder import ChunkEncoder, parameter_sets
from pipelines.media.encode.frame_runs import FrameRun, chunks, expand, plan_frame_runs
from pipelines.media.encode.h264 import UnexpectedStream, read_shape


def noise(width: int, height: int, seed: int) -> VideoFrame:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


def decode(extradata: bytes, units: list[bytes]) -> list[bytes]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = extradata
    frames = [frame for unit in [*map(Packet, units), None] for frame in decoder.decode(unit)]
    return [frame.to_ndarray().tobytes() for frame in frames]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(8, 100), st.integers(8, 100), st.integers(1, 51), st.lists(st.integers(1, 40), min_size=1, max_size=5)
)
def test_every_frame_of_a_run_equals_the_first(
    half_width: int, half_height: int, quantiser: int, lengths: list[int]
) -> None:
    width, height = 2 * half_width, 2 * half_height
    runs, first = [], 0
    for index, length in enumerate(lengths):
        runs.append(FrameRun(first, length, str(index), key=index % 3 == 0))
        first += length
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_encoder, "_QUALITY", str(quantiser))
        encoder = ChunkEncoder(width, height, 30, skip=True)
        units = list(encoder.encode(runs, lambda text: noise(width, height, int(text))))
    assert len(units) == sum(lengths)
    pictures = decode(encoder.extradata, [data for data, _ in units])
    assert len(pictures) == sum(lengths)
    for run in runs:
        assert len(set(pictures[run.first : run.first + run.length])) == 1


@pytest.mark.parametrize(
    ("changed", "what"),
    [("bframes=2", "reordered"), ("weightp=2", "weighted"), ("ref=3", "reference"), ("interlaced=1", "reordered")],
)
def test_streams_that_skip_slices_would_break_are_refused(
    monkeypatch: pytest.MonkeyPatch, changed: str, what: str
) -> None:
    name = changed.partition("=")[0]
    kept = ":".join(part for part in chunk_encoder._STRUCTURE.split(":") if not part.startswith(f"{name}="))
    monkeypatch.setattr(chunk_encoder, "_STRUCTURE", f"{kept}:{changed}")
    with pytest.raises(UnexpectedStream, match=what):
        ChunkEncoder(128, 128, 30, skip=True)


def test_cut_off_parameter_sets_are_refused() -> None:
    sps, pps = parameter_sets(ChunkEncoder(128, 128, 30, skip=True).extradata)
    for length in range(1, len(pps) - 1):
        with pytest.raises(UnexpectedStream):
            read_shape(sps[:length], pps)


@given(st.lists(st.integers(0, 5000), max_size=20), st.lists(st.integers(-500, 500), max_size=20))
def test_exponential_golomb_numbers_read_back(unsigned: list[int], signed: list[int]) -> None:
    writer = BitWriter()
    for number in unsigned:
        writer.ue(number)
    for number in signed:
        writer.se(number)
    reader = BitReader(writer.getvalue())
    assert [reader.ue() for _ in unsigned] == unsigned
    assert [reader.se() for _ in signed] == signed


@given(
    st.binary().map(lambda data: data.replace(b"a", b"\0").replace(b"b", b"\1"))
    | st.lists(st.sampled_from([0, 1, 2, 3, 9])).map(bytes)
)
def test_escaped_payloads_hold_no_start_code_and_read_back(payload: bytes) -> None:
    escaped = escape(payload)
    assert unescape(escaped) == payload
    assert not any(code in escaped for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))


def test_nal_units_are_split_at_start_codes() -> None:
    assert split_nals(b"\0\0\0\1abc\0\0\1d\0\0\0\1e") == [b"abc", b"d", b"e"]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), max_size=30), st.integers(1, 400))
def test_frame_runs_cover_every_frame_once_with_key_frames_in_time(gaps: list[tuple[int, int]], rest: int) -> None:
    captions, position = [], 0
    for index, (gap, length) in enumerate(gaps):
        captions.append(Caption(str(index), position + gap, position + gap + length))
        position += gap + length
    runs = plan_frame_runs(captions, position + rest, 240)
    end, last_key = 0, 0
    for run in runs:
        assert run.first == end
        if run.key:
            last_key = run.first
        end = run.first + run.length
        assert end - last_key <= 240
    assert runs[0].key
    assert end == position + rest
    assert len(expand(runs)) == end
    parts = chunks(runs, 10)
    assert [run for part in parts for run in part] == runs
    assert all(part[0].key for part in parts)
