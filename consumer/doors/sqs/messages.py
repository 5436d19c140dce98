"""Records of SQS queues and messages, and the conversions from and to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from consumer.admission.message import IncomingMessage
from schemas.errors import TelecineError

#: Message attributes that are added to a copy in the dead-letter queue.
CODE, REASON = "telecine-code", "telecine-reason"
#: SQS's limit per message.
MAX_ATTRIBUTES = 10
_REASON_CHARACTERS = 500
#: Characters that SQS rejects, https://www.w3.org/TR/REC-xml/#charsets.
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_AWS_HOST = re.compile(
    r"https?://(?:[^/]*\.)?sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/|https?://([a-z0-9-]+)\.queue\."
)


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """An existing queue."""

    #: Without account and host, even if the settings contain a URL.
    name: str
    url: str
    #: ``None``: the region of the AWS chain.
    region: str | None = None

    @property
    def fifo(self) -> bool:
        """Whether this is a FIFO queue."""
        return self.name.endswith(".fifo")


@dataclass(frozen=True, slots=True)
class SqsMessage:
    """One received message."""

    queue: SqsQueue
    id: str
    #: Identifies this delivery in delete and visibility requests.
    receipt_handle: str
    body: str
    #: In SQS's form: ``{"ce-id": {"DataType": "String", "StringValue": "…"}}``.
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Message group of a FIFO queue or fair queue.
    group: str | None = None
    receive_count: int = 1


def queue_name(queue: str) -> str:
    """Return the name of a queue that is given by URL or by name."""
    return queue.rstrip("/").rpartition("/")[2]


def queue_region(url: str) -> str | None:
    """Return the region in an AWS queue URL; ``None`` for other hosts."""
    found = _AWS_HOST.match(url)
    return (found[1] or found[2]) if found else None


def parse_received(queue: SqsQueue, raw: Mapping[str, Any]) -> SqsMessage:
    """Parse a message from the response to ``ReceiveMessage``."""
    system = raw.get("Attributes") or {}
    count = str(system.get("ApproximateReceiveCount", "1"))
    return SqsMessage(
        queue=queue,
        id=str(raw.get("MessageId", "")),
        receipt_handle=str(raw["ReceiptHandle"]),
        body=str(raw.get("Body", "")),
        attributes=raw.get("MessageAttributes") or {},
        group=system.get("MessageGroupId"),
        receive_count=int(count) if count.isdigit() else 1,
    )


def to_incoming_message(message: SqsMessage) -> IncomingMessage:
    """Convert to the form that admission takes, with the message attributes as headers."""
    # The bytes of a lone surrogate are invalid UTF-8, so admission rejects them like those from any other door.
    body = message.body.encode("utf-8", "surrogatepass")
    headers = {name: _text(value) for name, value in message.attributes.items()}
    return IncomingMessage(body, "sqs", message.queue.name, headers)


def dead_letter_attributes(message: SqsMessage, error: TelecineError) -> dict[str, Any]:
    """Return the attributes for a copy in the dead-letter queue: the original's, then the error's code and message.

    SQS allows ten. If one is left, it contains both; if none is left, the error is only in the ledger.
    """
    kept = {name: _sendable(value) for name, value in message.attributes.items() if name not in (CODE, REASON)}
    reason = _FORBIDDEN.sub("\ufffd", error.message)[:_REASON_CHARACTERS] or error.code
    room = MAX_ATTRIBUTES - len(kept)
    if room >= 2:
        kept |= {CODE: _string(error.code), REASON: _string(reason)}
    elif room == 1:
        kept[REASON] = _string(f"{error.code}: {reason}")
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
