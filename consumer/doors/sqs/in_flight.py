"""The messages that the SQS door holds: received, hidden from others, not yet deleted."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from consumer.doors.sqs.client import BATCH
from consumer.doors.sqs.messages import SqsMessage

_Key = tuple[str, str]
#: So many deleted messages that SQS may still hand out are remembered.
_REMEMBERED = 10_000


class InFlightMessages:
    """What was received and waits, the most urgent queue's first, and what is being admitted. Thread-safe."""

    def __init__(self, queues: Sequence[str], *, room: int) -> None:
        self._room = max(room, BATCH)
        self._changed = threading.Condition()
        self._waiting: dict[str, list[_Key]] = {name: [] for name in queues}
        self._messages: dict[_Key, SqsMessage] = {}
        self._hidden_at: dict[_Key, float] = {}
        self._undeleted: dict[_Key, None] = {}
        self._paused = False
        self._closed = False

    def wait_for_room(self, queue: str) -> int:
        """Waits until the queue may be read; answers how many messages there is room for, 0 at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (not self._paused and self._free(queue) >= BATCH))
            return 0 if self._closed else self._free(queue)

    def put(self, messages: Iterable[SqsMessage]) -> list[SqsMessage]:
        """Holds the messages. Answers those that are settled already and only need to be deleted."""
        settled = []
        now = time.monotonic()
        with self._changed:
            for message in messages:
                key = (message.queue.url, message.id)
                if self._undeleted.pop(key, 0) is None:
                    settled.append(message)
                    continue
                if key not in self._messages:
                    self._waiting[message.queue.name].append(key)
                # Of one that came twice only the newer receipt counts.
                self._messages[key] = message
                self._hidden_at[key] = now
            self._changed.notify_all()
        return settled

    def take(self, limit: int, *, wait_seconds: float, gather_seconds: float) -> list[SqsMessage]:
        """Up to ``limit`` messages, once there are any: what comes at once with the first is waited for."""
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
        """Holds them no longer; answers each with its newest receipt."""
        with self._changed:
            return [gone for message in messages if (gone := self._drop((message.queue.url, message.id))) is not None]

    def remember(self, messages: Iterable[SqsMessage]) -> None:
        """Notes messages that are settled and could not be deleted: SQS will hand them out again."""
        with self._changed:
            for message in messages:
                self._undeleted[message.queue.url, message.id] = None
            while len(self._undeleted) > _REMEMBERED:
                del self._undeleted[next(iter(self._undeleted))]

    def needing_extension(self, seconds: float) -> list[SqsMessage]:
        """What has been hidden for so long, to be hidden anew; it counts from now."""
        now = time.monotonic()
        with self._changed:
            due = [key for key, since in self._hidden_at.items() if now - since >= seconds]
            self._hidden_at |= dict.fromkeys(due, now)
            return [self._messages[key] for key in due]

    def pause(self, paused: bool) -> None:
        """Whether queues are left alone."""
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def close(self) -> list[SqsMessage]:
        """Ends all waiting; answers everything that was held."""
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
        self._hidden_at.pop(key, None)
        if message is not None and key in self._waiting[message.queue.name]:
            self._waiting[message.queue.name].remove(key)
        return message


def batches_of_ten(messages: Iterable[SqsMessage]) -> Iterator[list[SqsMessage]]:
    """The messages in groups of one queue each, as large as one call takes."""
    groups: dict[str, list[SqsMessage]] = {}
    for message in messages:
        groups.setdefault(message.queue.url, []).append(message)
    for group in groups.values():
        for start in range(0, len(group), BATCH):
            yield group[start : start + BATCH]
