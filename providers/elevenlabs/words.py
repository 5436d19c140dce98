"""Parse the words in ElevenLabs' responses into the form that ``schemas.words`` reads."""

from __future__ import annotations

import math
from typing import Any


def words_in(document: Any) -> list[dict[str, Any]] | None:
    """Return each word with its start and end in seconds, or ``None`` if the response has no list of words.

    Spaces between words are dropped, audio events such as ``(laughter)`` are kept. A word whose times are missing or
    impossible is kept without times; captions place it between its neighbours.
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
        # Plausible times: not before the previous word, and not ending before they start.
        sound = start is not None and end is not None and earliest <= start <= end
        if start is not None and sound:
            earliest = start
        found.append({"text": text.strip(), "start": start if sound else None, "end": end if sound else None})
    return found


def _seconds(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return round(float(value), 3) if known else None
