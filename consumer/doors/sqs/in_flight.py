"""The in-flight messages of the SQS door: received, invisible to other consumers, not deleted yet."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from consumer.doors.sqs.client import BATCH
from consumer.doors.sqs.messages import SqsMessage

_Key = tuple[str, str]
#: How many settled messages whose deletion failed are remembered.
_REMEMBERED = 10_000


class InFlightMessages:
    """Messages that wait for admission, in the order of their queues, or are being admitted. Thread-safe."""

    def __init__(self, queues: Sequence[str], *, room: int) -> None:
        self._room = max(room, BATCH)
        self._changed = threading.Condition()
        self._waiting: dict[str, list[_Key]] = {name: [] for name in queues}
        self._messages: dict[_Key, SqsMessage] = {}
        self._extended_at: dict[_Key, float] = {}
        self._undeleted: dict[_Key, None] = {}
        self._paused = False
        self._closed = False

    def wait_for_room(self, queue: str) -> int:
        """Wait until there is room for a batch from the queue, and return for how many messages; 0 after ``close``."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (not self._paused and self._free(queue) >= BATCH))
            return 0 if self._closed else self._free(queue)

    def add(self, messages: Iterable[SqsMessage]) -> list[SqsMessage] | None:
        """Add received messages. Return those that were settled before and only have to be deleted.

        After ``close``, add nothing and return ``None``: the messages must be made visible again.
        """
        settled = []
        now = time.monotonic()
        with self._changed:
            if self._closed:
                return None
            for message in messages:
                key = (message.queue.url, message.id)
                if self._undeleted.pop(key, 0) is None:
                    settled.append(message)
                    continue
                if key not in self._messages:
                    self._waiting[message.queue.name].append(key)
                # If SQS delivers a message twice, only the newer receipt handle is valid.
                self._messages[key] = message
                self._extended_at[key] = now
            self._changed.notify_all()
        return settled

    def take(self, limit: int, *, wait_seconds: float, gather_seconds: float) -> list[SqsMessage]:
        """Wait for a first message, then up to ``gather_seconds`` for a batch; return up to ``limit`` messages."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._count() > 0, wait_seconds) or self._closed:
                return []
            self._changed.wait_for(lambda: self._closed or self._count() >= limit, gather_seconds)
            keys = list(itertools.islice(itertools.chain.from_iterable(self._waiting.values()), limit))
            for key in keys:
                self._waiting[self._messages[key].queue.name].remove(key)
            self._changed.notify_all()
            return [self._messages[key] for key in keys]

    def release(self, messages: Iterable[SqsMessage]) -> list[SqsMessage]:
        """Remove the messages, and return each with its newest receipt handle."""
        with self._changed:
            return [gone for message in messages if (gone := self._drop((message.queue.url, message.id))) is not None]

    def remember_undeleted(self, messages: Iterable[SqsMessage]) -> None:
        """Remember settled messages whose deletion failed: SQS will deliver them again."""
        with self._changed:
            for message in messages:
                self._undeleted[message.queue.url, message.id] = None
            while len(self._undeleted) > _REMEMBERED:
                del self._undeleted[next(iter(self._undeleted))]

    def needing_extension(self, seconds: float) -> list[SqsMessage]:
        """Return the messages whose visibility timeout was set ``seconds`` ago, and count from now again."""
        now = time.monotonic()
        with self._changed:
            due = [key for key, since in self._extended_at.items() if now - since >= seconds]
            self._extended_at |= dict.fromkeys(due, now)
            return [self._messages[key] for key in due]

    def pause(self, paused: bool) -> None:
        """Stop or resume receiving from all queues."""
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def close(self) -> list[SqsMessage]:
        """End all waiting, remove every message and return them."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return [gone for key in list(self._messages) if (gone := self._drop(key)) is not None]

    def _free(self, queue: str) -> int:
        return self._room - len(self._waiting[queue])

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _drop(self, key: _Key) -> SqsMessage | None:
        message = self._messages.pop(key, None)
        self._extended_at.pop(key, None)
        if message is not None and key in self._waiting[message.queue.name]:
            self._waiting[message.queue.name].remove(key)
        return message


def batches_of_ten(messages: Iterable[SqsMessage]) -> Iterator[list[SqsMessage]]:
    """Yield the messages in batches of one queue each, as large as one SQS request takes."""
    groups: dict[str, list[SqsMessage]] = {}
    for message in messages:
        groups.setdefault(message.queue.url, []).append(message)
    for group in groups.values():
        for start in range(0, len(group), BATCH):
            yield group[start : start + BATCH]
