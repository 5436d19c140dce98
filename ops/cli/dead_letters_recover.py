"""``telecine dead-letters recover``: messages that the broker gave up on go back to their queue."""

from __future__ import annotations

import dataclasses

from consumer.logs import scrub
from ops.cli.console import JsonOption, print_json, remark, show, stop
from ops.cli.opening import read_settings
from ops.wording import count


def recover(as_json: JsonOption = False) -> None:
    """Send back what RabbitMQ took out after too many deliveries. Refused messages stay where they are."""
    from consumer.doors.dead_letters import recover as recovered

    settings = read_settings()
    if settings.amqp_url is None or not settings.amqp_queues:
        stop(
            "These settings name no RabbitMQ queue: see TELECINE_BROKER_URL and TELECINE_AMQP_QUEUES.",
            code="configuration",
        )
    try:
        found = [
            recovered(settings.amqp_url, queue, delivery_limit=settings.amqp_delivery_limit)
            for queue in settings.amqp_queues
        ]
    except Exception as error:
        reason = f"{type(error).__name__}: {scrub(str(error))}"[:200]
        stop(f"RabbitMQ does not answer: {reason}. What was not sent back is where it was.", code="broker_unavailable")
    if as_json:
        print_json([dataclasses.asdict(item) for item in found])
        return
    for item in found:
        show(f"{item.queue}  {count(item.returned, 'message')} sent back, {item.kept} refused ones kept")
    if not any(item.returned for item in found):
        remark("The broker has given up on nothing.")
