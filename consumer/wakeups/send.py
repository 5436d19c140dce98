"""Publishing of wake-ups, without confirmation or retries: the sweep sends a new one for each that is lost."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from celery import Celery

from consumer.ledger.due import Wake
from consumer.logs import logger
from consumer.wakeups.queues import ADVANCE, EXCHANGE, wake_queue

log = logger(__name__)


class WakeUps:
    """Sends Celery's ``advance`` task for jobs. Thread-safe."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        # With SQS, an exchange only works in a process that has declared its queues, and with an empty exchange Celery
        # ignores the routing key and uses its default queue. So the queue is named.
        self._by_queue = str(app.conf.broker_url).startswith("sqs:")
        self._lock = threading.Lock()

    def __call__(self, wakes: Sequence[Wake]) -> bool:
        """Send one message per job to the queue of its role and priority. Never raises; ``False`` if any failed."""
        if not wakes:
            return True
        try:
            with self._lock, self._app.producer_pool.acquire(block=True) as producer:
                for wake in wakes:
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
