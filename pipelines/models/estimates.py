"""Estimated time and price of remote model calls, for plans. No call is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.models.alignment import ALIGNER, CAPTIONS, TRANSCRIBER
from providers.catalogue import Catalogue, Model, billable_seconds
from schemas.errors import UnknownModel
from schemas.lyrics import AlignmentMode
from schemas.money import format_micros

#: Used if the catalogue gives no time. Providers report one to three minutes for a video.
_USUAL_SECONDS = 60.0
#: Seconds that local alignment takes for each second of audio, measured on two cores.
_LOCAL_ALIGNMENT = 0.1


@dataclass(frozen=True, slots=True)
class Estimate:
    """Time and price of one or more calls."""

    #: From the first submission to the last result.
    seconds: float = 0.0
    #: Millionths of a US dollar; ``None`` if a price is unknown.
    micros: int | None = 0

    @property
    def cost(self) -> dict[str, str]:
        """The price as in plans and callbacks, without an amount if it is unknown."""
        return ({} if self.micros is None else {"amount": format_micros(self.micros)}) | {"currency": "USD"}

    def __add__(self, other: Estimate) -> Estimate:
        unknown = self.micros is None or other.micros is None
        return Estimate(self.seconds + other.seconds, None if unknown else (self.micros or 0) + (other.micros or 0))


def estimate(model: Model, parameters: Mapping[str, Any], seconds: float | None = None) -> Estimate:
    """Estimate one call. ``seconds`` is the length of the media, if no parameter gives it."""
    work = model.usual_seconds or (_USUAL_SECONDS if model.first_wait_seconds else 0.0)
    usual = max(model.first_wait_seconds + model.poll_seconds, work)
    return Estimate(usual, model.cost(billable_seconds(parameters, seconds), parameters))


def alignment_estimate(mode: AlignmentMode, lyrics: str, seconds: float, catalogue: Catalogue) -> Estimate:
    """Estimate the timing of the words. It is zero with ``even``, and if the model does not exist."""
    if mode == "even":
        return Estimate()
    if mode == "local":
        return Estimate(round(1.0 + _LOCAL_ALIGNMENT * seconds, 1))
    return helper_estimate(
        [ALIGNER if mode == "auto" and lyrics.strip() else TRANSCRIBER], CAPTIONS, seconds, catalogue
    )


def helper_estimate(names: Sequence[str], job_type: str, seconds: float | None, catalogue: Catalogue) -> Estimate:
    """Estimate a call of the first existing model of ``names``; zero if there is none."""
    for name in names:
        try:
            return estimate(catalogue.find(name, job_type), {}, seconds)
        except UnknownModel:
            continue
    return Estimate()
