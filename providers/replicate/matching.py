"""Build the body of a prediction so that it can be recognized in Replicate's list, and recognize it there.

The API has no field for a caller's reference, and its list shows a prediction's ``input`` but not its webhook. The
call's key is therefore embedded in the input, where it does not affect the model:

- The URL of each media input gets the fragment ``#telecine-KEY``. Fragments are not sent to servers, so the presigned
  URL stays valid, and the list shows the URL as submitted.
- A model with a ``seed`` parameter that the request leaves out gets a seed derived from the key.

Two calls with the same image differ in both. A call with neither is indistinguishable from other calls with the same
input: ``Match.MAYBE`` leaves the decision to an operator.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.base import Call
from schemas.errors import ProviderNotConfigured

_MARK = re.compile(r"#telecine-([0-9a-f]{32})\Z")
_REMOTE = re.compile(r"(?:([\w.-]+/[\w.-]+)(?::([0-9a-f]{64}))?|([0-9a-f]{64}))\Z", re.ASCII)
_LARGEST_SEED = 2**31 - 1


class Match(enum.Enum):
    """Whether a listed prediction belongs to a call."""

    OURS = enum.auto()
    #: Possibly: the same model and input without a mark, or Replicate has removed the input.
    MAYBE = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True, slots=True)
class PredictionBody:
    """The body of the request that creates a prediction."""

    #: A version, ``owner/name:version``, or ``owner/name`` of an official model.
    version: str
    input: Mapping[str, Any]
    #: Names in ``input`` whose value is a URL with the call's key in its fragment.
    media: frozenset[str]
    #: Whether the seed is derived from the key.
    seeded: bool


def prediction_body(call: Call) -> PredictionBody:
    """Return the body that the call sends. Deterministic: the same call always gives the same body.

    Raises:
        ProviderNotConfigured: ``remote`` of the catalogue's entry is not a Replicate model.
    """
    model = call.model
    version = model.remote or model.id
    if _REMOTE.match(version) is None:
        raise ProviderNotConfigured(
            f"model {model.id}: remote must be owner/name, owner/name:version or a version of 64 hexadecimal digits"
        )
    body = model.sent(call.parameters)
    seed = model.parameters.get("seed")
    fits = seed is not None and (seed.maximum is None or seed.maximum >= _LARGEST_SEED)
    seeded = fits and "seed" not in call.parameters
    if seeded:
        body[model.names.get("seed", "seed")] = int(call.key[:8], 16) & _LARGEST_SEED
    media = {model.names.get(name, name): file.url for name, file in call.inputs.items()}
    marked = {name: f"{url.partition('#')[0]}#telecine-{call.key}" for name, url in media.items()}
    return PredictionBody(version, body | marked, frozenset(marked), seeded)


def match_prediction(call: Call, body: PredictionBody, prediction: Mapping[str, Any]) -> Match:
    """Return whether a listed prediction belongs to this call."""
    given = prediction.get("input")
    given = given if isinstance(given, Mapping) else {}
    marks = {found[1] for value in given.values() if isinstance(value, str) and (found := _MARK.search(value))}
    if marks:
        return Match.OURS if call.key in marks else Match.OTHER
    if not _same_model(body.version, prediction):
        return Match.OTHER
    if prediction.get("data_removed") is True:
        return Match.MAYBE
    # Media URLs are not compared, in case the API ever lists them in another form than submitted.
    if any(given.get(name) != value for name, value in body.input.items() if name not in body.media):
        return Match.OTHER
    return Match.OURS if body.seeded else Match.MAYBE


def _same_model(version: str, prediction: Mapping[str, Any]) -> bool:
    found = _REMOTE.match(version)
    assert found is not None
    name, exact = found[1], found[2] or found[3]
    return prediction.get("version") == exact if exact else prediction.get("model") == name
