"""Celery's settings, each with its reason. `celery -A consumer.app worker` and every Celery tool read them.

A Celery message is only a wake-up that carries a job's id. The ledger owns the job: losing or
doubling a message costs a delay, never a job (docs/decisions/0002).
"""

from __future__ import annotations

from kombu import Exchange, Queue

from consumer.wakeups.broker import broker_address, transport_options
from consumer.wakeups.queues import EXCHANGE, ROLES, wake_queue
from schemas.envelope import PRIORITIES
from schemas.settings import Settings

_settings = Settings()
_quorum = _settings.amqp_url is not None

# RabbitMQ, or SQS. Without either, worker and doors share one process and kombu's in-memory transport.
broker_url = broker_address(_settings)
broker_connection_retry_on_startup = True
# A broker may be away for a night; the worker waits for it.
broker_connection_max_retries = None
broker_transport_options = transport_options(_settings)

# Plain JSON only: a message must never be able to run code.
task_serializer = "json"
accept_content = ["json"]

# Results live in the ledger.
task_ignore_result = True
result_backend = None

# A wake-up is acknowledged when it is taken: held for the minutes that a video takes, RabbitMQ would
# close the channel after consumer_timeout (30 min) and the worker would exit. The lease guards the job.
task_acks_late = False
task_reject_on_worker_lost = False

# One wake-up in hand at a time: the rest stays with the broker, for whichever worker is free.
worker_prefetch_multiplier = 1

# Quorum queues survive a broker's crash. They have no global prefetch, so Celery must know.
task_default_queue = wake_queue("io", "normal")
task_default_queue_type = "quorum" if _quorum else "classic"
task_default_exchange = EXCHANGE
# SQS knows no other than direct ones.
_exchange_type = "direct" if _settings.celery_on_sqs else "topic"
task_default_exchange_type = _exchange_type
task_create_missing_queues = False
task_queues = [
    Queue(
        wake_queue(role, priority),
        Exchange(EXCHANGE, type=_exchange_type),
        routing_key=wake_queue(role, priority),
        # A wake-up that could not be handled in so many deliveries is dropped: the sweep makes a new one.
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 10} if _quorum else {},
    )
    for priority in PRIORITIES
    for role in ROLES
]
# Telecine never uses countdown or eta: time belongs to the ledger. So no delayed-delivery queues.
worker_consumer = "consumer.wakeups.celery_consumer:WakeUpConsumer"

# When the broker goes away a running job goes on: its lease is in the ledger.
worker_cancel_long_running_tasks_on_connection_loss = False

# Remote control stays on, so that `celery inspect` and flower work. SQS has no fanout for it.
worker_enable_remote_control = _quorum
# Not exclusive: after a lost connection or a crash the broker holds the old one for minutes, and Celery's worker ends
# when a queue is locked. RabbitMQ refuses queues that are neither exclusive nor durable in its newest versions.
control_queue_exclusive = False
control_queue_durable = True
worker_send_task_events = False

# The process sets up logging itself; Celery would replace it.
worker_hijack_root_logger = False
worker_redirect_stdouts = False

worker_concurrency = _settings.concurrency
timezone = "UTC"
enable_utc = True
