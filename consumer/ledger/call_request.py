"""What a call asks a provider for, and its stored form in the column ``request``.

During an update two versions of Telecine work on one ledger. The stored keys are therefore fixed: where a field has
a clearer name than its key, ``to_stored`` and ``from_stored`` translate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Self

from schemas.reference import Pin

_SPEC_KEYS = frozenset({"candidates", "losers", "inputs", "wanted", "output", "fingerprint", "seconds", "type"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may serve the call, with the parameters it would be sent."""

    model: str
    provider: str
    parameters: Mapping[str, Any]

    def to_stored(self) -> dict[str, Any]:
        """Return the candidate as JSON."""
        return {"model": self.model, "provider": self.provider, "parameters": dict(self.parameters)}

    @classmethod
    def from_stored(cls, record: Mapping[str, Any]) -> Self:
        """Parse a stored candidate.

        Raises:
            ValueError: A newer version of Telecine stored it, with keys that this one does not know.
        """
        _check_keys(record, {"model", "provider", "parameters"})
        return cls(record["model"], record["provider"], record["parameters"])


@dataclass(frozen=True, slots=True)
class SkippedModel:
    """A model that was asked for but not used, and the reason."""

    model: str
    why: str

    def to_stored(self) -> dict[str, str]:
        """Return the model and the reason as JSON. Timelines and manifests contain the same form."""
        return {"model": self.model, "why": self.why}

    @classmethod
    def from_stored(cls, record: Mapping[str, str]) -> Self:
        """Parse a stored reason."""
        return cls(record["model"], record["why"])


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInput:
    """A file that is sent with the call, as the worker saw it."""

    uri: str
    content_type: str
    bytes: int
    sha256: str
    #: The version of the object that the job is about, where it is known.
    pin: Pin | None = None

    def to_stored(self) -> dict[str, Any]:
        """Return the input as JSON."""
        record = {"uri": self.uri, "content_type": self.content_type, "bytes": self.bytes, "sha256": self.sha256}
        return record if self.pin is None else {**record, "pin": self.pin.as_record()}

    @classmethod
    def from_stored(cls, record: Mapping[str, Any]) -> Self:
        """Parse a stored input."""
        return cls(
            uri=record["uri"],
            content_type=record["content_type"],
            bytes=record["bytes"],
            sha256=record["sha256"],
            pin=Pin(**record["pin"]) if "pin" in record else None,
        )


@dataclass(frozen=True, slots=True)
class CallOutput:
    """The file that the call must return."""

    #: Its name in the job's results.
    name: str
    #: The accepted kinds of content.
    kinds: Sequence[str]

    def to_stored(self) -> dict[str, Any]:
        """Return the output as JSON."""
        return {"name": self.name, "kinds": list(self.kinds)}

    @classmethod
    def from_stored(cls, record: Mapping[str, Any]) -> Self:
        """Parse a stored output."""
        return cls(str(record["name"]), record["kinds"])


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSpec:
    """What a step asks for. Self-contained, so that any engine can carry it out."""

    #: In the order of preference; never empty. The first one is called.
    candidates: Sequence[Candidate]
    skipped_models: Sequence[SkippedModel] = ()
    #: By parameter name.
    inputs: Mapping[str, CallInput]
    #: The file to store. ``None``: the result is a text or JSON value.
    output: CallOutput | None = None
    #: The folder of the job's results, as a URI that ends with a slash.
    output_folder: str
    fingerprint: str
    #: Length of the media, for prices by the second.
    media_seconds: float | None = None
    #: The job type that the models are listed under.
    type: str

    def to_stored(self) -> dict[str, Any]:
        """Return the spec as JSON."""
        return {
            "candidates": [candidate.to_stored() for candidate in self.candidates],
            "losers": [skipped.to_stored() for skipped in self.skipped_models],
            "inputs": {name: item.to_stored() for name, item in self.inputs.items()},
            "wanted": None if self.output is None else self.output.to_stored(),
            "output": self.output_folder,
            "fingerprint": self.fingerprint,
            "seconds": self.media_seconds,
            "type": self.type,
        }

    @classmethod
    def from_stored(cls, record: Mapping[str, Any]) -> Self:
        """Parse a stored spec.

        Raises:
            ValueError: A newer version of Telecine stored it, with keys that this one does not know.
        """
        _check_keys(record, _SPEC_KEYS)
        wanted = record.get("wanted")
        return cls(
            candidates=[Candidate.from_stored(item) for item in record["candidates"]],
            skipped_models=[SkippedModel.from_stored(item) for item in record.get("losers", ())],
            inputs={name: CallInput.from_stored(item) for name, item in record["inputs"].items()},
            output=None if wanted is None else CallOutput.from_stored(wanted),
            output_folder=record["output"],
            fingerprint=record["fingerprint"],
            media_seconds=record.get("seconds"),
            type=record["type"],
        )


def _check_keys(record: Mapping[str, Any], known: Set[str]) -> None:
    """Check that a paid call is not carried out without an instruction that a newer version stored."""
    if unknown := sorted(record.keys() - known):
        raise ValueError(f"a newer version of Telecine stored this call, with {', '.join(unknown)}")
