"""The catalogue's entries of ElevenLabs: who hears words, and when they are sung.

The vendor's prices depend on the plan, so the price of each is 0.00 until the operator writes his own into
``[[models]]``: a budget cannot stop what has no price.
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
    description="Writes down what is said or sung, with the time of each word.",
    parameters={
        "language_code": Parameter(longest=16, description="ISO 639 code of the language. Absent: it is recognised."),
        "tag_audio_events": Parameter(kind="switch", default=False, description="Write (laughter) and the like, too."),
    },
    timeout_seconds=600,
)

FORCED_ALIGNMENT = Model(
    id="forced-alignment",
    provider="elevenlabs",
    types=_TYPES,
    owned_by="elevenlabs",
    description="Finds when each word of given lyrics is heard.",
    parameters={
        "text": Parameter(required=True, longest=100_000, description="The lyrics."),
    },
    timeout_seconds=600,
)

MODELS: tuple[Model, ...] = (FORCED_ALIGNMENT, SCRIBE)
