"""The words in answers of ElevenLabs, as ``schemas.words`` reads them."""

from __future__ import annotations

import math
from typing import Any


def words_in(document: Any) -> list[dict[str, Any]] | None:
    """Each word with its seconds, in order; ``None`` when the answer has no list of words.

    Spaces between words are left out, audio events such as ``(laughter)`` kept. A word whose times are missing or
    cannot be is kept without times: whoever shows it fits it in between its neighbours.
    """
    words = document.get("words") if isinstance(document, dict) else None
    if not isinstance(words, list):
        return None
    found: list[dict[str, Any]] = []
    earliest = 0.0
    for word in words:
        text = word.get("text") if isinstance(word, dict) else None
        if not isinstance(text, str) or not text.strip() or word.get("type") == "spacing":
            continue
        start, end = _seconds(word.get("start")), _seconds(word.get("end"))
        # A word can be heard neither before the one before it, nor end before it begins.
        sound = start is not None and end is not None and earliest <= start <= end
        if start is not None and sound:
            earliest = start
        found.append({"text": text.strip(), "start": start if sound else None, "end": end if sound else None})
    return found


def _seconds(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return round(float(value), 3) if known else None
