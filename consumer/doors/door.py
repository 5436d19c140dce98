"""What a door hands over: bytes and headers, and where they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from consumer.ledger.due import Wake
from schemas.errors import TelecineError


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message, as it came."""

    body: bytes
    #: ``amqp``, ``sqs``, ``inbox``, or ``replay``.
    door: str
    #: The name of the queue or folder that it was taken from: tenants and priorities go by it.
    source: str
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one arrival. At most one of the two is set: none for a duplicate, an event, a control message."""

    wake: Wake | None = None
    refused: TelecineError | None = None


#: Admits a batch; when it returns, the ledger has committed. Never raises for what a message holds.
Admit = Callable[[Sequence[Arrival]], Sequence[Answer]]


class Door(Protocol):
    """A source of requests."""

    def run(self) -> None:
        """Takes messages until ``stop`` is called. Survives whatever a message or its broker does."""
        ...

    def stop(self) -> None:
        """Makes ``run`` return soon; called from another thread."""
        ...
