"""Queues on ministack for single tests."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from tests.servers.s3 import S3

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Sqs:
    """A queue and its dead-letter queue, if any. Tests act as producers and operators through ``client``."""

    client: SQSClient
    name: str
    url: str
    dead_url: str | None = None

    def send(self, *bodies: str | Mapping[str, Any], attributes: Mapping[str, str] | None = None) -> None:
        """Send messages to the queue, each with the text attributes."""
        texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
        named: Any = {n: {"DataType": "String", "StringValue": v} for n, v in (attributes or {}).items()}
        for start in range(0, len(texts), 10):
            entries: Any = [
                {"Id": str(n), "MessageBody": text, "MessageAttributes": named} | self._fifo_parameters()
                for n, text in enumerate(texts[start : start + 10])
            ]
            answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
            assert not answer.get("Failed"), answer

    def _fifo_parameters(self) -> dict[str, str]:
        """Return the parameters that a FIFO queue requires for each message."""
        if not self.name.endswith(".fifo"):
            return {}
        return {"MessageGroupId": "g", "MessageDeduplicationId": uuid.uuid4().hex}

    def counts(self) -> tuple[int, int]:
        """Return how many messages are visible and how many are in flight."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def dead(self, count: int, *, timeout: float = 30) -> list[dict[str, Any]]:
        """Receive ``count`` messages from the dead-letter queue and check that there are no others."""
        assert self.dead_url is not None
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout
        while len(found) < count and time.monotonic() < deadline:
            found += self._receive(self.dead_url, wait=1)
        found += self._receive(self.dead_url, wait=0)
        assert len(found) == count, f"{len(found)} of {count} dead letters"
        return found

    def _receive(self, url: str, *, wait: int) -> list[dict[str, Any]]:
        answer = self.client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        got: list[Any] = list(answer.get("Messages", []))
        for message in got:
            self.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return got


def make_queue(of: S3, name: str, *, dead_letters: bool = True, max_receives: int = 5, **attributes: str) -> Sqs:
    """Create a queue and its dead-letter queue, which has the same name with ``-dead``."""
    client = _client(of)
    suffix = ".fifo" if name.endswith(".fifo") else ""
    fifo: Any = {"FifoQueue": "true"} if suffix else {}
    made: Any = {**fifo, **attributes}
    dead_url = None
    if dead_letters:
        dead_url = client.create_queue(QueueName=f"{name.removesuffix(suffix)}-dead{suffix}", Attributes=fifo)[
            "QueueUrl"
        ]
        arn = client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        made["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": max_receives})
    return Sqs(client, name, client.create_queue(QueueName=name, Attributes=made)["QueueUrl"], dead_url)


def _client(of: S3) -> SQSClient:
    return boto3.session.Session(of.access_key, of.secret_key, region_name=of.region).client("sqs", endpoint_url=of.url)
