"""Catalogue entries of ElevenLabs: transcription and forced alignment.

Prices depend on the plan, so they are 0.00 until the operator sets ``price`` in ``[[models]]``. A budget cannot limit
calls without a price.
"""

from __future__ import annotations

from providers.catalogue import Model, Parameter

_TYPES = ("audio-to-captions", "reel")

SCRIBE = Model(
    id="scribe",
    provider="elevenlabs",
    types=_TYPES,
    remote="scribe_v1",
    owned_by="elevenlabs",
    description="Transcribes speech or song, with the time of each word.",
    parameters={
        "language_code": Parameter(longest=16, description="ISO 639 code of the language. Default: detected."),
        "tag_audio_events": Parameter(kind="switch", default=False, description="Also transcribe (laughter) etc."),
    },
    timeout_seconds=600,
)

FORCED_ALIGNMENT = Model(
    id="forced-alignment",
    provider="elevenlabs",
    types=_TYPES,
    owned_by="elevenlabs",
    description="Finds the time of each word of given lyrics.",
    parameters={
        "text": Parameter(required=True, longest=100_000, description="The lyrics."),
    },
    timeout_seconds=600,
)

MODELS: tuple[Model, ...] = (FORCED_ALIGNMENT, SCRIBE)
