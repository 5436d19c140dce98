"""Checks of RabbitMQ: it is reachable, it supports quorum queues, and its queues are declared as Telecine expects."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from consumer.doors.inbox import waiting_requests
from consumer.logs import scrub
from consumer.wakeups.queues import dead_queue
from ops.checks import sqs
from ops.checks.finding import Finding, failed, ok, warn
from ops.formatting import count
from schemas.settings import Settings

_NOT_FOUND, _PRECONDITION = 404, 406
_EXPIRES_MILLISECONDS = 60_000


def broker(settings: Settings) -> Finding:
    """Check that the broker answers and can create a quorum queue, by creating and deleting one."""
    if settings.celery_on_sqs:
        return sqs.celery(settings)
    if settings.amqp_url is None:
        return ok("none: embedded mode")
    url = settings.amqp_url
    try:
        with _connected(url) as connection:
            facts = connection.connection.server_properties
            name = f"{facts.get('product', 'broker')} {facts.get('version', '')}".strip()
            trouble = _quorum_trouble(connection)
    except Exception as error:
        reason = f"{type(error).__name__}: {scrub(str(error))}"[:200]
        return failed(
            f"{scrub(url)} does not answer: {reason}",
            "check TELECINE_BROKER_URL; is the server running, and may this user log in?",
        )
    if trouble is not None:
        return failed(
            f"{name} cannot create a quorum queue: {trouble}",
            "use RabbitMQ 3.10 or newer, and let this user configure queues named telecine.*",
        )
    return ok(f"{name} at {scrub(url)}, with quorum queues")


def queues(settings: Settings) -> Finding:
    """Report the request queues, and how many messages wait in them and in their dead-letter queues."""
    if settings.celery_on_sqs:
        return ok("none on RabbitMQ")
    if settings.amqp_url is None:
        requests = len(waiting_requests(settings.inbox_folder))
        return ok(f"the inbox folder {settings.inbox_folder} ({count(requests, 'request')})")
    summaries, dead = [], 0
    with _connected(settings.amqp_url) as connection:
        for name in settings.amqp_queues:
            waiting = _depth(connection, name)
            if waiting is None:
                summaries.append(f"{name} (created at the first start)")
                continue
            if (other := _other_arguments(connection, name, settings.amqp_delivery_limit)) is not None:
                return failed(
                    f"{name} exists with other arguments: {other}",
                    f"empty and delete the queue {name}, or name another in TELECINE_AMQP_QUEUES",
                )
            summaries.append(f"{name} ({count(waiting, 'message')})")
            dead += _depth(connection, dead_queue(name)) or 0
    if dead:
        advice = (
            "`telecine dead-letters recover` returns those that the broker gave up on; the rest are copies of the ones "
            "in `telecine dead-letters list`"
        )
        return warn(f"{', '.join(summaries)}; {count(dead, 'message')} in dead-letter queues", advice)
    return ok(", ".join(summaries))


def consumers(url: str, queues: Mapping[str, str]) -> dict[str, int]:
    """Return the number of consumers of each queue, under the caller's names; 0 for a queue that does not exist."""
    with _connected(url) as connection:
        return {name: _declared(connection, queue, "consumer_count") or 0 for name, queue in queues.items()}


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Any]:
    from consumer.app import app

    with app.connection_for_read(url, connect_timeout=5) as connection:
        connection.connect()
        yield connection


def _quorum_trouble(connection: Any) -> str | None:
    channel = connection.channel()
    name = f"telecine.doctor.{uuid.uuid4().hex[:12]}"
    arguments = {"x-queue-type": "quorum", "x-expires": _EXPIRES_MILLISECONDS}
    try:
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        channel.queue_delete(name)
    except Exception as error:
        return scrub(str(error))[:200]
    return None


def _depth(connection: Any, name: str) -> int | None:
    """Return the number of messages in the queue, or ``None`` if it does not exist."""
    return _declared(connection, name, "message_count")


def _declared(connection: Any, name: str, what: str) -> int | None:
    """Return a count of the queue, or ``None`` if it does not exist.

    An error closes the channel, so each query has its own.
    """
    try:
        return int(getattr(connection.channel().queue_declare(name, passive=True), what))
    except Exception as error:
        if getattr(error, "reply_code", None) == _NOT_FOUND:
            return None
        raise


def _other_arguments(connection: Any, name: str, delivery_limit: int) -> str | None:
    """Return the broker's error if the queue was declared with other arguments than Telecine's, else ``None``."""
    from consumer.doors.amqp import declare

    try:
        declare(connection.channel(), [name], delivery_limit=delivery_limit)
    except Exception as error:
        if getattr(error, "reply_code", None) == _PRECONDITION:
            return str(getattr(error, "reply_text", error))[:200]
        raise
    return None
