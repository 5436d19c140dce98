"""The demo's song: soft chords, and lyrics that espeak-ng speaks, so that the times of the words are known."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from ops.demo.speech import speak

#: One chord for each four seconds, in hertz: Am, F, C, G.
_CHORDS = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (261.6, 329.6, 392.0), (196.0, 246.9, 293.7))
_CHORD_SECONDS = 4.0


def make_song(lyrics: str, path: Path) -> list[float]:
    """Write a WAV file of ``lyrics``; headings and symbols are not spoken. Return when each word starts, in seconds."""
    lines = [line for line in lyrics.splitlines() if line.strip() and not line.startswith("[")]
    spoken = [" ".join(word for word in line.split() if any(map(str.isalnum, word))) for line in lines]
    speech = speak(spoken, "en-us+f3", speed=140)
    time = np.arange(len(speech.samples)) / speech.rate
    number = (time / _CHORD_SECONDS).astype(int) % len(_CHORDS)
    swell = np.sin(np.pi * (time % _CHORD_SECONDS) / _CHORD_SECONDS) ** 0.5
    tones = np.array(_CHORDS)[number]
    chords = swell * sum(np.sin(2 * np.pi * tones[:, n] * time) for n in range(3)) / 12
    samples = (np.clip(speech.samples + chords, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(speech.rate)
        file.writeframes(samples.tobytes())
    return speech.starts
