"""A patch of kombu 5.7's SQS transport (https://github.com/celery/celery/issues/8243): it stops reading after an error.

kombu polls a queue in a chain: each response schedules the next request. An error response (server error, throttling,
expired credentials) breaks the chain: the worker never polls that queue again, but looks healthy. Here polling resumes
after ``RETRY_SECONDS``.

A message that Celery cannot read breaks the chain too. The messages received with it stay invisible, and it occupies
one of the worker's few prefetch slots: after a handful of them, the worker reads nothing. Here such a message is logged
and deleted.

``tests/unit/test_upstream_faults.py`` fails when kombu handles either case itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kombu.transport import SQS
from vine import promise

from consumer.logs import logger

log = logger(__name__)
#: Delay after an error before the queue is polled again.
RETRY_SECONDS = 2.0

_Channel: Any = SQS.Channel


class Channel(_Channel):  # type: ignore[misc]
    """Resumes polling after an error, and deletes unreadable messages."""

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
        log.warning("reading_wakeups_failed", queue=queue, reason=type(error).__name__)
        self._sqs = self._asynsqs = None  # the credentials may be the reason, and may have been rotated
        self.hub.call_later(RETRY_SECONDS, self._schedule_queue, queue)

    def _on_messages_ready(self, queue: str, qname: str, messages: Mapping[str, Any]) -> int:
        found = messages.get("Messages") or []
        for message in found:
            # One at a time, so that an unreadable message does not affect the others.
            try:
                super()._on_messages_ready(queue, qname, {"Messages": [message]})
            except Exception as error:
                self._discard(queue, qname, message, error)
        return len(found)

    def _discard(self, queue: str, qname: str, message: Mapping[str, Any], error: Exception) -> None:
        """Delete an unreadable message and free its prefetch slot. If it was a wake-up, the sweep sends a new one."""
        log.warning("wakeup_unreadable", queue=qname, message_id=message.get("MessageId"), reason=type(error).__name__)
        with suppress(KeyError):
            self.qos.get(message["ReceiptHandle"])  # raises KeyError if it does not occupy a slot
            self.qos.ack(message["ReceiptHandle"])
        try:
            self.sqs(queue=qname).delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        except Exception as fault:
            # SQS delivers it again after its visibility timeout.
            log.warning("wakeup_not_deleted", queue=qname, reason=type(fault).__name__)


class Transport(SQS.Transport):
    """kombu's SQS transport with the patched channel."""

    Channel = Channel
