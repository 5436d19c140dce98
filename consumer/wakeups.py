"""Publishing wake-ups. A lost one is repeated by the sweep, so none is confirmed and none is retried here."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from celery import Celery

from consumer.ledger.due import Wake
from consumer.logs import logger
from consumer.queues import ADVANCE, EXCHANGE, wake_queue

log = logger(__name__)


class WakeUps:
    """Sends Celery's ``advance`` for each job. Safe to call from several threads."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        # Over SQS each process would have to declare the queues first, to know what the exchange leads to.
        self._exchange = "" if str(app.conf.broker_url).startswith("sqs:") else EXCHANGE
        self._lock = threading.Lock()

    def __call__(self, wakes: Sequence[Wake]) -> bool:
        """One message a job, on the queue of its role and priority. Never raises; ``False`` if any was not sent."""
        if not wakes:
            return True
        try:
            with self._lock, self._app.producer_pool.acquire(block=True) as producer:
                for wake in wakes:
                    self._app.send_task(
                        ADVANCE,
                        args=(wake.job_id,),
                        producer=producer,
                        exchange=self._exchange,
                        routing_key=wake_queue(wake.role, wake.priority),
                        ignore_result=True,
                        retry=False,
                    )
        except Exception as error:
            log.warning("wake_up_not_sent", jobs=len(wakes), reason=type(error).__name__)
            return False
        return True
