"""The calls to SQS: all that knows boto3. Credentials come from the ordinary AWS chain."""

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

from consumer.doors.sqs.messages import SqsMessage, SqsQueue, message_of, name_of, region_of
from schemas.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: Messages of one call.
BATCH = 10
#: How long the dead-letter queue of a queue is taken for granted.
_REDRIVE_SECONDS = 60.0
_TOO_LARGE = ("InvalidParameterValue", "InvalidMessageContents", "RequestTooLarge", "BatchRequestTooLong")


@dataclass(frozen=True)
class SqsOptions:
    """How to reach SQS or what speaks like it."""

    #: ``None`` for AWS itself.
    endpoint_url: str | None = None
    #: Of queues that are given by name.
    region: str | None = None
    wait_seconds: int = 20
    visibility_seconds: int = 30


def sqs_options(settings: Settings) -> SqsOptions:
    """How the settings say to reach SQS."""
    return SqsOptions(
        endpoint_url=settings.sqs_endpoint_url,
        region=settings.sqs_region,
        wait_seconds=settings.sqs_wait_seconds,
        visibility_seconds=settings.sqs_visibility_seconds,
    )


class SqsClient:
    """Each method is one call or a few; any thread may use it. What fails raises as boto3 does."""

    def __init__(self, options: SqsOptions) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._clients: dict[str | None, SQSClient] = {}
        self._dead: dict[str, tuple[float, str | None]] = {}

    def forget_credentials(self) -> None:
        """Reads the AWS chain anew at the next call: keys may have been renewed there."""
        with self._lock:
            self._clients.clear()

    def locate(self, named: str) -> SqsQueue:
        """The queue with this name or URL, which is asked whether it exists."""
        if "://" not in named:
            url = self._client(self.options.region).get_queue_url(QueueName=named)["QueueUrl"]
            return SqsQueue(named, url, self.options.region)
        queue = SqsQueue(name_of(named), named, region_of(named) or self.options.region)
        self.attributes(queue, "QueueArn")
        return queue

    def attributes(self, queue: SqsQueue, *names: Any) -> dict[str, str]:
        """Attributes of the queue; those that are not set are absent."""
        found = self._client(queue.region).get_queue_attributes(QueueUrl=queue.url, AttributeNames=list(names))
        return {str(name): value for name, value in found.get("Attributes", {}).items()}

    def receive(self, queue: SqsQueue, *, wait_seconds: int) -> list[SqsMessage]:
        """Up to ten messages, hidden from all others for the options' visibility."""
        answer = self._client(queue.region).receive_message(
            QueueUrl=queue.url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=self.options.visibility_seconds,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
        )
        return [message_of(queue, raw) for raw in answer.get("Messages", [])]

    def delete(self, queue: SqsQueue, messages: Sequence[SqsMessage]) -> list[SqsMessage]:
        """Deletes up to ten; answers those that SQS did not delete."""
        entries: Any = [{"Id": str(n), "ReceiptHandle": m.receipt} for n, m in enumerate(messages)]
        answer = self._client(queue.region).delete_message_batch(QueueUrl=queue.url, Entries=entries)
        return [messages[int(entry["Id"])] for entry in answer.get("Failed", [])]

    def hide(self, queue: SqsQueue, messages: Sequence[SqsMessage], seconds: int) -> list[SqsMessage]:
        """Hides up to ten for so long from now on; 0 gives them back. Answers those that are no longer ours."""
        entries: Any = [
            {"Id": str(n), "ReceiptHandle": m.receipt, "VisibilityTimeout": seconds} for n, m in enumerate(messages)
        ]
        answer = self._client(queue.region).change_message_visibility_batch(QueueUrl=queue.url, Entries=entries)
        return [messages[int(entry["Id"])] for entry in answer.get("Failed", []) if entry.get("SenderFault")]

    def dead_letter_queue(self, queue: SqsQueue) -> SqsQueue | None:
        """Where the queue's redrive policy points; ``None`` when it has none."""
        known = self._dead.get(queue.url)
        if known is None or time.monotonic() - known[0] > _REDRIVE_SECONDS:
            policy = self.attributes(queue, "RedrivePolicy").get("RedrivePolicy")
            known = (time.monotonic(), json.loads(policy)["deadLetterTargetArn"] if policy else None)
            self._dead[queue.url] = known
        return self.queue_of_arn(known[1]) if known[1] else None

    def queue_of_arn(self, arn: str) -> SqsQueue:
        """The queue with this ARN: ``arn:aws:sqs:eu-west-1:123456789012:name``."""
        _, _, _, region, account, name = arn.split(":", 5)
        client = self._client(region if self.options.endpoint_url is None else self.options.region)
        return SqsQueue(name, client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"], region)

    def send(
        self, queue: SqsQueue, body: str, *, attributes: Any = None, group: str | None = None, key: str = ""
    ) -> None:
        """Puts a message on the queue. ``key`` is what a FIFO queue knows repetitions by."""
        more: dict[str, Any] = {"MessageAttributes": attributes} if attributes else {}
        if queue.fifo:
            more |= {"MessageGroupId": group or "telecine", "MessageDeduplicationId": key}
        self._client(queue.region).send_message(QueueUrl=queue.url, MessageBody=body, **more)

    def copy(self, message: SqsMessage, to: SqsQueue, attributes: Any) -> None:
        """Puts a copy on ``to``. Where the new attributes make it too large for SQS, with the original's alone."""
        try:
            self.send(to, message.body, attributes=attributes, group=message.group, key=message.id)
        except ClientError as error:
            if code_of(error) not in _TOO_LARGE:
                raise
            kept = {name: value for name, value in attributes.items() if name in message.attributes}
            self.send(to, message.body, attributes=kept, group=message.group, key=message.id)

    def _client(self, region: str | None) -> SQSClient:
        with self._lock:
            found = self._clients.get(region)
            if found is None:
                found = self._clients[region] = _make_client(self.options, region)
            return found


def code_of(error: Exception) -> str:
    """SQS's code, or the kind of the fault. The rest of what botocore says may hold addresses and keys."""
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
    # A session of its own: the default one is made once, with the keys of that moment.
    session = boto3.session.Session()
    return session.client("sqs", endpoint_url=options.endpoint_url, region_name=region, config=config)
