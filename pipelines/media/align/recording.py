"""A recording as the acoustic models take it: one channel at 16 kHz, in a file, so that its length costs no memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from pipelines.media.align import separation
from pipelines.media.inspect.open_media import mono_samples, samples_of
from pipelines.media.inspect.sound import plain_audio
from schemas.errors import InvalidAudio

RATE = 16_000
#: Samples that are read at once where all are read.
_PART = 30 * RATE
#: Levels per second.
LEVEL_RATE = 100

_Samples = NDArray[np.float32]


class Sound:
    """Samples at 16 kHz in a temporary file without a name, which is closed with ``with``."""

    def __init__(self, parts: Iterable[_Samples]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        try:
            self._count = sum(self._file.write(part.astype("<f4", copy=False).tobytes()) for part in parts) // 4
            self._file.flush()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Sound:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def part(self, first: int, end: int) -> _Samples:
        """Return the samples from ``first`` to ``end``, or to the end of the sound."""
        self._file.seek(4 * first)
        return np.frombuffer(self._file.read(4 * (min(end, self._count) - first)), "<f4")

    def parts(self) -> Iterator[_Samples]:
        """Yield all samples."""
        for first in range(0, self._count, _PART):
            yield self.part(first, first + _PART)

    def levels(self) -> _Samples:
        """Return the energy in decibels, ``LEVEL_RATE`` values a second."""
        hop = RATE // LEVEL_RATE
        powers = [(part[: len(part) // hop * hop].reshape(-1, hop) ** 2).mean(1) for part in self.parts()]
        return 10 * np.log10(np.concatenate([*powers, np.zeros(0, np.float32)]) + np.float32(1e-7))


def read_sound(path: Path, kind: str, weights: Path | None = None) -> Sound:
    """Decode the first audio stream, and with ``weights`` take the voice out of it.

    Damaged packets are left out, as in the reel itself.

    Raises:
        InvalidAudio: The audio cannot be decoded.
        InvalidWeights: The weights are not those of the separation.
    """
    network = None if weights is None else separation.VoiceNetwork(weights)
    try:
        with plain_audio(path, kind) as plain:
            if network is None:
                return Sound(mono_samples(plain, kind, RATE))
            stereo = samples_of(plain, kind, separation.RATE, "stereo")
            return Sound(_filtered(separation.separate(stereo, network), separation.RATE))
    except av.FFmpegError as error:
        raise InvalidAudio(f"the audio cannot be decoded: {error.strerror}", field="data.audio") from None


def lowered(sound: Sound, pitch: float) -> Sound:
    """Return the sound at ``pitch`` times its pitch and at its own tempo."""
    changed = [("asetrate", str(round(RATE * pitch))), ("aresample", str(RATE)), ("atempo", f"{1 / pitch:.6f}")]
    return Sound(_filtered(sound.parts(), RATE, changed))


def _filtered(parts: Iterable[_Samples], rate: int, filters: Iterable[tuple[str, str]] = ()) -> Iterator[_Samples]:
    """Yield one channel at ``rate``, after FFmpeg's audio filters, at 16 kHz."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="flt", layout="mono")
    last, form = source, f"sample_fmts=flt:sample_rates={RATE}:channel_layouts=mono"
    for name, argument in [*filters, ("aformat", form)]:
        following = graph.add(name, argument)
        last.link_to(following)
        last = following
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    at = 0
    for part in parts:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(part)[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts, at = rate, at, at + len(part)
        source.push(frame)
        yield from _pulled(sink)
    source.push(None)
    yield from _pulled(sink)


def _pulled(sink: av.filter.FilterContext) -> Iterator[_Samples]:
    while True:
        try:
            frame = sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame.to_ndarray()[0]
