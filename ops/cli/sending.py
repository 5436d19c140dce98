"""Sending requests to the first request queue or, in embedded mode, to the inbox."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from consumer.doors.drop import drop
from consumer.logs import scrub
from ops.formatting import count
from ops.health_client import ask_health, health_address
from schemas.errors import ConfigurationError
from schemas.settings import Settings

#: How long a `telecine up` that was started together with this command may take to create its folder.
_START_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sent:
    """Where requests were sent."""

    #: The folder, queue or SQS queue, for people.
    place: str
    #: Whether something reads there; ``None`` if that cannot be known.
    read: bool | None
    #: What reads there, or what would.
    reader: str

    def __str__(self) -> str:
        return f"Sent to {self.place}; {self.reader}."


def send(settings: Settings, bodies: Sequence[bytes]) -> Sent:
    """Put each body unchanged on the first request queue, confirmed; in embedded mode into the inbox.

    Raises:
        ConfigurationError: If they were not sent, or the broker did not confirm them; sending them again is harmless.
    """
    if settings.embedded:
        _drop(settings, bodies)
        return _in_inbox(settings)
    return _publish(settings, bodies)


def send_quietly(settings: Settings, bodies: Sequence[bytes]) -> None:
    """Do the same without looking at what reads there, which takes a call of the health port in embedded mode.

    SQS queues are preferred to the inbox, because the sender can be another machine than the one with the doors.

    Raises:
        ConfigurationError: As ``send``.
    """
    if settings.embedded and not settings.sqs_queues:
        _drop(settings, bodies)
    else:
        _publish(settings, bodies)


def _publish(settings: Settings, bodies: Sequence[bytes]) -> Sent:
    from consumer.doors.publish import publish, publish_to_sqs
    from consumer.doors.sqs.client import sqs_options

    if settings.amqp_url is None and not settings.sqs_queues:
        raise ConfigurationError("no request queue is configured; set TELECINE_SQS_QUEUES")
    try:
        if settings.amqp_url is None:
            publish_to_sqs(sqs_options(settings), settings.sqs_queues[0], bodies)
            return Sent(f"the SQS queue {settings.own_queue}", None, "SQS does not report who reads it")
        queue = settings.amqp_queues[0]
        readers = publish(settings.amqp_url, queue, bodies, delivery_limit=settings.amqp_delivery_limit)
    except Exception as error:
        reason = scrub(f"{type(error).__name__}: {error}")
        what = "the request" if len(bodies) == 1 else "all requests"
        raise ConfigurationError(
            f"the broker did not confirm {what} ({reason}); send again after `telecine doctor` passes"
        ) from None
    reader = f"{count(readers, 'door')} read it" if readers != 1 else "1 door reads it"
    if not readers:
        reader = "nothing reads it now: `telecine up` does"
    return Sent(f"the queue {queue} at {scrub(settings.amqp_url)}", readers > 0, reader)


def require_home(settings: Settings) -> None:
    """Check that embedded mode's folder exists, unless the settings name it: this may be the wrong directory.

    Raises:
        ConfigurationError: It does not exist, and no `telecine up` creates it now.
    """
    if not settings.embedded or {"home", "inbox"} & settings.model_fields_set:
        return
    home = settings.home.absolute()
    deadline = time.monotonic() + _START_SECONDS
    while not home.exists():
        if time.monotonic() >= deadline:
            raise ConfigurationError(
                f"there is no Telecine here: {home} does not exist. Run `telecine up` in this directory, change to the "
                "directory of a running one, or name its folder in TELECINE_HOME"
            )
        time.sleep(0.1)


def _drop(settings: Settings, bodies: Sequence[bytes]) -> None:
    try:
        for body in bodies:
            drop(settings.inbox_folder, body)
    except OSError as error:
        raise ConfigurationError(f"cannot write to the inbox {settings.inbox_folder}: {error.strerror}") from None


def _in_inbox(settings: Settings) -> Sent:
    place = f"the inbox {settings.inbox_folder}"
    answer = ask_health(settings)
    if answer is not None and answer.same_ledger:
        return Sent(place, True, f"Telecine at {answer.address} reads it")
    address = health_address(settings)
    if address is None:
        return Sent(place, None, "`telecine up` reads it")
    return Sent(place, False, f"no Telecine answers at {address}: `telecine up` reads it")
