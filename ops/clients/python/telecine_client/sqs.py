"""Sends requests to SQS."""

from __future__ import annotations

import hashlib
from typing import Any

from telecine_client.door import Door, extra
from telecine_client.errors import SendError


class SQS(Door):
    """A request queue on SQS, by its name or URL. Region, credentials and endpoint come from the usual AWS sources.

    ``client`` is a boto3 client to use instead of a new one.
    """

    def __init__(self, queue: str = "telecine-requests", *, client: Any = None) -> None:
        self._errors = extra("botocore.exceptions", "aws")
        self._client = extra("boto3", "aws").client("sqs") if client is None else client
        self._queue = queue
        self._url = queue if "://" in queue else ""

    def _send(self, body: bytes, name: str) -> None:
        # The queue drops a second copy within five minutes, and Telecine any later one.
        once = name if len(name) <= 128 else hashlib.sha256(name.encode()).hexdigest()
        fifo = {"MessageGroupId": once, "MessageDeduplicationId": once} if self._queue.endswith(".fifo") else {}
        try:
            self._url = self._url or self._client.get_queue_url(QueueName=self._queue)["QueueUrl"]
            self._client.send_message(QueueUrl=self._url, MessageBody=body.decode(), **fifo)
        except (self._errors.BotoCoreError, self._errors.ClientError) as error:
            raise SendError(f"SQS queue {self._queue}: {error}") from error
