"""Publishing of wake-ups, without confirmation or retries: the sweep sends a new one for each that is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from celery import Celery

from consumer.ledger.due import Wake
from consumer.logs import logger
from consumer.wakeups.queues import ADVANCE, EXCHANGE, wake_queue
from pipelines.registry import PIPELINES, is_short

log = logger(__name__)


#: How many short jobs one message is for.
SHARED_BY = 10


class WakeUps:
    """Sends Celery's ``advance`` task for jobs. Thread-safe."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        # With SQS, an exchange only works in a process that has declared its queues, and with an empty exchange Celery
        # ignores the routing key and uses its default queue. So the queue is named.
        self._by_queue = str(app.conf.broker_url).startswith("sqs:")
        self._lock = threading.Lock()

    def __call__(self, wakes: Sequence[Wake]) -> bool:
        """Send messages to the queues of the jobs' roles and priorities. Never raises; ``False`` if any failed.

        One for each job, or one for ten short ones: a worker runs short jobs until there are no more.
        """
        if not wakes:
            return True
        try:
            with self._lock, self._app.producer_pool.acquire(block=True) as producer:
                for wake in _needed(wakes):
                    name = wake_queue(wake.role, wake.priority)
                    by_exchange = {"exchange": EXCHANGE, "routing_key": name}
                    where: dict[str, Any] = {"queue": name} if self._by_queue else by_exchange
                    self._app.send_task(
                        ADVANCE,
                        args=(wake.job_id,),
                        producer=producer,
                        **where,
                        ignore_result=True,
                        retry=False,
                    )
        except Exception as error:
            log.warning("wakeup_not_sent", jobs=len(wakes), reason=type(error).__name__)
            return False
        return True


def _needed(wakes: Sequence[Wake]) -> Iterator[Wake]:
    """Leave out wake-ups of short jobs that share that of another one in their queue."""
    short: Counter[str] = Counter()
    for wake in wakes:
        if wake.type is None or not is_short(PIPELINES, wake.type):
            yield wake
            continue
        name = wake_queue(wake.role, wake.priority)
        if short[name] % SHARED_BY == 0:
            yield wake
        short[name] += 1
