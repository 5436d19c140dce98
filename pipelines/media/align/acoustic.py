"""Audio decoded to 16 kHz, and the phonemes that an acoustic model recognises in each 20 ms.

The model is that of the package hama: a small CTC network with IPA tokens for many languages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.media.align.viterbi import Emissions
from pipelines.media.inspect.open_media import mono_samples
from pipelines.media.inspect.sound import plain_audio
from schemas.errors import InvalidAudio

RATE = 16_000
#: Samples of one frame of the model.
FRAME = 320
#: The model is given windows of this many samples, and this many on both sides for context.
_WINDOW, _CONTEXT = 24 * RATE, 3 * RATE

_Samples = NDArray[np.float32]


class PhonemeModel:
    """The acoustic model of hama."""

    def __init__(self) -> None:
        from hama.asr import ASRModel

        self._session: Any
        model = ASRModel()
        self._session = model.session
        names = {token: index for index, token in enumerate(model.decoder_tokens)}
        self._blank, self._boundary = names["<blank>"], names["<wb>"]
        #: The tokens by their IPA text.
        self.inventory = {token: index for token, index in names.items() if token.strip() and token[0] != "<"}

    def emissions(self, samples: _Samples, progress: Callable[[float], None]) -> Emissions:
        """Return the log-probabilities of the tokens in each frame; report shares from 0 to 1."""
        parts = []
        for start in range(0, len(samples), _WINDOW):
            parts.append(self._window(samples, start))
            progress(min(1.0, (start + _WINDOW) / len(samples)))
        found = np.vstack(parts) if parts else np.zeros((0, len(self.inventory)), np.float32)
        gap = np.logaddexp(found[:, self._blank], found[:, self._boundary])
        return Emissions(np.hstack([found, np.zeros((len(found), 1), np.float32)]), gap)

    def _window(self, samples: _Samples, start: int) -> _Samples:
        first, end = max(0, start - _CONTEXT), min(len(samples), start + _WINDOW + _CONTEXT)
        inputs = {"waveform": samples[None, first:end], "waveform_lengths": np.array([end - first])}
        log_probs, lengths = self._session.run(["log_probs", "out_lengths"], inputs)
        heard = log_probs[0][: int(lengths[0])]
        heard = heard - np.log(np.exp(heard).sum(-1, keepdims=True))
        wanted = -(-min(_WINDOW, len(samples) - start) // FRAME)
        part = heard[(start - first) // FRAME :][:wanted]
        return np.pad(part, ((0, wanted - len(part)), (0, 0)), mode="edge").astype(np.float32)


def decode(path: Path, kind: str) -> _Samples:
    """Decode the first audio stream to one channel of 16 kHz. Damaged packets are left out, as in the reel itself.

    Raises:
        InvalidAudio: The audio cannot be decoded.
    """
    try:
        with plain_audio(path, kind) as plain:
            parts = list(mono_samples(plain, kind, RATE))
    except av.FFmpegError as error:
        raise InvalidAudio(f"the audio cannot be decoded: {error.strerror}", field="data.audio") from None
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
