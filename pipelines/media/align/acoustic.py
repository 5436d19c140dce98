"""What an acoustic model recognises in a recording, and the one that the extra ``align`` installs.

The model is that of the package hama: a small CTC network with IPA tokens for many languages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.media.align.languages import voices_for
from pipelines.media.align.phonemes import tokens_of
from pipelines.media.align.recording import RATE, Sound
from pipelines.media.align.viterbi import Emissions

#: Samples of one frame of the models.
FRAME = 320
#: A model is given windows of this many samples, and this many on both sides for context.
_WINDOW, _CONTEXT = 24 * RATE, 3 * RATE

Floats = NDArray[np.float32]
#: The tokens of each word of each line.
Tokens = Sequence[Sequence[Sequence[int]]]


class AcousticModel(Protocol):
    """A CTC network that recognises tokens in every 20 ms."""

    def readings(self, lines: Sequence[Sequence[str]], language: str | None) -> list[tuple[str, Tokens]]:
        """Return the ways to read the words, the most likely first: a name, and the tokens of the words."""
        ...

    def recognise(self, samples: Floats) -> tuple[Floats, Floats]:
        """Return the log-probabilities of all tokens, and that of none of them, in each frame."""
        ...


class PhonemeModel:
    """The acoustic model of hama, which reads words as espeak-ng pronounces them."""

    def __init__(self) -> None:
        from hama.asr import ASRModel

        self._session: Any
        model = ASRModel()
        self._session = model.session
        names = {token: index for index, token in enumerate(model.decoder_tokens)}
        self._blank, self._boundary = names["<blank>"], names["<wb>"]
        #: The tokens by their IPA text.
        self.inventory = {token: index for token, index in names.items() if token.strip() and token[0] != "<"}

    def readings(self, lines: Sequence[Sequence[str]], language: str | None) -> list[tuple[str, Tokens]]:
        """Return the words in the voices of espeak-ng that may read them (see ``AcousticModel``).

        Of the voices for a language that the request names, only the first that exists is returned.
        """
        words = [word for line in lines for word in line]
        found: list[tuple[str, Tokens]] = []
        for voice in voices_for(" ".join(words), language):
            try:
                flat = iter(tokens_of(words, voice, self.inventory))
            except ValueError:  # espeak-ng does not have the voice
                continue
            tokens = [[next(flat) for _ in line] for line in lines]
            if sum(map(bool, (word for line in tokens for word in line))) * 2 > len(words):
                found.append((voice, tokens))
        return found if language is None else found[:1]

    def recognise(self, samples: Floats) -> tuple[Floats, Floats]:
        """Return the log-probabilities (see ``AcousticModel``)."""
        inputs = {"waveform": samples[None], "waveform_lengths": np.array([len(samples)])}
        log_probs, lengths = self._session.run(["log_probs", "out_lengths"], inputs)
        found = log_probs[0][: int(lengths[0])]
        found = found - np.log(np.exp(found).sum(-1, keepdims=True))
        return found, np.logaddexp(found[:, self._blank], found[:, self._boundary])


def emissions_of(
    model: AcousticModel, sound: Sound, columns: Sequence[int], progress: Callable[[float], None]
) -> Emissions:
    """Return what the model recognises: of all its tokens only the ``columns``, which saves memory.

    ``progress`` is called with shares from 0 to 1.
    """
    tokens, gaps = [np.zeros((0, len(columns) + 1), np.float32)], [np.zeros(0, np.float32)]
    for start in range(0, len(sound), _WINDOW):
        first = max(0, start - _CONTEXT)
        found, gap = model.recognise(sound.part(first, start + _WINDOW + _CONTEXT))
        if not len(found):
            break  # too short to recognise anything in it
        wanted = -(-min(_WINDOW, len(sound) - start) // FRAME)
        # The model may return a frame or two less than there are.
        frames = np.minimum(np.arange(wanted) + (start - first) // FRAME, len(found) - 1)
        # The last column is for ``STAR``.
        tokens.append(np.pad(found[frames][:, list(columns)], ((0, 0), (0, 1))).astype(np.float32))
        gaps.append(gap[frames].astype(np.float32))
        progress(min(1.0, (start + _WINDOW) / len(sound)))
    return Emissions(np.concatenate(tokens), np.concatenate(gaps))
