"""What is sent to Replicate, written so that a prediction can be told to be ours when it is seen in the list.

The API has no field for a caller's reference, and of a prediction its list shows only the ``input``; a webhook's URL
is not shown. So the call's key has to stand in the input, where it does no harm to the model:

- The URL of each media input gets the fragment ``#telecine-KEY``. A fragment is sent to no server, so the presigned
  URL stays valid, and it is listed as it was given.
- A model that takes a ``seed``, asked without one, gets a seed made from the key.

Two calls of the same image differ in both. A call that has neither looks like any other with the same words: then
``Kin.MAYBE`` says that nobody can tell, and a person decides.
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


class Kin(enum.Enum):
    """How a listed prediction stands to a call."""

    OURS = enum.auto()
    #: It could be: the same model and words without a mark, or its input is removed.
    MAYBE = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True, slots=True)
class Wish:
    """The body of a prediction's creation."""

    #: A version, ``owner/name:version``, or ``owner/name`` of an official model.
    version: str
    input: Mapping[str, Any]
    #: Names in ``input`` whose value is a marked URL.
    media: frozenset[str]
    #: Whether the seed is made from the key.
    seeded: bool


def wish_for(call: Call) -> Wish:
    """What the call sends: the same for the same call, however often it is made.

    Raises:
        ProviderNotConfigured: the catalogue's entry names no model of Replicate.
    """
    model = call.model
    version = model.remote or model.id
    if _REMOTE.match(version) is None:
        raise ProviderNotConfigured(
            f"model {model.id}: remote must be owner/name, owner/name:version or a version of 64 hexadecimal digits"
        )
    body = {model.names.get(name, name): value for name, value in call.parameters.items()}
    seed = model.parameters.get("seed")
    fits = seed is not None and (seed.maximum is None or seed.maximum >= _LARGEST_SEED)
    seeded = fits and "seed" not in call.parameters
    if seeded:
        body[model.names.get("seed", "seed")] = int(call.key[:8], 16) & _LARGEST_SEED
    media = {model.names.get(name, name): file.url for name, file in call.inputs.items()}
    marked = {name: f"{url.partition('#')[0]}#telecine-{call.key}" for name, url in media.items()}
    return Wish(version, body | marked, frozenset(marked), seeded)


def kin(call: Call, wish: Wish, prediction: Mapping[str, Any]) -> Kin:
    """Whether a prediction of the list is this call's."""
    given = prediction.get("input")
    given = given if isinstance(given, Mapping) else {}
    marks = {found[1] for value in given.values() if isinstance(value, str) and (found := _MARK.search(value))}
    if marks:
        return Kin.OURS if call.key in marks else Kin.OTHER
    if not _same_model(wish.version, prediction):
        return Kin.OTHER
    if prediction.get("data_removed") is True:
        return Kin.MAYBE
    # Should the API ever list media URLs otherwise than they were given, what is left still tells.
    if any(given.get(name) != value for name, value in wish.input.items() if name not in wish.media):
        return Kin.OTHER
    return Kin.OURS if wish.seeded else Kin.MAYBE


def _same_model(version: str, prediction: Mapping[str, Any]) -> bool:
    found = _REMOTE.match(version)
    assert found is not None
    name, exact = found[1], found[2] or found[3]
    return prediction.get("version") == exact if exact else prediction.get("model") == name
