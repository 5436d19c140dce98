"""Checks of SQS: the request queues, their dead-letter queues, and Celery's queues if Celery runs on SQS."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping

from consumer.doors.sqs.client import SqsClient, error_code, sqs_options
from consumer.doors.sqs.messages import SqsQueue, queue_name
from consumer.storage.s3_credentials import advice as credentials_advice, rejection
from ops.checks.finding import Finding, failed, ok, warn
from ops.formatting import count
from schemas.settings import Settings

_FEW_RECEIPTS = 3
_WAITING, _HELD = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
_REDRIVE, _RETENTION = "RedrivePolicy", "MessageRetentionPeriod"
_MISSING = ("NonExistentQueue", "QueueDoesNotExist")


def queues(settings: Settings) -> Finding:
    """Check that each queue can be read and has a suitable dead-letter queue, and count the waiting messages."""
    if not settings.sqs_queues:
        return ok("none: TELECINE_SQS_QUEUES is not set")
    client, told, doubts = SqsClient(sqs_options(settings)), [], []
    for named in settings.sqs_queues:
        try:
            queue = client.find_queue(named)
            found = client.attributes(queue, _WAITING, _HELD, _REDRIVE, _RETENTION)
        except Exception as error:
            return failed(f"{queue_name(named)} cannot be read: {error_code(error)}", _advice(error))
        told.append(f"{queue.name} ({count(int(found.get(_WAITING, 0)), 'message')})")
        doubt = _doubt(client, queue, found)
        if doubt is not None:
            doubts.append(doubt)
    if doubts:
        return warn(f"{', '.join(told)}; {'; '.join(found for found, _ in doubts)}", doubts[0][1])
    return ok(", ".join(told))


def celery(settings: Settings) -> Finding:
    """Check that Celery can run on SQS: pycurl is installed and SQS answers."""
    if importlib.util.find_spec("pycurl") is None:
        return failed("Celery on SQS needs pycurl", "pip install '.[sqs]' in Telecine's folder")
    from consumer.app import app

    try:
        with app.connection_for_read() as connection:
            connection.connect()
            connection.channel()
    except Exception as error:
        return failed(f"SQS does not answer Celery: {error_code(error)}", _advice(error))
    return ok("SQS, for Celery's own messages")


def _doubt(client: SqsClient, queue: SqsQueue, found: Mapping[str, str]) -> tuple[str, str] | None:
    """Return a problem of the queue or its dead-letter queue and what to do, or ``None``."""
    if _REDRIVE not in found:
        return (
            f"{queue.name} has no dead-letter queue",
            "set a RedrivePolicy (docs/sqs.md): otherwise a message that crashes its reader is redelivered for days",
        )
    policy = json.loads(found[_REDRIVE])
    if int(policy["maxReceiveCount"]) < _FEW_RECEIPTS:
        return (
            f"{queue.name} gives up after {count(int(policy['maxReceiveCount']), 'receipt')}",
            "raise maxReceiveCount to 5 or more: a restart can use one up",
        )
    try:
        dead = client.queue_by_arn(policy["deadLetterTargetArn"])
        there = client.attributes(dead, _WAITING, _RETENTION)
    except Exception as error:
        return f"the dead-letter queue of {queue.name} cannot be read: {error_code(error)}", _advice(error)
    if int(there.get(_RETENTION, 0)) < int(found.get(_RETENTION, 0)):
        return (
            f"{dead.name} keeps messages for less time than {queue.name}",
            "raise its MessageRetentionPeriod to 14 days: SQS counts from when the message was first sent",
        )
    if waiting := int(there.get(_WAITING, 0)):
        return (
            f"{count(waiting, 'message')} in {dead.name}",
            "the ledger also has the refused ones: `telecine dead-letters list`; purge or redrive the queue's copies",
        )
    return None


def _advice(error: Exception) -> str:
    code = error_code(error)
    if (reason := rejection(error)) is not None:
        return credentials_advice(reason)
    if code in _MISSING:
        return "create the queue, or correct TELECINE_SQS_QUEUES; it is read as soon as it exists"
    if code == "NoRegionError":
        return "set TELECINE_SQS_REGION or AWS_DEFAULT_REGION, or name the queues by URL"
    if code.startswith("AccessDenied"):
        return "grant the rights listed in docs/sqs.md: receive, delete, change visibility, get URL and attributes"
    return "check TELECINE_SQS_ENDPOINT_URL and TELECINE_SQS_REGION; is SQS reachable from here?"
