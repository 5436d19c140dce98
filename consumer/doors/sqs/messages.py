"""What the SQS door reads: queues, messages, and the copies of refused ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from consumer.admission.message import IncomingMessage
from schemas.errors import TelecineError

#: Message attributes of a refused message's copy in the dead-letter queue.
CODE, REASON = "telecine-code", "telecine-reason"
#: SQS takes no more.
MAX_ATTRIBUTES = 10
_REASON_CHARACTERS = 500
#: What SQS allows in a text, https://www.w3.org/TR/REC-xml/#charsets.
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_AWS_HOST = re.compile(
    r"https?://(?:[^/]*\.)?sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/|https?://([a-z0-9-]+)\.queue\."
)


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """A queue that exists."""

    #: Without account and host, whatever the settings give.
    name: str
    url: str
    #: ``None``: the region of the AWS chain.
    region: str | None = None

    @property
    def fifo(self) -> bool:
        """Whether it keeps the order of its messages."""
        return self.name.endswith(".fifo")


@dataclass(frozen=True, slots=True)
class SqsMessage:
    """One message, as it was received."""

    queue: SqsQueue
    id: str
    #: What deletes or hides it; a new one with each receipt.
    receipt: str
    body: str
    #: As SQS gives them: ``{"ce-id": {"DataType": "String", "StringValue": "…"}}``.
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Of a FIFO queue, or of a fair one.
    group: str | None = None
    receive_count: int = 1


def name_of(queue: str) -> str:
    """The name in a queue's URL; a name is itself."""
    return queue.rstrip("/").rpartition("/")[2]


def region_of(url: str) -> str | None:
    """The region in a queue's URL; ``None`` where the host tells none."""
    found = _AWS_HOST.match(url)
    return (found[1] or found[2]) if found else None


def message_of(queue: SqsQueue, raw: Mapping[str, Any]) -> SqsMessage:
    """A message as ``ReceiveMessage`` answers it."""
    system = raw.get("Attributes") or {}
    count = str(system.get("ApproximateReceiveCount", "1"))
    return SqsMessage(
        queue=queue,
        id=str(raw.get("MessageId", "")),
        receipt=str(raw["ReceiptHandle"]),
        body=str(raw.get("Body", "")),
        attributes=raw.get("MessageAttributes") or {},
        group=system.get("MessageGroupId"),
        receive_count=int(count) if count.isdigit() else 1,
    )


def to_incoming_message(message: SqsMessage) -> IncomingMessage:
    """What the door hands over: the body's bytes, and the attributes as headers."""
    # A lone surrogate cannot be UTF-8; its bytes are refused as such, like those from any other door.
    body = message.body.encode("utf-8", "surrogatepass")
    headers = {name: _text(value) for name, value in message.attributes.items()}
    return IncomingMessage(body, "sqs", message.queue.name, headers)


def dead_letter_attributes(message: SqsMessage, error: TelecineError) -> dict[str, Any]:
    """The copy's attributes: the original's, then why it was refused, as far as there is room for ten.

    With room for one, code and message share it. The ledger has the reason in any case.
    """
    kept = {name: _sendable(value) for name, value in message.attributes.items() if name not in (CODE, REASON)}
    said = _FORBIDDEN.sub("\ufffd", error.message)[:_REASON_CHARACTERS] or error.code
    room = MAX_ATTRIBUTES - len(kept)
    if room >= 2:
        kept |= {CODE: _string(error.code), REASON: _string(said)}
    elif room == 1:
        kept[REASON] = _string(f"{error.code}: {said}")
    return kept


def _text(value: Mapping[str, Any]) -> str:
    binary = value.get("BinaryValue")
    if isinstance(binary, bytes):
        return binary.decode("utf-8", "backslashreplace")
    return str(value.get("StringValue", ""))


def _sendable(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in ("DataType", "StringValue", "BinaryValue") if value.get(name) is not None}


def _string(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}
