"""The AMQP door: raw JSON from quorum queues, admitted in batches, acknowledged after the commit."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kombu import Connection, Consumer, Exchange, Queue
from kombu.message import Message

from consumer.admission.message import Admit, AdmitResult, IncomingMessage
from consumer.failpoints import failpoint
from consumer.ledger.database import is_ledger_fault
from consumer.ledger.due import Waker
from consumer.logs import logger
from consumer.wakeups import lenient_amqp
from consumer.wakeups.queues import DEAD_EXCHANGE, dead_queue
from schemas.backoff import backoff
from schemas.content_encoding import declared_encoding

log = logger(__name__)

HEARTBEAT_SECONDS = 30
#: A session that lasted longer resets the backoff of reconnecting.
_STABLE_SECONDS = 10
#: A message that comes after a pause does not wait for others, only for those that have arrived with it.
_TOGETHER_SECONDS = 0.001
_FIRST_RECONNECT_SECONDS = 0.5
_LONGEST_RECONNECT_SECONDS = 15.0
_FIRST_RETRY_SECONDS = 0.2
_LONGEST_RETRY_SECONDS = 5.0


def request_queue(name: str, *, delivery_limit: int) -> Queue:
    """Return a request queue: a quorum queue with a delivery limit and a dead-letter queue."""
    return Queue(
        name,
        # An exchange of our own, because kombu would replace the default exchange by Celery's. Producers may still
        # publish to the broker's default exchange, with the queue's name as routing key.
        Exchange("telecine.requests", type="topic", durable=True),
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": delivery_limit,
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            "x-dead-letter-routing-key": dead_queue(name),
            # At-least-once dead-lettering requires reject-publish as the overflow behaviour.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def dead_letter_queue(name: str) -> Queue:
    """Return the dead-letter queue of a request queue.

    Declare it first: an exchange without a bound queue silently drops messages.
    """
    return Queue(
        dead_queue(name),
        Exchange(DEAD_EXCHANGE, type="topic", durable=True),
        routing_key=dead_queue(name),
        durable=True,
        queue_arguments={"x-queue-type": "quorum"},
    )


class AmqpDoor:
    """Reads request queues until it is stopped. Reconnects after errors.

    While the ledger is unavailable, it keeps its messages unacknowledged and reads no more than the prefetch limit.
    After a crash before the acknowledgement, the broker delivers the messages again, as duplicates.
    """

    def __init__(
        self,
        url: str,
        queues: Sequence[str],
        admit: Admit,
        wake: Waker,
        *,
        batch: int,
        batch_seconds: float,
        delivery_limit: int,
    ) -> None:
        self._url = url
        self._queues = queues
        self._admit = admit
        self._wake = wake
        self._batch = batch
        self._batch_seconds = batch_seconds
        self._delivery_limit = delivery_limit
        self._stopped = threading.Event()
        #: Received messages, each with the name of its queue.
        self._pending: list[tuple[str, Message]] = []
        #: When the last batch was admitted, on this process's clock.
        self._last_batch = 0.0
        self.connected = False

    def run(self) -> None:
        """Read messages until ``stop``."""
        failures = 0
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                self._session()
            except Exception as error:
                # Connection lost or refused: the broker delivers unacknowledged messages again.
                log.warning("amqp_disconnected", reason=f"{type(error).__name__}: {error}"[:200])
            finally:
                self.connected = False
            failures = 0 if time.monotonic() - started > _STABLE_SECONDS else failures + 1
            self._stopped.wait(backoff(failures, _FIRST_RECONNECT_SECONDS, _LONGEST_RECONNECT_SECONDS))

    def stop(self) -> None:
        """Make ``run`` return soon. Unacknowledged messages go back to their queues."""
        self._stopped.set()

    def _session(self) -> None:
        lenient_amqp.install()
        with Connection(self._url, heartbeat=HEARTBEAT_SECONDS, connect_timeout=5) as connection:
            connection.connect()
            channel = connection.channel()
            declare(channel, self._queues, delivery_limit=self._delivery_limit)
            # Unchanged bytes: admission undoes the content encoding, within the size limit.
            channel.auto_decode = False  # type: ignore[attr-defined]
            self._pending.clear()
            with contextlib.ExitStack() as consumers:
                for name in self._queues:
                    consumers.enter_context(self._consumer(channel, name))
                self.connected = True
                log.info("amqp_connected", queues=list(self._queues))
                beat = time.monotonic()
                while not self._stopped.is_set():
                    self._collect(connection)
                    if self._pending:
                        batch = self._pending[: self._batch]
                        del self._pending[: self._batch]
                        self._take(connection, batch)
                    if time.monotonic() - beat > 10:
                        connection.heartbeat_check()
                        beat = time.monotonic()

    def _consumer(self, channel: Any, name: str) -> Consumer:
        """Return a consumer for one queue: messages contain their routing key, but not the queue they were in."""

        def received(message: Message) -> None:
            self._pending.append((name, message))

        queue = request_queue(name, delivery_limit=self._delivery_limit)
        return Consumer(channel, [queue], on_message=received, prefetch_count=self._batch * 2, auto_declare=False)

    def _collect(self, connection: Connection) -> None:
        """Wait for a first message, then up to ``batch_seconds`` for a full batch, unless there was a pause before."""
        deadline = time.monotonic() + (0.5 if not self._pending else self._batch_seconds)
        while len(self._pending) < self._batch and not self._stopped.is_set():
            had = len(self._pending)
            now = time.monotonic()
            is_after_pause = bool(had) and now - self._last_batch > self._batch_seconds
            try:
                connection.drain_events(timeout=_TOGETHER_SECONDS if is_after_pause else max(0.001, deadline - now))
            except TimeoutError:
                return
            if not had and self._pending:
                deadline = time.monotonic() + self._batch_seconds
            if time.monotonic() >= deadline:
                return

    def _take(self, connection: Connection, batch: Sequence[tuple[str, Message]]) -> None:
        incoming = [_to_incoming_message(queue, message) for queue, message in batch]
        results = self._admit_when_ledger_is_up(connection, incoming)
        self._last_batch = time.monotonic()
        if results is None:
            return
        self._acknowledge([message for _, message in batch], results)
        failpoint("door.acknowledged")
        self._wake([result.wake for result in results if result.wake is not None])

    def _admit_when_ledger_is_up(
        self, connection: Connection, messages: Sequence[IncomingMessage]
    ) -> Sequence[AdmitResult] | None:
        """Admit the messages; while the ledger is unavailable, keep them and retry. ``None`` after ``stop``.

        Messages that are returned to the broker instead would use up their delivery limit.
        """
        failures = 0
        while not self._stopped.is_set():
            try:
                return self._admit(messages)
            except Exception as error:
                if not is_ledger_fault(error):
                    raise
                log.warning("ledger_unavailable", messages=len(messages), reason=type(error).__name__)
                self._wait(connection, backoff(failures, _FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS))
                failures += 1
        return None

    def _wait(self, connection: Connection, seconds: float) -> None:
        """Wait, and keep reading from the broker: its heartbeats, and messages up to the prefetch limit.

        Unread heartbeats count as missed, and a connection lost for that costs every message a delivery attempt.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=min(left, 0.5))
            connection.heartbeat_check()

    def _acknowledge(self, batch: Sequence[Message], results: Sequence[AdmitResult]) -> None:
        """Reject dead letters one by one, then acknowledge all others with one frame."""
        accepted: Message | None = None
        for message, result in zip(batch, results, strict=True):
            if result.error is not None:
                message.reject(requeue=False)
            else:
                accepted = message
        if accepted is not None:
            accepted.ack(multiple=True)


def declare(channel: Any, queues: Sequence[str], *, delivery_limit: int) -> None:
    """Declare the request queues and their dead-letter queues. Idempotent."""
    for name in queues:
        dead_letter_queue(name)(channel).declare()
        request_queue(name, delivery_limit=delivery_limit)(channel).declare()


def _to_incoming_message(queue: str, message: Message) -> IncomingMessage:
    body = message.body
    raw = body.tobytes() if isinstance(body, memoryview) else body if isinstance(body, bytes) else str(body).encode()
    info: Mapping[str, Any] = message.delivery_info or {}
    headers = {str(name): _plain(value) for name, value in (message.headers or {}).items()}
    if message.content_type:
        headers["content-type"] = str(message.content_type)
    if declared_encoding({"content-encoding": message.content_encoding or ""}) is not None:
        headers["content-encoding"] = str(message.content_encoding)
    routing_key = str(info.get("routing_key") or "")
    if routing_key != queue:
        headers["amqp-routing-key"] = routing_key  # helps to find the producer of a dead letter
    return IncomingMessage(raw, "amqp", queue, headers)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dt.datetime):  # AMQP timestamps are UTC, without a zone
        return value.replace(tzinfo=dt.UTC).isoformat()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
