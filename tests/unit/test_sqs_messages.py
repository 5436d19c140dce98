"""Records of SQS queues and messages, in-flight messages, and the broker that the settings select."""

from __future__ import annotations

import pytest

from consumer.doors.sqs.in_flight import InFlightMessages
from consumer.doors.sqs.messages import (
    MAX_ATTRIBUTES,
    SqsMessage,
    SqsQueue,
    dead_letter_attributes,
    parse_received,
    queue_name,
    queue_region,
    to_incoming_message,
)
from consumer.wakeups.broker import broker_address, transport_options
from schemas.errors import InvalidJson
from schemas.settings import Settings

QUEUE = SqsQueue("requests", "http://127.0.0.1/0/requests")


def _message(number: int = 1, *, receipt_handle: str = "r", count: int = 0) -> SqsMessage:
    attributes = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(count)}
    return SqsMessage(QUEUE, f"m-{number}", receipt_handle, "{}", attributes)


@pytest.mark.parametrize(
    ("named", "name", "region"),
    [
        ("requests", "requests", None),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/requests", "requests", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/requests.fifo", "requests.fifo", "cn-north-1"),
        ("https://vpce-1.sqs.us-east-2.vpce.amazonaws.com/123456789012/requests/", "requests", None),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/requests", "requests", "eu-west-1"),
        ("http://127.0.0.1:4566/000000000000/requests", "requests", None),
    ],
)
def test_a_queue_is_known_by_its_name_or_url(named: str, name: str, region: str | None) -> None:
    assert (queue_name(named), queue_region(named)) == (name, region)


def test_attributes_of_every_type_become_headers() -> None:
    raw = {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": "\ud800",
        "Attributes": {"ApproximateReceiveCount": "3", "MessageGroupId": "g"},
        "MessageAttributes": {
            "ce-id": {"DataType": "String", "StringValue": "ä"},
            "n": {"DataType": "Number.int", "StringValue": "7"},
            "b": {"DataType": "Binary", "BinaryValue": b"\xffx"},
        },
    }
    message = parse_received(QUEUE, raw)
    incoming = to_incoming_message(message)
    assert (message.receive_count, message.group) == (3, "g")
    assert dict(incoming.headers) == {"ce-id": "ä", "n": "7", "b": "\\xffx"}
    assert incoming.body == b"\xed\xa0\x80"  # invalid UTF-8, like the same bytes from another door


@pytest.mark.parametrize("count", range(MAX_ATTRIBUTES + 1))
def test_a_dead_letters_copy_never_has_more_attributes_than_sqs_allows(count: int) -> None:
    made = dead_letter_attributes(_message(count=count), InvalidJson("what \x00\ufffe was wrong" + "x" * 9_999))
    assert len(made) <= MAX_ATTRIBUTES
    assert {f"a{n}" for n in range(count)} <= set(made)
    if count < MAX_ATTRIBUTES:
        reason = made["telecine-reason"]["StringValue"]
        assert "what \ufffd\ufffd was wrong" in reason
        assert len(reason) < 600


def test_a_message_delivered_twice_is_in_flight_once_with_the_newer_receipt_handle() -> None:
    in_flight = InFlightMessages(["requests"], room=20)
    in_flight.add([_message(1, receipt_handle="old"), _message(2)])
    taken = in_flight.take(10, wait_seconds=0, gather_seconds=0)
    in_flight.add([_message(1, receipt_handle="new")])
    assert in_flight.take(10, wait_seconds=0, gather_seconds=0) == []
    assert [message.receipt_handle for message in in_flight.release(taken)] == ["new", "r"]
    assert in_flight.close() == []


def test_a_settled_message_that_comes_again_after_a_failed_deletion_is_only_deleted() -> None:
    in_flight = InFlightMessages(["requests"], room=20)
    in_flight.remember_undeleted([_message(1)])
    assert [message.id for message in in_flight.add([_message(1), _message(2)]) or []] == ["m-1"]
    assert [message.id for message in in_flight.take(10, wait_seconds=0, gather_seconds=0)] == ["m-2"]


def test_a_message_received_after_the_end_is_given_back_to_its_receiver() -> None:
    in_flight = InFlightMessages(["requests"], room=20)
    in_flight.close()
    assert in_flight.add([_message(1)]) is None
    assert in_flight.needing_extension(0) == []


def test_only_messages_with_an_old_visibility_timeout_need_an_extension() -> None:
    in_flight = InFlightMessages(["requests"], room=20)
    in_flight.add([_message(1)])
    assert in_flight.needing_extension(60) == []
    assert [message.id for message in in_flight.needing_extension(0)] == ["m-1"]


def test_celery_runs_on_rabbitmq_on_sqs_or_in_memory() -> None:
    embedded = Settings()
    assert (embedded.amqp_url, embedded.celery_on_sqs, broker_address(embedded)) == (None, False, "memory://localhost/")
    amqp = Settings.model_validate({"broker_url": "amqp://u:p@h/v"})
    assert (amqp.amqp_url, broker_address(amqp), transport_options(amqp)) == ("amqp://u:p@h/v", "amqp://u:p@h/v", {})
    aws = Settings.model_validate({"broker_url": "sqs://", "sqs_region": "eu-west-1", "sqs_queues": "https://h/1/mine"})
    assert (aws.amqp_url, aws.embedded, aws.own_queue) == (None, False, "mine")
    assert broker_address(aws) == "sqs://"
    assert (transport_options(aws)["region"], transport_options(aws)["is_secure"]) == ("eu-west-1", True)
    own = Settings.model_validate({"broker_url": "sqs://", "sqs_endpoint_url": "http://127.0.0.1:4566"})
    assert broker_address(own) == "sqs://127.0.0.1:4566/"
    assert transport_options(own)["is_secure"] is False
