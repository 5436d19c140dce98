"""SQS over boto3, which no other door module uses. Credentials come from the usual AWS chain."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from consumer.doors.sqs.messages import SqsMessage, SqsQueue, parse_received, queue_name, queue_region
from schemas.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: SQS's limit of messages per request.
BATCH = 10
#: How long a queue's redrive policy is cached.
_REDRIVE_SECONDS = 60.0
_TOO_LARGE = ("InvalidParameterValue", "InvalidMessageContents", "RequestTooLarge", "BatchRequestTooLong")


@dataclass(frozen=True)
class SqsOptions:
    """How to reach SQS or a compatible service."""

    #: ``None`` for AWS.
    endpoint_url: str | None = None
    #: Region of queues that are given by name; ``None`` means that of the AWS chain.
    region: str | None = None
    wait_seconds: int = 20
    visibility_seconds: int = 30


def sqs_options(settings: Settings) -> SqsOptions:
    """Return the SQS options of the settings."""
    return SqsOptions(
        endpoint_url=settings.sqs_endpoint_url,
        region=settings.sqs_region,
        wait_seconds=settings.sqs_wait_seconds,
        visibility_seconds=settings.sqs_visibility_seconds,
    )


class SqsClient:
    """A thread-safe client for the SQS operations that Telecine needs. Errors are boto3's."""

    def __init__(self, options: SqsOptions) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._clients: dict[str | None, SQSClient] = {}
        self._dead: dict[str, tuple[float, str | None]] = {}

    def reset(self) -> None:
        """Drop the connections, so that the next request reads the credentials again: they may have been rotated."""
        with self._lock:
            self._clients.clear()

    def find_queue(self, name_or_url: str) -> SqsQueue:
        """Return the queue with this name or URL, after a request that fails if it does not exist."""
        if "://" not in name_or_url:
            url = self._client(self.options.region).get_queue_url(QueueName=name_or_url)["QueueUrl"]
            return SqsQueue(name_or_url, url, self.options.region)
        queue = SqsQueue(queue_name(name_or_url), name_or_url, queue_region(name_or_url) or self.options.region)
        self.attributes(queue, "QueueArn")
        return queue

    def attributes(self, queue: SqsQueue, *names: Any) -> dict[str, str]:
        """Return attributes of the queue. Attributes that are not set are missing from the result."""
        found = self._client(queue.region).get_queue_attributes(QueueUrl=queue.url, AttributeNames=list(names))
        return {str(name): value for name, value in found.get("Attributes", {}).items()}

    def receive(self, queue: SqsQueue, *, wait_seconds: int) -> list[SqsMessage]:
        """Receive up to ten messages, with the visibility timeout of the options."""
        answer = self._client(queue.region).receive_message(
            QueueUrl=queue.url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=self.options.visibility_seconds,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
        )
        return [parse_received(queue, raw) for raw in answer.get("Messages", [])]

    def delete(self, queue: SqsQueue, messages: Sequence[SqsMessage]) -> list[SqsMessage]:
        """Delete up to ten messages and return those that SQS failed to delete."""
        entries: Any = [{"Id": str(n), "ReceiptHandle": m.receipt_handle} for n, m in enumerate(messages)]
        answer = self._client(queue.region).delete_message_batch(QueueUrl=queue.url, Entries=entries)
        return [messages[int(entry["Id"])] for entry in answer.get("Failed", [])]

    def set_visibility(self, queue: SqsQueue, messages: Sequence[SqsMessage], seconds: int) -> list[SqsMessage]:
        """Set the visibility timeout of up to ten messages, from now; 0 makes them visible.

        Returns those whose receipt handle is no longer valid.
        """
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}
            for number, message in enumerate(messages)
        ]
        answer = self._client(queue.region).change_message_visibility_batch(QueueUrl=queue.url, Entries=entries)
        return [messages[int(entry["Id"])] for entry in answer.get("Failed", []) if entry.get("SenderFault")]

    def dead_letter_queue(self, queue: SqsQueue) -> SqsQueue | None:
        """Return the dead-letter queue of the queue's redrive policy; ``None`` if it has none."""
        known = self._dead.get(queue.url)
        if known is None or time.monotonic() - known[0] > _REDRIVE_SECONDS:
            policy = self.attributes(queue, "RedrivePolicy").get("RedrivePolicy")
            known = (time.monotonic(), json.loads(policy)["deadLetterTargetArn"] if policy else None)
            self._dead[queue.url] = known
        return self.queue_by_arn(known[1]) if known[1] else None

    def queue_by_arn(self, arn: str) -> SqsQueue:
        """Return the queue with this ARN, such as ``arn:aws:sqs:eu-west-1:123456789012:name``."""
        _, _, _, region, account, name = arn.split(":", 5)
        client = self._client(region if self.options.endpoint_url is None else self.options.region)
        return SqsQueue(name, client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"], region)

    def send(
        self, queue: SqsQueue, body: str, *, attributes: Any = None, group: str | None = None, key: str = ""
    ) -> None:
        """Send a message. ``key`` is the deduplication id for a FIFO queue."""
        more: dict[str, Any] = {"MessageAttributes": attributes} if attributes else {}
        if queue.fifo:
            more |= {"MessageGroupId": group or "telecine", "MessageDeduplicationId": key}
        self._client(queue.region).send_message(QueueUrl=queue.url, MessageBody=body, **more)

    def copy(self, message: SqsMessage, to: SqsQueue, attributes: Any) -> None:
        """Send a copy to ``to``. If ``attributes`` make it too large, only those of the original are sent."""
        try:
            self.send(to, message.body, attributes=attributes, group=message.group, key=message.id)
        except ClientError as error:
            if error_code(error) not in _TOO_LARGE:
                raise
            kept = {name: value for name, value in attributes.items() if name in message.attributes}
            self.send(to, message.body, attributes=kept, group=message.group, key=message.id)

    def _client(self, region: str | None) -> SQSClient:
        with self._lock:
            found = self._clients.get(region)
            if found is None:
                found = self._clients[region] = _make_client(self.options, region)
            return found


def error_code(error: Exception) -> str:
    """Return SQS's error code, or the exception's type. botocore's messages may contain addresses and keys."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")).rpartition("#")[2].rpartition(".")[2]
    return type(error).__name__


def _make_client(options: SqsOptions, region: str | None) -> SQSClient:
    config = Config(
        connect_timeout=5,
        read_timeout=options.wait_seconds + 10,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=32,
    )
    # Not the default session: that one keeps the credentials it was created with.
    session = boto3.session.Session()
    return session.client("sqs", endpoint_url=options.endpoint_url, region_name=region, config=config)
