"""The pronunciation of words in IPA by espeak-ng, which knows some 130 languages.

espeak-ng is licensed under the GPL. It runs in a process of its own: ``python -m pipelines.media.align.espeak`` reads
``{"voice", "words"}`` as JSON from standard input and writes the list of pronunciations as JSON to standard output.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence

#: espeak-ng's constants: no sound output, UTF-8 text, phonemes in IPA.
_SYNCHRONOUS, _UTF8, _IPA = 2, 1, 2
_LIMIT_SECONDS = 60.0


def pronounce(words: Sequence[str], voice: str) -> list[str]:
    """Return the pronunciation of each word in IPA; an empty text for a word that has none.

    Args:
        words: Words of one language.
        voice: A voice of espeak-ng, such as ``fr-fr``.

    Raises:
        ValueError: espeak-ng does not have the voice.
        OSError: espeak-ng is not installed, or it failed.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-s", "-m", "pipelines.media.align.espeak"],
        input=json.dumps({"voice": voice, "words": list(words)}).encode(),
        capture_output=True,
        check=False,
        timeout=_LIMIT_SECONDS,
    )
    if done.returncode == 3:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    if done.returncode:
        raise OSError(f"espeak-ng ended with status {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    spoken: list[str] = json.loads(done.stdout)
    return spoken


def _library() -> ctypes.CDLL:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    if library.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0) < 0:
        raise OSError("espeak-ng cannot read its data")
    return library


def _phonemes(library: ctypes.CDLL, word: str) -> str:
    text = ctypes.c_char_p(word.encode())
    clauses = []
    while text.value:  # one call for each clause; the library sets the pointer to null after the last
        clauses.append(library.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, _IPA) or b"")
    return b" ".join(clauses).decode("utf-8", "replace").strip()


def main() -> int:
    """Answer one request. Return 3 if espeak-ng does not have the voice."""
    request = json.load(sys.stdin)
    library = _library()
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        return 3
    json.dump([_phonemes(library, word) for word in request["words"]], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
