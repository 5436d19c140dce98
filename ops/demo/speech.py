"""Speech of known word times, made by espeak-ng: ``python -m ops.demo.speech``.

espeak-ng is licensed under the GPL and runs in a process of its own. It reads ``{"voice", "lines", "speed"}`` as JSON
from standard input and writes, for each line, ``{"rate", "samples", "words": [[text position, seconds], …]}``.
"""

from __future__ import annotations

import base64
import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RETRIEVAL, _UTF8, _WORD = 1, 1, 1
_RATE_PARAMETER = 1


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


@dataclass(frozen=True, slots=True)
class Speech:
    """Samples between -1 and 1, and when each word starts, in seconds."""

    samples: NDArray[np.float32]
    rate: int
    starts: list[float]


def speak(lines: Sequence[str], voice: str, *, pause: float = 0.5, intro: float = 1.0, speed: int = 150) -> Speech:
    """Return ``lines`` spoken one after the other, with the times of the words that spaces separate."""
    done = subprocess.run(
        [sys.executable, "-P", "-s", "-m", "ops.demo.speech"],
        input=json.dumps({"voice": voice, "lines": list(lines), "speed": speed}).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    parts: list[NDArray[np.float32]] = []
    starts: list[float] = []
    rate, at = 22_050, intro
    for line, spoken in zip(lines, json.loads(done.stdout), strict=True):
        rate = spoken["rate"]
        samples = np.frombuffer(base64.b64decode(spoken["samples"]), "<i2").astype(np.float32) / 32768
        starts += [at + seconds for seconds in _word_starts(line, spoken["words"], len(samples) / rate)]
        parts += [np.zeros(round(at * rate) - sum(map(len, parts)), np.float32), samples.astype(np.float32)]
        at += len(samples) / rate + pause
    return Speech(np.concatenate([*parts, np.zeros(rate, np.float32)]), rate, starts)


def _word_starts(line: str, events: list[list[float]], seconds: float) -> list[float]:
    """Return when each word of the line starts. A word without an event shares the time around it."""
    positions = [index for index, letter in enumerate(line) if letter != " " and (index == 0 or line[index - 1] == " ")]
    known = {int(position): at for position, at in reversed(events)}
    found = [known.get(position) for position in positions]
    times = [index for index, at in enumerate(found) if at is not None]
    return [
        float(np.interp(index, [*times, len(found)], [*(at for at in found if at is not None), seconds]))
        for index in range(len(found))
    ]


def main() -> None:
    """Answer one request."""
    import espeakng_loader

    request = json.load(sys.stdin)
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_RETRIEVAL, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate <= 0 or library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        raise SystemExit(f"espeak-ng has no voice {request['voice']!r}")
    library.espeak_SetParameter(_RATE_PARAMETER, request["speed"], 0)
    json.dump([_line(library, rate, line) for line in request["lines"]], sys.stdout)


def _line(library: ctypes.CDLL, rate: int, line: str) -> dict[str, Any]:
    sound, words = bytearray(), []

    def take(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            sound.extend(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type:
            if events[index].type == _WORD:
                words.append([events[index].text_position - 1, events[index].audio_position / 1000])
            index += 1
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))(take)
    library.espeak_SetSynthCallback(callback)
    text = line.encode() + b"\0"
    library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return {"rate": rate, "samples": base64.b64encode(bytes(sound)).decode(), "words": words}


if __name__ == "__main__":
    main()
