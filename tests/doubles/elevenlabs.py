"""ElevenLabs' speech API: /v1/speech-to-text and /v1/forced-alignment, which answer a form with words at once.

ElevenLabs accepts no caller reference, so a charge's reference is the SHA-256 of the uploaded file. ``work_seconds``
sets how long a request takes and ``transcript`` what is recognised.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import json
import uuid
from typing import Any

import av

from tests.doubles.double import Double, serve
from tests.doubles.misbehaviour import Fault, Verb
from tests.doubles.server import Reply, Seen

_VERBS = {"/v1/speech-to-text": "scribe", "/v1/forced-alignment": "align"}


def refused(status: int, code: str, message: str, *, older: bool = False, **changes: Any) -> Fault:
    """Return an error in ElevenLabs' format; the ``older`` format has only ``status`` and ``message``."""
    detail = {"status": code, "message": message}
    if not older:
        detail |= {"type": "api_error", "code": code, "request_id": uuid.uuid4().hex}
    return dataclasses.replace(Fault(status=status, body=json.dumps({"detail": detail})), **changes)


class ElevenLabs(Double):
    """ElevenLabs' speech API. It answers at once and has no tasks to poll."""

    transcript = "Hello there, bright kite over the dunes"
    language = "eng"
    #: How many words, counted from the end, have no times.
    untimed = 0

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        return ("submit" if seen.method == "POST" and seen.path in _VERBS else "any"), ""

    def refusal(self, seen: Seen) -> Reply | None:
        if seen.headers.get("xi-api-key") == self.key:
            return None
        return _error(401, "invalid_api_key", "Invalid API key")

    def reference(self, seen: Seen) -> str:
        return hashlib.sha256(seen.parts().get("file", b"")).hexdigest()

    async def _handle(self, seen: Seen) -> Reply:
        reply = await super()._handle(seen)
        if not seen.path.startswith("/_control/"):
            await asyncio.sleep(self.work_seconds)
        return reply

    def submit(self, seen: Seen) -> Reply:
        if not seen.headers.get("content-type", "").startswith("multipart/form-data"):
            return _error(400, "invalid_content_type", "Multipart only")
        parts = seen.parts()
        fields = {name: part.decode() for name, part in parts.items() if name != "file"}
        scribe = _VERBS[seen.path] == "scribe"
        missing = [name for name in ("file", "model_id" if scribe else "text") if not parts.get(name)]
        if missing:
            errors = [{"loc": ["body", name], "msg": f"Field required: {name}", "type": "missing"} for name in missing]
            return Reply.of({"detail": errors}, 422)
        if scribe and fields["model_id"] not in ("scribe_v1", "scribe_v2"):
            return _error(400, "invalid_model_id", f"{fields['model_id']} is not a speech-to-text model")
        seconds = _seconds(parts["file"])
        if seconds < 0.1:
            return _error(400, "invalid_audio", "The audio is too short or cannot be read")
        self.accept(hashlib.sha256(parts["file"]).hexdigest(), fields)
        return Reply.of(self._scribe(fields, seconds) if scribe else self._aligned(fields["text"], seconds))

    def _scribe(self, fields: dict[str, str], seconds: float) -> dict[str, Any]:
        timed = _spread(self.transcript, seconds)
        words: list[dict[str, Any]] = []
        for number, (text, start, end) in enumerate(timed):
            known = number < len(timed) - self.untimed
            words.append(_word(text, start if known else None, end if known else None, "word"))
            words.append(_word(" ", end, end, "spacing"))
        if fields.get("tag_audio_events") == "true":
            words.append(_word("(laughter)", seconds, seconds, "audio_event"))
        return {
            "language_code": fields.get("language_code", self.language),
            "language_probability": 0.98,
            "text": self.transcript,
            "words": words,
            "transcription_id": f"tr_{uuid.uuid4().hex[:12]}",
            "audio_duration_secs": seconds,
        }

    def _aligned(self, text: str, seconds: float) -> dict[str, Any]:
        timed = _spread(text, seconds)
        characters = [{"text": word[0], "start": start, "end": end} for word, start, end in timed]
        words = [{"text": word, "start": start, "end": end, "loss": 0.12} for word, start, end in timed]
        return {"characters": characters, "words": words, "loss": 0.1}


def _spread(text: str, seconds: float) -> list[tuple[str, float, float]]:
    words = text.split()
    share = seconds / max(len(words), 1)
    return [(word, round(at * share, 3), round((at + 0.8) * share, 3)) for at, word in enumerate(words)]


def _word(text: str, start: float | None, end: float | None, kind: str) -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, "type": kind, "speaker_id": "speaker_0", "logprob": -0.1}


def _error(status: int, code: str, message: str) -> Reply:
    detail = {"type": "api_error", "code": code, "message": message, "status": code, "request_id": uuid.uuid4().hex}
    return Reply.of({"detail": detail}, status)


def _seconds(audio: bytes) -> float:
    try:
        with av.open(io.BytesIO(audio), "r") as file:
            return float((file.duration or 0) / av.time_base)
    except av.FFmpegError:
        return 0.0


if __name__ == "__main__":
    serve(ElevenLabs)
