"""Where Celery's own messages travel: RabbitMQ, SQS, or this process's memory."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from kombu.transport import TRANSPORT_ALIASES

from consumer.wakeups import lenient_amqp
from schemas.settings import Settings

# sqs:// means kombu's transport with a repair.
TRANSPORT_ALIASES["sqs"] = "consumer.wakeups.sqs_transport:Transport"
# Whoever may send requests may also publish to the queues of the wake-ups.
lenient_amqp.install()

#: A wake-up that a busy worker holds longer is handed to another one. Both may run: the lease is in the ledger.
_VISIBILITY_SECONDS = 60


def broker_address(settings: Settings) -> str:
    """The broker's URL as kombu wants it. For SQS, keys that are not in the URL come from the AWS chain."""
    if settings.broker_url is None:
        return "memory://localhost/"
    url = settings.broker_url.get_secret_value()
    if settings.celery_on_sqs and settings.sqs_endpoint_url is not None and url.rstrip("/") == "sqs:":
        # kombu takes the endpoint from the URL.
        return f"sqs://{urlsplit(settings.sqs_endpoint_url).netloc}/"
    return url


def transport_options(settings: Settings) -> dict[str, Any]:
    """What the transport is told."""
    if settings.embedded:
        return {"polling_interval": 0.02}
    if not settings.celery_on_sqs:
        return {}
    options: dict[str, Any] = {
        "visibility_timeout": _VISIBILITY_SECONDS,
        "wait_time_seconds": settings.sqs_wait_seconds,
        # kombu waits so long between two long polls.
        "polling_interval": 0.2,
        "is_secure": not (settings.sqs_endpoint_url or "https:").startswith("http:"),
        # A door must not wait for minutes until it knows that a wake-up cannot be sent.
        "client-config": {"connect_timeout": 3, "read_timeout": 10, "retries": {"total_max_attempts": 2}},
    }
    if settings.sqs_region is not None:
        options["region"] = settings.sqs_region
    return options
