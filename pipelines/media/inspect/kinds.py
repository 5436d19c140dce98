"""The error for a file of an unexpected kind, in the wording of the source systems."""

from __future__ import annotations

from collections.abc import Collection

from pipelines.media.inspect.sniff import CONTENT_TYPES
from schemas.errors import InputError, InvalidAudio, InvalidImage

_NAMES = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "gif": "GIF", "mp3": "MP3", "wav": "WAV", "flac": "FLAC"}
#: The kinds that the errors' own messages speak of.
_OWN_WORDS = (frozenset(("jpeg", "png")), frozenset(("mp3", "wav", "flac")))


def wrong_kind(kind: str | None, kinds: Collection[str], *, field: str | None = None) -> InputError:
    """Return the error for a file of ``kind`` (``None``: unknown) where one of ``kinds`` is expected."""
    sound = {CONTENT_TYPES[wanted].partition("/")[0] for wanted in kinds} == {"audio"}
    error = InvalidAudio if sound else InvalidImage
    if frozenset(kinds) in _OWN_WORDS:
        return error(field=field)
    allowed = ", ".join(_NAMES.get(wanted, wanted.upper()) for wanted in kinds)
    got = "an unknown format" if kind is None else CONTENT_TYPES[kind]
    return error(f"Invalid {'audio' if sound else 'image'} file type. Allowed: {allowed}. Got: {got}", field=field)
