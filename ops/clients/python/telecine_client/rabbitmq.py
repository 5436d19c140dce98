"""Sends requests to RabbitMQ, with publisher confirms."""

from __future__ import annotations

import threading
from typing import Any

from telecine_client.door import Door, extra
from telecine_client.errors import SendError


class RabbitMQ(Door):
    """The request queue on RabbitMQ. Threads may share it; after a fork, make another one."""

    def __init__(self, url: str = "amqp://guest:guest@127.0.0.1:5672/%2F", *, queue: str = "telecine.requests") -> None:
        self._pika = extra("pika", "rabbitmq")
        self._parameters = self._pika.URLParameters(url)
        self._queue = queue
        self._lock = threading.Lock()
        self._connection: Any = None
        self._channel: Any = None

    def close(self) -> None:
        """Close the connection. The next message opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_open:
            connection.close()

    def _send(self, body: bytes, name: str) -> None:
        errors = self._pika.exceptions
        with self._lock:
            try:
                try:
                    self._publish(body)
                except (errors.AMQPConnectionError, errors.AMQPChannelError):
                    # It was closed while it was not used. A second copy of the request would be absorbed by its id.
                    self.close()
                    self._publish(body)
            except errors.UnroutableError:
                raise SendError(
                    f"RabbitMQ has no queue {self._queue!r}; Telecine declares it when it first starts", "unroutable"
                ) from None
            except errors.NackError:
                raise SendError("RabbitMQ refused the message: the queue may be full", "refused_by_broker") from None
            except (errors.AMQPError, OSError) as error:
                self.close()
                reason = str(error) or type(error).__name__
                raise SendError(f"RabbitMQ at {self._parameters.host}:{self._parameters.port}: {reason}") from error

    def _publish(self, body: bytes) -> None:
        if self._connection is None or not self._connection.is_open:
            self._connection = self._pika.BlockingConnection(self._parameters)
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        properties = self._pika.BasicProperties(content_type="application/json", delivery_mode=2)
        # With confirms this waits, and raises if no queue took the message.
        self._channel.basic_publish("", self._queue, body, properties, mandatory=True)
