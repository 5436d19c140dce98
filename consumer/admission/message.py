"""The interface between doors and admission: a message goes in, its result comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumer.ledger.due import Wake
from schemas.errors import TelecineError


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """One message as a door received it."""

    body: bytes
    #: ``amqp``, ``sqs``, ``inbox``, or ``replay``.
    door: str
    #: Name of the queue or folder it was read from; tenants and default priorities are bound to it.
    source: str
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdmitResult:
    """Result for one message: a new job's wake-up, the error of a dead letter, or neither.

    Neither is set for a duplicate, a cancellation or an S3 event.
    """

    wake: Wake | None = None
    #: Why the message became a dead letter.
    error: TelecineError | None = None


#: Admits a batch and returns one result per message. The ledger has committed when it returns.
#: The content of a message never makes it raise.
Admit = Callable[[Sequence[IncomingMessage]], Sequence[AdmitResult]]
