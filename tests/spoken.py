"""Speech of known word times in several languages, made by espeak-ng, and music to mix it with."""

from __future__ import annotations

import functools
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.demo.speech import Speech, speak

#: By BCP 47 tag: espeak-ng's voice and what it says.
TEXTS: dict[str, tuple[str, str]] = {
    "en": (
        "en-us",
        "Light from far away came home to us today\nten thousand little suns went on and shone\n"
        "carry me over the quiet river\nand when the morning opens the window\nnever forget where the journey began",
    ),
    "es": (
        "es-419",
        "La luz del río cae sobre la mañana\ncamino solo por la vieja ciudad\nquiero cantar hasta que salga el sol\n"
        "las estrellas brillan sobre el mar\ntodo lo que tengo es para ti",
    ),
    "de": (
        "de",
        "Das Licht der Sterne fällt auf meine Hände\nwir laufen durch die stille kalte Nacht\n"
        "keiner weiß wohin der Wind uns trägt\nbleib bei mir bis der Regen aufhört\nund erzähl mir von dem blauen Meer",
    ),
    "fr": (
        "fr",
        "La lumière tombe doucement sur la rivière\nje marche seul dans la ville endormie\n"
        "donne moi la main avant le matin\nles mots que personne ne connaît\nreste avec moi quand la pluie commence",
    ),
    "it": (
        "it",
        "La luce cade piano sopra il fiume\ncammino solo nella città vecchia\ncanteremo ancora una canzone\n"
        "resta con me quando piove forte\ntutto quello che voglio sei tu",
    ),
    "hi": (
        "hi",
        "सुबह की रोशनी नदी पर उतरती है\nमैं अकेला पुराने शहर में चलता हूँ\nतारे समंदर के ऊपर नाचते हैं\n"
        "हम फिर से वही गीत गाएँगे\nबारिश में मेरे साथ रुक जाओ",
    ),
    "ar": (
        "ar",
        "ضوء الصباح ينزل على النهر\nأمشي وحيدا في المدينة القديمة\nالنجوم ترقص فوق البحر\n"
        "سنغني مرة أخرى تلك الأغنية\nكل ما أريده هو ابتسامتك",
    ),
    "zh": (
        "cmn",
        "清晨 的 阳光 落在 河面 上\n我 一人 走在 老城 的 街道\n星星 在 大海 上面 跳舞\n"
        "没有 人 知道 这些 话语\n我 想要 的 只有 你 的 微笑",
    ),
    "pt": (
        "pt-br",
        "A luz da manhã cai sobre o rio\ncaminho sozinho pela cidade antiga\nas estrelas dançam acima do mar\n"
        "vamos cantar outra vez a canção\nfica comigo quando a chuva chegar",
    ),
    "ru": (
        "ru",
        "Утренний свет ложится на реку\nя иду один по старому городу\nзвёзды танцуют над тёмным морем\n"
        "мы снова споём эту песню\nостанься со мной когда начнётся дождь",
    ),
}


@functools.cache
def spoken(language: str) -> Speech:
    """Return the text of a language, spoken."""
    voice, text = TEXTS[language]
    return speak(text.split("\n"), voice)


def lines_of(language: str) -> list[list[str]]:
    """Return the words of each line."""
    return [line.split() for line in TEXTS[language][1].split("\n")]


def music(count: int, rate: int) -> NDArray[np.float32]:
    """Return chords and beats, with an effective value of 1."""
    random, time = np.random.default_rng(2026), np.arange(count) / rate
    sound = random.normal(0, 1.5, count) * np.exp(-(time % 0.5) * 25)
    for start in range(0, count, 2 * rate):
        span = slice(start, min(count, start + 2 * rate))
        part = time[span] - time[start]
        for tone in random.choice([220, 262, 294, 330, 392, 440, 523], 4, replace=False):
            sound[span] += sum(np.sin(2 * np.pi * tone * n * part) / n for n in range(1, 5)) * np.exp(-0.7 * part)
    mixed: NDArray[np.float32] = (sound / np.sqrt((sound**2).mean())).astype(np.float32)
    return mixed


def write_speech(path: Path, speech: Speech, music_level: float = 0.0) -> Path:
    """Write the speech as a WAV file, mixed with music; at level 1.0 it is as loud as the voice."""
    samples = speech.samples
    if music_level:
        loud = np.sqrt((samples[np.abs(samples) > 0.01] ** 2).mean())
        samples = samples + music(len(samples), speech.rate) * loud * music_level
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(speech.rate)
        file.writeframes((samples / max(1.0, np.abs(samples).max()) * 32767).astype("<i2").tobytes())
    return path
