"""A row of ``calls`` as a record, with the stored forms of its task, result and error.

The stored keys are fixed, because two versions of Telecine may work on one ledger during an update.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from sqlalchemy.engine import RowMapping

from consumer.ledger.call_request import CallSpec, Candidate
from consumer.ledger.states import SETTLED, CallState
from consumer.logs import logger

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class CallTask:
    """The task at the provider."""

    id: str
    #: Further text that polling needs. No secrets.
    extra: Mapping[str, str] = field(default_factory=dict)
    #: Whether an operator gave the id.
    adopted: bool = False

    def to_stored(self) -> dict[str, Any]:
        """Return the task as JSON. The id comes first: ``call_resolution.adopt`` searches for it by prefix."""
        record: dict[str, Any] = {"id": self.id, "extra": dict(self.extra)}
        return {**record, "adopted": True} if self.adopted else record

    @classmethod
    def from_stored(cls, record: Mapping[str, Any]) -> Self:
        """Parse a stored task."""
        return cls(record["id"], record.get("extra") or {}, bool(record.get("adopted")))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderResult:
    """What the provider returned, until it is stored. The URL is a secret; settled calls do not keep it."""

    url: str | None = None
    #: Further files of the output, to be tried after ``url``.
    other_urls: Sequence[str] = ()
    #: The file itself, where the response contained it.
    content: bytes | None = None
    value: Any = None
    #: Cost in US dollars as reported by the provider.
    price: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_stored(self) -> dict[str, Any]:
        """Return the result as JSON."""
        record: dict[str, Any] = {"url": self.url, "value": self.value, "price": self.price}
        record["details"] = dict(self.details)
        if self.other_urls:
            record["other_urls"] = list(self.other_urls)
        return record if self.content is None else {**record, "content": base64.b64encode(self.content).decode()}

    @classmethod
    def from_stored(cls, record: Mapping[str, Any]) -> Self:
        """Parse a stored result."""
        content = record.get("content")
        return cls(
            url=record.get("url"),
            other_urls=record.get("other_urls") or (),
            content=None if content is None else base64.b64decode(content),
            value=record.get("value"),
            price=record.get("price"),
            details=record.get("details") or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """The result of a call that is done, as the pipeline gets it."""

    model: str
    provider: str
    #: The stored file as JSON.
    artifact: Mapping[str, Any] | None = None
    value: Any = None
    #: Version, seed, title and so on.
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_stored(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "model": self.model,
            "provider": self.provider,
            "artifact": None if self.artifact is None else dict(self.artifact),
            "value": self.value,
            "details": dict(self.details),
        }

    @classmethod
    def from_stored(cls, record: Mapping[str, Any]) -> Self:
        """Parse a stored result."""
        return cls(
            model=record["model"],
            provider=record["provider"],
            artifact=record.get("artifact"),
            value=record.get("value"),
            details=record.get("details") or {},
        )


@dataclass(frozen=True, slots=True)
class CallError:
    """Why a call failed: the code, the message and the request's field of a ``TelecineError``."""

    code: str
    message: str
    field: str | None = None

    @classmethod
    def from_stored(cls, record: Mapping[str, Any]) -> Self:
        """Parse the record of an error, ``TelecineError.as_record``."""
        return cls(record["code"], record["message"], record.get("field"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """A row of ``calls``."""

    #: The key, which is also the caller's reference at the provider.
    id: str
    job_id: str
    step: str
    attempt: int
    provider: str
    model: str
    tenant: str
    urgency: int
    state: CallState
    spec: CallSpec
    task: CallTask | None
    due_at: float | None
    lease_until: float | None
    lease_owner: str | None
    epoch: int
    queued_at: float
    submitted_at: float | None
    finished_at: float | None
    give_up_at: float | None
    polls: int
    failures: int
    cancel_requested: bool
    #: Millionths of a US dollar.
    reserved: int
    spent: int
    #: Set while the result is being fetched.
    provider_result: ProviderResult | None
    #: Set when the call is done.
    result: CallResult | None
    error: CallError | None

    @property
    def settled(self) -> bool:
        """Whether the call has ended."""
        return self.state in SETTLED

    @property
    def artifact_names(self) -> list[str]:
        """Names of the files in the result."""
        artifact = None if self.result is None else self.result.artifact
        return [] if artifact is None else [artifact["name"]]

    @property
    def candidate(self) -> Candidate:
        """The model that is called."""
        return self.spec.candidates[0]


#: The fields that are a column of the same name and form.
_PLAIN = frozenset(CallRow.__slots__) - {
    "state",
    "spec",
    "task",
    "cancel_requested",
    "provider_result",
    "result",
    "error",
}


class UnknownForm(ValueError):
    """A newer version of Telecine stored a call in a form that this one cannot read."""


def lock_order(call: CallRow) -> tuple[str, str]:
    """Return the key by which transactions with many calls lock their rows, so that none waits for another's."""
    return call.job_id, call.id


def call_from(row: RowMapping | Mapping[str, Any]) -> CallRow:
    """Parse a row of ``calls``. The column ``result`` holds a ``CallResult`` once the call is done.

    Raises:
        UnknownForm: This version cannot read it.
    """
    try:
        return _parsed(row)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnknownForm(f"{type(error).__name__}: {error}") from error


def read_calls(rows: Iterable[RowMapping]) -> tuple[list[CallRow], list[str]]:
    """Return the calls that this version can read, and the ids of those that a newer version stored."""
    readable: list[CallRow] = []
    others: list[str] = []
    for row in rows:
        try:
            readable.append(call_from(row))
        except UnknownForm as error:
            log.warning("call_of_newer_version", key=row["id"], reason=str(error))
            others.append(row["id"])
    return readable, others


def _parsed(row: RowMapping | Mapping[str, Any]) -> CallRow:
    state = CallState(row["state"])
    task, result, error = (None if row[name] is None else json.loads(row[name]) for name in ("task", "result", "error"))
    done = state is CallState.DONE
    return CallRow(
        state=state,
        spec=CallSpec.from_stored(json.loads(row["request"])),
        task=None if task is None else CallTask.from_stored(task),
        cancel_requested=bool(row["cancel_requested"]),
        provider_result=None if done or result is None else ProviderResult.from_stored(result),
        result=CallResult.from_stored(result) if done and result is not None else None,
        error=None if error is None else CallError.from_stored(error),
        **{name: row[name] for name in _PLAIN},
    )
