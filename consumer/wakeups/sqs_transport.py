"""kombu's SQS transport, made to outlive a fault of SQS.

kombu 5.7 reads a queue in a chain: each answer asks for the next. An answer that is a fault — a server error,
throttling, keys that ran out — breaks the chain, and the worker never reads that queue again while it looks well.
Here a broken chain is begun anew after a while.

A message that Celery cannot read breaks the chain too, hides those that were received with it, and keeps its place
among the few messages that a worker may hold: a handful of them, and the worker reads nothing any more. Here such a
message is deleted and told of.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kombu.transport import SQS
from vine import promise

from consumer.logs import logger

log = logger(__name__)

AGAIN_SECONDS = 2.0


_Channel: Any = SQS.Channel


class Channel(_Channel):  # type: ignore[misc]
    """Reads on after a fault, and past what it cannot read."""

    def _schedule_queue(self, queue: str) -> None:
        if queue not in self._active_queues:
            return
        if not self.qos.can_consume():
            self._loop1(queue)
            return
        try:
            self._get_bulk_async(queue, callback=promise(self._loop1, (queue,), on_error=self._failed))
        except Exception as error:
            self._failed(queue, error)

    def _failed(self, queue: str, error: Exception) -> None:
        log.warning("wake_ups_not_read", queue=queue, reason=type(error).__name__)
        self._sqs = self._asynsqs = None  # the keys may be the reason, and may have been renewed
        self.hub.call_later(AGAIN_SECONDS, self._schedule_queue, queue)

    def _on_messages_ready(self, queue: str, qname: str, messages: Mapping[str, Any]) -> int:
        found = messages.get("Messages") or []
        for message in found:
            # One at a time: what cannot be read is in nobody's way.
            try:
                super()._on_messages_ready(queue, qname, {"Messages": [message]})
            except Exception as error:
                self._give_up(queue, qname, message, error)
        return len(found)

    def _give_up(self, queue: str, qname: str, message: Mapping[str, Any], error: Exception) -> None:
        """Deletes a message that raised, and frees its place; the sweep sends again what was a wake-up."""
        log.warning("wake_up_unreadable", queue=qname, message_id=message.get("MessageId"), reason=type(error).__name__)
        with suppress(KeyError):
            self.qos.get(message["ReceiptHandle"])  # does it hold a place?
            self.qos.ack(message["ReceiptHandle"])
        try:
            self.sqs(queue=qname).delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        except Exception as fault:
            # It comes again when it is visible again.
            log.warning("wake_up_not_deleted", queue=qname, reason=type(fault).__name__)


class Transport(SQS.Transport):
    """With the channel above."""

    Channel = Channel
