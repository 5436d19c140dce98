"""Generate the demo's song: `python ops/demo/make_song.py`.

espeak-ng (apt) speaks the words of lyrics.txt one by one over soft chords, and pydub mixes them. The
result, song.mp3, is in the repository; this script documents its origin.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from pydub import AudioSegment

FOLDER = Path(__file__).parent
RATE = 44_100
SECONDS = 16.0
#: One chord for each four seconds, in hertz: Am, F, C, G.
CHORDS = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (261.6, 329.6, 392.0), (196.0, 246.9, 293.7))


def chords() -> AudioSegment:
    """Return soft sine chords, each fading in and out."""
    time = np.arange(int(RATE * SECONDS / len(CHORDS))) / RATE
    swell = np.sin(np.pi * time / time[-1]) ** 0.5
    parts = [
        swell * sum(np.sin(2 * np.pi * tone * time) + 0.3 * np.sin(4 * np.pi * tone * time) for tone in chord)
        for chord in CHORDS
    ]
    samples = (np.concatenate(parts) / 5 * 32767).astype("<i2")
    return AudioSegment(data=samples.tobytes(), sample_width=2, frame_rate=RATE, channels=1)


def spoken(word: str, folder: Path) -> AudioSegment:
    """Return ``word`` spoken by espeak-ng."""
    path = folder / "word.wav"
    subprocess.run(["espeak-ng", "-v", "en-us+f3", "-s", "150", "-p", "60", "-w", str(path), "--", word], check=True)
    return AudioSegment.from_wav(str(path)).set_frame_rate(RATE)


def main() -> None:
    """Write song.mp3 next to this script."""
    words = (FOLDER / "lyrics.txt").read_text(encoding="utf-8").split()
    song = chords() - 9
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, word in enumerate(words):
            text = "".join(letter for letter in word if letter.isalpha())
            if text:
                song = song.overlay(spoken(text, folder), position=int(1000 * SECONDS * index / len(words)))
        mixed = folder / "mixed.wav"
        song.set_channels(2).fade_in(300).fade_out(900).export(str(mixed), format="wav")
        encode = ["-codec:a", "libmp3lame", "-b:a", "96k", "-map_metadata", "-1", str(FOLDER / "song.mp3")]
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(mixed), *encode], check=True)


if __name__ == "__main__":
    main()
