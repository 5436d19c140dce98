"""Celery's message consumer, restricted to wake-ups and hardened against messages that would end the worker.

For Celery 5.7 (https://github.com/celery/celery/issues/7975). Anyone who may send requests may also publish to the
wake-up queues. Celery's own task handler lets exceptions from malformed headers escape, which ends the consumer loop
and with it the worker: the broker redelivers the message to the next worker, which ends too.
``tests/unit/test_upstream_faults.py`` fails when Celery handles such messages itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from celery.worker.consumer import Consumer

from consumer.logs import logger
from consumer.wakeups.connection import worker_connection
from consumer.wakeups.queues import ADVANCE

log = logger(__name__)

#: What Celery raises for a message that does not have the form it expects.
_MESSAGE_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: The headers of Celery's protocol that a wake-up needs. Malformed times, limits and stamps end the worker, and an eta
#: in the distant future occupies a slot: delays are the ledger's business.
_HEADERS = ("lang", "task", "id", "root_id", "parent_id", "origin", "argsrepr", "kwargsrepr")


class WakeUpConsumer(Consumer):
    """Celery's consumer, which survives any message, without native delayed delivery.

    Delayed delivery would declare 28 queues that Telecine does not use.
    """

    connection_errors: tuple[type[BaseException], ...]

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]
        """Celery's start-up steps without delayed delivery."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if "DelayedDelivery" not in str(step)
        ]

    def on_ready(self) -> None:
        """Record that the worker is connected; Celery calls this after each connection, when it starts to consume."""
        super().on_ready()
        worker_connection.change(connected=True)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Record that the worker is not connected."""
        worker_connection.change(connected=False)
        super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Record that the worker is no longer connected."""
        worker_connection.change(connected=False)
        super().on_connection_error_after_connected(exc)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Return Celery's handler, wrapped: messages that are not wake-ups are logged and rejected."""
        handle = super().create_task_handler(*args, **options)

        def handle_wake_up(message: Any) -> None:
            try:
                message.headers = _wake_up_headers(message.headers)
                handle(message)
            except _MESSAGE_FAULTS as error:
                queue = (message.delivery_info or {}).get("routing_key")
                log.warning("wakeup_unreadable", queue=queue, reason=repr(error))
                if not message.acknowledged:
                    message.reject_log_error(log, self.connection_errors)

        return handle_wake_up


def _wake_up_headers(headers: Any) -> dict[str, str]:
    """Return only those headers that a wake-up needs.

    Raises:
        ValueError: The message is not a wake-up.
    """
    if not isinstance(headers, dict) or headers.get("task") != ADVANCE or not isinstance(headers.get("id"), str):
        raise ValueError("not a wake-up")
    return {name: headers[name] for name in _HEADERS if isinstance(headers.get(name), str)}
