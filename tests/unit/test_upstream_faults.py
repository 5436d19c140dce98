"""Bugs of py-amqp, kombu and Celery that ``consumer/wakeups`` patches.

Each test asks the unpatched library. If one fails after an upgrade, the bug is fixed: remove the patch.
"""

from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from amqp import abstract_channel, serialization
from amqp.basic_message import Message
from celery.worker.consumer import Consumer
from kombu import compression, message as kombu_message
from kombu.transport import SQS

from consumer.wakeups import lenient_amqp
from tests.odd_wake_ups import ODD

_SqsChannel: Any = SQS.Channel
_HEADERS_FLAG = struct.pack(">H", 0x2000)


def unpatched(reader: Any) -> Any:
    """Return py-amqp's own function behind the patch, which importing ``consumer`` installs."""
    return reader._read


@pytest.fixture(autouse=True)
def _installed() -> None:
    lenient_amqp.install()


def test_py_amqp_raises_for_a_timestamp_in_milliseconds() -> None:
    entry = b"\x04whenT" + struct.pack(">Q", 1_763_760_000_000)
    properties = _HEADERS_FLAG + struct.pack(">I", len(entry)) + entry
    readers: Any = serialization.PROPERTY_CLASSES
    with pytest.raises(ValueError, match="year"):
        unpatched(readers[Message.CLASS_ID])(properties, 0)
    patched, _ = readers[Message.CLASS_ID](properties, 0)
    assert "application_headers" in patched


def test_py_amqp_raises_for_a_routing_key_that_is_not_utf_8() -> None:
    channel: Any = abstract_channel
    with pytest.raises(UnicodeDecodeError):
        unpatched(channel.loads)("s", b"\x02\xff\xfe", 0)
    assert channel.loads("s", b"\x02\xff\xfe", 0)[0] == ["??"]


def test_kombu_decompresses_without_a_limit() -> None:
    assert len(compression.decompress(zlib.compress(bytes(10_000_000)), "gzip")) == 10_000_000
    patched: Any = kombu_message
    assert patched.decompress is not compression.decompress


def test_celery_raises_for_a_task_name_that_is_not_a_string() -> None:
    (headers,) = (headers for headers, _ in ODD if headers.get("task") == [1])
    own: Any = SimpleNamespace(
        strategies={},
        on_unknown_message=None,
        on_unknown_task=None,
        on_invalid_task=None,
        on_task_message=None,
        call_soon_ack=None,
    )
    handle = Consumer.create_task_handler(own)
    with pytest.raises(TypeError, match="unhashable"):
        handle(SimpleNamespace(headers=headers))


def test_celery_declares_the_queues_of_delayed_delivery_by_default() -> None:
    assert any("DelayedDelivery" in str(step) for step in Consumer.Blueprint.default_steps)


def test_kombu_does_not_poll_a_queue_of_sqs_again_after_an_error() -> None:
    calls: list[str] = []
    requests: list[Any] = []
    own: Any = SimpleNamespace(
        _active_queues=["q"],
        qos=SimpleNamespace(can_consume=lambda: True),
        _get_bulk_async=lambda queue, callback: requests.append(callback),
        _loop1=lambda *_: calls.append("polled"),
        hub=SimpleNamespace(call_later=lambda *_: calls.append("later"), call_soon=lambda *_: calls.append("soon")),
    )
    _SqsChannel._schedule_queue(own, "q")
    with pytest.raises(ConnectionError):
        requests[0].throw(ConnectionError("503"))
    assert calls == []


def test_kombu_does_not_deliver_messages_that_it_received_after_an_unreadable_one() -> None:
    delivered: list[str] = []

    def parse(message: dict[str, str], *_: object) -> str:
        if message["Body"] == "unreadable":
            raise TypeError
        return message["Body"]

    own: Any = SimpleNamespace(
        connection=SimpleNamespace(_callbacks={"q": delivered.append}),
        _message_to_python=parse,
    )
    with pytest.raises(TypeError):
        _SqsChannel._on_messages_ready(own, "url", "q", {"Messages": [{"Body": "unreadable"}, {"Body": "good"}]})
    assert delivered == []
