"""kombu's SQS transport, made to outlive a fault of SQS.

kombu 5.7 reads a queue in a chain: each answer asks for the next. An answer that is a fault — a server error,
throttling, keys that ran out — breaks the chain, and the worker never reads that queue again while it looks well.
Here a broken chain is begun anew after a while.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import SQS
from vine import promise

from consumer.logs import logger

log = logger(__name__)

AGAIN_SECONDS = 2.0


_Channel: Any = SQS.Channel


class Channel(_Channel):  # type: ignore[misc]
    """Reads on after a fault."""

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


class Transport(SQS.Transport):
    """With the channel above."""

    Channel = Channel
