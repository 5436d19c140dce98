"""What a vendor answered, as the ledger holds it, and back again."""

from __future__ import annotations

import base64
import decimal
import json
from typing import Any

from consumer.ledger.call_claims import ClaimedCall
from providers.base import Ready, TaskRef


def price_told(turn: ClaimedCall) -> int:
    """What the provider says that the call cost, in millionths of a US dollar; else what was set aside for it."""
    told = (turn.call.result or {}).get("price")
    try:
        micros = int(decimal.Decimal(str(told)) * 1_000_000)
    except (decimal.InvalidOperation, ValueError, OverflowError):  # nothing was told, or no number
        return turn.call.reserved
    return micros if 0 <= micros < 2**63 else turn.call.reserved


def as_record(answer: Ready) -> dict[str, Any]:
    told = {"url": answer.url, "value": answer.value, "price": answer.price, "details": dict(answer.details)}
    if answer.content is not None:
        told["content"] = base64.b64encode(answer.content).decode()
    return _plain(told)


def as_task(found: TaskRef) -> dict[str, Any]:
    return _plain({"id": found.id, "extra": dict(found.extra)})


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """What a vendor said, as any ledger and any file can hold it."""
    text = json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "replace")
    plain: dict[str, Any] = json.loads(text)
    return plain


def task_of(turn: ClaimedCall) -> TaskRef:
    assert turn.call.task is not None
    return TaskRef(turn.call.task["id"], turn.call.task.get("extra") or {})
