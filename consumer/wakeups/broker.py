"""The broker of Celery's own messages: RabbitMQ, SQS, or this process's memory."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from kombu.transport import TRANSPORT_ALIASES

from consumer.wakeups import lenient_amqp
from schemas.settings import Settings

# sqs:// selects kombu's transport with our patch.
TRANSPORT_ALIASES["sqs"] = "consumer.wakeups.sqs_transport:Transport"
# Anyone who may send requests may also publish to the wake-up queues.
lenient_amqp.install()

#: SQS visibility timeout of wake-ups. If two workers receive one, only one of them gets the lease in the ledger.
_VISIBILITY_SECONDS = 60


def broker_address(settings: Settings) -> str:
    """Return the broker URL for kombu. SQS credentials that are not in the URL come from the AWS chain."""
    if settings.broker_url is None:
        return "memory://localhost/"
    url = settings.broker_url.get_secret_value()
    if settings.celery_on_sqs and settings.sqs_endpoint_url is not None and url.rstrip("/") == "sqs:":
        # kombu takes the endpoint from the URL.
        return f"sqs://{urlsplit(settings.sqs_endpoint_url).netloc}/"
    return url


def transport_options(settings: Settings) -> dict[str, Any]:
    """Return the options of kombu's transport."""
    if settings.embedded:
        return {"polling_interval": 0.02}
    if not settings.celery_on_sqs:
        return {}
    options: dict[str, Any] = {
        "visibility_timeout": _VISIBILITY_SECONDS,
        "wait_time_seconds": settings.sqs_wait_seconds,
        # kombu's pause between two long polls.
        "polling_interval": 0.2,
        "is_secure": not (settings.sqs_endpoint_url or "https:").startswith("http:"),
        # A door must not wait minutes for a wake-up that cannot be sent.
        "client-config": {"connect_timeout": 3, "read_timeout": 10, "retries": {"total_max_attempts": 2}},
    }
    if settings.sqs_region is not None:
        options["region"] = settings.sqs_region
    return options
