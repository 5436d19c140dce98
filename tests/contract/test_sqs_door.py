"""The SQS door on a real server: receiving, visibility, deletion, copies of dead letters, release."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

import telecine_client
from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.doors.sqs.client import SqsClient, SqsOptions
from consumer.doors.sqs.door import SqsDoor
from consumer.doors.sqs.messages import SqsMessage, SqsQueue
from consumer.ledger.due import Wake
from schemas.errors import InvalidJson, UnknownType
from tests.fault_proxy import Fault, FaultProxy
from tests.servers.ministack import Ministack
from tests.servers.s3 import S3, endpoint
from tests.servers.sqs import Sqs, make_queue
from tests.telecine_process import wait_until

Serve = Callable[..., "contextlib.AbstractContextManager[SqsDoor]"]


class FakeAdmitter:
    """A substitute for ``BatchAdmitter``: records messages and returns given results."""

    def __init__(self, answer: Callable[[IncomingMessage], AdmitResult] = lambda _: AdmitResult()) -> None:
        self.answer = answer
        self.batches: list[list[IncomingMessage]] = []
        self.trouble: Callable[[], object] = lambda: None

    def __call__(self, arrivals: Sequence[IncomingMessage]) -> Sequence[AdmitResult]:
        self.trouble()
        self.batches.append(list(arrivals))
        return [self.answer(arrival) for arrival in arrivals]

    @property
    def arrived(self) -> list[IncomingMessage]:
        return [arrival for batch in self.batches for arrival in batch]


@contextlib.contextmanager
def serving(
    s3: S3,
    queues: Sequence[str],
    admitter: FakeAdmitter,
    *,
    wait: int = 1,
    visibility: int = 30,
    url: str | None = None,
    woken: list[Wake] | None = None,
) -> Iterator[SqsDoor]:
    """Run a door, and check that it stops long before a long poll of twenty seconds ends."""
    options = SqsOptions(url or s3.url, s3.region, wait_seconds=wait, visibility_seconds=visibility)
    wake = woken.extend if woken is not None else lambda _: None
    door = SqsDoor(SqsClient(options), queues, admitter, wake, batch=200, batch_seconds=0.02)
    thread = threading.Thread(target=door.run, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        door.stop()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def queue(s3: S3, queue_prefix: str) -> Sqs:
    """Yield a queue with a dead-letter queue."""
    return make_queue(s3, f"{queue_prefix}requests")


@pytest.mark.parametrize("by_url", [False, True])
def test_messages_are_admitted_as_they_were_sent_and_deleted(by_url: bool, s3: S3, queue: Sqs) -> None:
    woken: list[Wake] = []
    admitter, wake = FakeAdmitter(), Wake("j", "io", "normal")
    admitter.answer = lambda _: AdmitResult(wake=wake)
    queue.send('{"id": "ä", "properties": {}}', "bm90IGJhc2U2NA==", attributes={"ce-id": "7", "telecine-code": "old"})
    with serving(s3, [queue.url if by_url else queue.name], admitter, woken=woken) as door:
        wait_until(lambda: len(woken) == 2)
        assert door.connected
    assert sorted(a.body for a in admitter.arrived) == [b"bm90IGJhc2U2NA==", '{"id": "ä", "properties": {}}'.encode()]
    assert {(a.door, a.source) for a in admitter.arrived} == {("sqs", queue.name)}
    assert dict(admitter.arrived[0].headers) == {"ce-id": "7", "telecine-code": "old"}
    assert queue.counts() == (0, 0)
    assert queue.dead(0) == []


def test_a_full_queue_is_admitted_in_large_batches(s3: S3, queue: Sqs) -> None:
    queue.send(*(f'{{"n": {n}}}' for n in range(500)))
    admitter = FakeAdmitter()
    admitter.trouble = lambda: time.sleep(0.2)  # as long as a commit; in the meantime the next batch fills up
    with serving(s3, [queue.name], admitter):
        wait_until(lambda: len(admitter.arrived) == 500)
        wait_until(lambda: queue.counts() == (0, 0))
    assert len({a.body for a in admitter.arrived}) == 500
    assert len(admitter.batches) < 40


def test_the_more_urgent_queue_is_read_first(s3: S3, queue_prefix: str) -> None:
    urgent = make_queue(s3, f"{queue_prefix}urgent", dead_letters=False)
    later = make_queue(s3, f"{queue_prefix}later", dead_letters=False)
    for queue in (later, urgent):
        queue.send(*(f'{{"n": {n}}}' for n in range(30)))
    admitter, ready = FakeAdmitter(), threading.Event()
    admitter.trouble = lambda: ready.wait(60)
    with serving(s3, [urgent.name, later.name], admitter) as door:
        wait_until(lambda: len(door._in_flight._messages) == 60)
        ready.set()
        wait_until(lambda: len(admitter.arrived) == 60)
    # Both queues had messages for the second batch: all urgent ones are admitted before all others.
    sources = [a.source for a in admitter.arrived[len(admitter.batches[0]) :]]
    assert sources == sorted(sources, key=[urgent.name, later.name].index)


def test_refused_messages_are_copied_to_the_dead_letter_queue_with_the_reason(s3: S3, queue: Sqs) -> None:
    error = UnknownType("type 'x' does not\x00 exist")
    admitter = FakeAdmitter(lambda arrival: AdmitResult(error=error) if b"bad" in arrival.body else AdmitResult())
    queue.send("bad 1", attributes={"ce-id": "7", "telecine-reason": "of an earlier refusal"})
    queue.send("bad 2", attributes={f"a{n}": "x" for n in range(9)})
    queue.send("bad 3", attributes={f"a{n}": "x" for n in range(10)})
    queue.send("good")
    with serving(s3, [queue.name], admitter):
        wait_until(lambda: len(admitter.arrived) == 4)
        dead = {message["Body"]: message.get("MessageAttributes", {}) for message in queue.dead(3)}
        wait_until(lambda: queue.counts() == (0, 0))
    attributes_of = {
        body: {name: value["StringValue"] for name, value in found.items()} for body, found in dead.items()
    }
    assert attributes_of["bad 1"] == {
        "ce-id": "7",
        "telecine-code": "unknown_type",
        "telecine-reason": "type 'x' does not\ufffd exist",
    }
    assert attributes_of["bad 2"]["telecine-reason"] == "unknown_type: type 'x' does not\ufffd exist"
    assert len(attributes_of["bad 2"]) == len(attributes_of["bad 3"]) == 10


def test_a_refused_message_of_a_queue_without_dead_letters_is_deleted(s3: S3, queue_prefix: str) -> None:
    queue = make_queue(s3, f"{queue_prefix}plain", dead_letters=False)
    admitter = FakeAdmitter(lambda _: AdmitResult(error=InvalidJson()))
    queue.send("bad")
    with serving(s3, [queue.name], admitter):
        wait_until(lambda: admitter.arrived and queue.counts() == (0, 0))
    assert len(admitter.arrived) == 1


def test_a_redriven_message_is_admitted_again(s3: S3, queue: Sqs) -> None:
    admitter = FakeAdmitter(lambda _: AdmitResult(error=InvalidJson()))
    queue.send("again")
    with serving(s3, [queue.name], admitter):
        (letter,) = queue.dead(1)
        admitter.answer = lambda _: AdmitResult()
        queue.client.send_message(
            QueueUrl=queue.url, MessageBody=letter["Body"], MessageAttributes=letter["MessageAttributes"]
        )
        wait_until(lambda: len(admitter.arrived) == 2 and queue.counts() == (0, 0))
    assert queue.dead(0) == []


def test_messages_stay_in_flight_while_the_ledger_is_unavailable(s3: S3, queue: Sqs) -> None:
    admitter, back = FakeAdmitter(), threading.Event()

    def away() -> None:
        if not back.is_set():
            raise sa.exc.OperationalError("SELECT", {}, Exception("away"))

    admitter.trouble = away
    queue.send("first")
    with serving(s3, [queue.name], admitter, visibility=6):
        wait_until(lambda: queue.counts() == (0, 1))
        time.sleep(2)
        queue.send("second")  # nothing new is received
        until = time.monotonic() + 8
        while time.monotonic() < until:
            assert queue.counts()[1] <= 2
            time.sleep(0.2)
        hidden = queue.counts()
        back.set()
        wait_until(lambda: len(admitter.arrived) == 2 and queue.counts() == (0, 0))
    assert sorted(a.body for a in admitter.arrived) == [b"first", b"second"]
    assert hidden[1] >= 1
    assert queue.dead(0) == []


def test_messages_in_flight_are_released_at_once_when_the_door_stops(s3: S3, queue: Sqs) -> None:
    def away() -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("away"))

    admitter = FakeAdmitter()
    admitter.trouble = away
    queue.send("kept")
    with serving(s3, [queue.name], admitter):
        wait_until(lambda: queue.counts() == (0, 1))
    wait_until(lambda: queue.counts() == (1, 0), timeout=15)  # its visibility timeout would end after 30 s
    second = FakeAdmitter()
    with serving(s3, [queue.name], second):
        wait_until(lambda: len(second.arrived) == 1)


def test_a_message_received_while_the_door_stops_is_received_once(
    s3: S3, queue: Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    receives: list[int] = []
    receive = SqsClient.receive

    def stop_first(self: SqsClient, of: SqsQueue, *, wait_seconds: int) -> list[SqsMessage]:
        door.stop()
        receives.append(len(found := receive(self, of, wait_seconds=wait_seconds)))
        return found

    monkeypatch.setattr(SqsClient, "receive", stop_first)
    queue.send("kept")
    with serving(s3, [queue.name], FakeAdmitter()) as door:
        wait_until(lambda: receives)
    wait_until(lambda: queue.counts() == (1, 0), timeout=15)
    assert receives == [1]  # with each further one, the message would come closer to the dead-letter queue


def test_a_door_stops_at_once_during_a_long_poll_and_loses_no_message(s3: S3, queue: Sqs) -> None:
    with serving(s3, [queue.name], FakeAdmitter(), wait=20) as door:
        wait_until(lambda: door.connected)
        time.sleep(0.3)
    queue.send("for the next")  # the poll that is still open receives it, and makes it visible again
    second = FakeAdmitter()
    with serving(s3, [queue.name], second):
        wait_until(lambda: len(second.arrived) == 1, timeout=15)


def test_a_message_that_breaks_admission_is_retried_until_sqs_dead_letters_it(s3: S3, queue_prefix: str) -> None:
    queue = make_queue(s3, f"{queue_prefix}crash", max_receives=2)
    admitter, tries = FakeAdmitter(), []

    def fall_over() -> None:
        tries.append(time.monotonic())
        raise RuntimeError("a defect")

    admitter.trouble = fall_over
    queue.send("loops")
    with serving(s3, [queue.name], admitter):
        (letter,) = queue.dead(1)
    assert letter["Body"] == "loops"
    assert len(tries) == 2
    assert tries[1] - tries[0] > 1


def test_a_fifo_queue_keeps_its_order_and_its_dead_letters_their_group(s3: S3, queue_prefix: str) -> None:
    queue = make_queue(s3, f"{queue_prefix}requests.fifo")
    admitter = FakeAdmitter(
        lambda arrival: AdmitResult(error=InvalidJson()) if b"13" in arrival.body else AdmitResult()
    )
    queue.send(*(f'{{"n": {n}}}' for n in range(25)))
    with serving(s3, [queue.name], admitter):
        wait_until(lambda: len(admitter.arrived) == 25 and queue.counts() == (0, 0))
        (letter,) = queue.dead(1)
    assert [json.loads(a.body)["n"] for a in admitter.arrived] == list(range(25))
    assert letter["Attributes"]["MessageGroupId"] == "g"


def test_the_client_sends_a_request_once_to_a_fifo_queue(s3: S3, queue_prefix: str) -> None:
    queue, longest = make_queue(s3, f"{queue_prefix}requests.fifo"), "x" * 128
    door = telecine_client.SQS(queue.url, client=queue.client)
    for _ in range(2):
        door.submit_unchecked({"id": longest, "type": "note", "data": {}})
        door.cancel(longest)
    assert queue.counts() == (2, 0)


def test_a_queue_that_is_created_later_is_read(s3: S3, queue_prefix: str) -> None:
    admitter, name = FakeAdmitter(), f"{queue_prefix}later"
    with serving(s3, [name], admitter) as door:
        time.sleep(1)
        assert not door.connected
        make_queue(s3, name).send("x")
        wait_until(lambda: len(admitter.arrived) == 1)
        assert door.connected


def test_a_server_that_was_unavailable_or_dropped_connections_is_read_again(
    s3: S3, queue: Sqs, ministack: Ministack
) -> None:
    admitter = FakeAdmitter()
    with (
        FaultProxy(ministack.port) as proxy,
        serving(s3, [queue.name], admitter, url=f"http://127.0.0.1:{proxy.port}", visibility=3) as door,
    ):
        queue.send("before")
        wait_until(lambda: len(admitter.arrived) == 1)
        for fault in (Fault(refuse=True, reset_after_bytes=0), Fault(reset_after_bytes=60)):
            proxy.fault = fault
            wait_until(lambda: not door.connected)
            queue.send("during")
            proxy.fault = Fault()
            wait_until(lambda: door.connected)
        wait_until(lambda: queue.counts() == (0, 0))
    assert {a.body for a in admitter.arrived} == {b"before", b"during"}


@pytest.mark.parametrize("times", [1, 3])
def test_a_message_that_could_not_be_deleted_is_not_admitted_again(
    times: int, s3: S3, queue: Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = [True] * times
    delete = SqsClient.delete

    def unreliable(self: SqsClient, of: Any, messages: Any) -> Any:
        if refuse.pop() if refuse else False:
            raise ConnectionError("gone")
        return delete(self, of, messages)

    monkeypatch.setattr(SqsClient, "delete", unreliable)
    admitter = FakeAdmitter(lambda _: AdmitResult(error=InvalidJson()))
    queue.send("once")
    with serving(s3, [queue.name], admitter, visibility=3):
        wait_until(lambda: len(admitter.arrived) == 1)
        wait_until(lambda: queue.counts() == (0, 0))
    assert len(admitter.arrived) == 1
    assert len(queue.dead(1)) == 1


def test_a_restarted_server_is_read_again(tmp_path: Any) -> None:
    server = Ministack()
    try:
        server.start()
        s3 = endpoint("ministack", server)
        admitter = FakeAdmitter()
        queue = make_queue(s3, "requests")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in s3.environment.items():
                patch.setenv(name, value)
            with serving(s3, [queue.name], admitter) as door:
                queue.send("one")
                wait_until(lambda: len(admitter.arrived) == 1)
                server.stop()
                wait_until(lambda: not door.connected)
                server.start()
                make_queue(s3, "requests").send("two")
                wait_until(lambda: len(admitter.arrived) == 2)
    finally:
        server.close()
