"""``telecine dead-letters recover``: return messages to their queue that the broker gave up on."""

from __future__ import annotations

import dataclasses

from consumer.logs import scrub
from ops.cli.console import JsonOption, print_json, remark, show, stop
from ops.cli.opening import read_settings
from ops.wording import count


def recover(as_json: JsonOption = False) -> None:
    """Return messages to their queue that RabbitMQ dead-lettered after too many deliveries.

    Messages that Telecine refused stay in the dead-letter queue.
    """
    from consumer.doors.amqp_dead_letters import recover as recovered

    settings = read_settings()
    if settings.amqp_url is None or not settings.amqp_queues:
        stop(
            "No RabbitMQ queue is configured; set TELECINE_BROKER_URL and TELECINE_AMQP_QUEUES.",
            code="configuration",
        )
    try:
        found = [
            recovered(settings.amqp_url, queue, delivery_limit=settings.amqp_delivery_limit)
            for queue in settings.amqp_queues
        ]
    except Exception as error:
        reason = f"{type(error).__name__}: {scrub(str(error))}"[:200]
        stop(
            f"RabbitMQ does not answer: {reason}. Messages that were not returned are still in the dead-letter queue.",
            code="broker_unavailable",
        )
    if as_json:
        print_json([dataclasses.asdict(item) for item in found])
        return
    for item in found:
        show(f"{item.queue}  {count(item.returned, 'message')} returned, {item.kept} refused ones kept")
    if not any(item.returned for item in found):
        remark("The broker has not given up on any message.")
