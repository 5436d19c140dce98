"""SQS: the request queues and their dead letters, and Celery's queues where Celery is on SQS."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping

from consumer.doors.sqs.client import SqsCalls, code_of, sqs_options
from consumer.doors.sqs.messages import SqsQueue, name_of
from ops.checks.finding import Finding, failed, ok, warn
from ops.wording import count
from schemas.settings import Settings

_FEW_RECEIPTS = 3
_WAITING, _HELD = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
_REDRIVE, _RETENTION = "RedrivePolicy", "MessageRetentionPeriod"
_MISSING = ("NonExistentQueue", "QueueDoesNotExist")
_KEYS = ("NoCredentialsError", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException")


def queues(settings: Settings) -> Finding:
    """Whether each queue can be read, where refused messages go, and what waits."""
    if not settings.sqs_queues:
        return ok("none: TELECINE_SQS_QUEUES names no queue")
    calls, told, doubts = SqsCalls(sqs_options(settings)), [], []
    for named in settings.sqs_queues:
        try:
            queue = calls.locate(named)
            found = calls.attributes(queue, _WAITING, _HELD, _REDRIVE, _RETENTION)
        except Exception as error:
            return failed(f"{name_of(named)} cannot be read: {code_of(error)}", _advice(code_of(error)))
        told.append(f"{queue.name} ({count(int(found.get(_WAITING, 0)), 'message')})")
        doubt = _doubt(calls, queue, found)
        if doubt is not None:
            doubts.append(doubt)
    if doubts:
        return warn(f"{', '.join(told)}; {'; '.join(found for found, _ in doubts)}", doubts[0][1])
    return ok(", ".join(told))


def celery(settings: Settings) -> Finding:
    """Whether Celery can run on SQS here: pycurl is there, and SQS answers."""
    if importlib.util.find_spec("pycurl") is None:
        return failed("Celery on SQS needs pycurl", "pip install 'telecine[sqs]'")
    from consumer.app import app

    try:
        with app.connection_for_read() as connection:
            connection.connect()
            connection.channel()
    except Exception as error:
        return failed(f"SQS does not answer Celery: {code_of(error)}", _advice(code_of(error)))
    return ok("SQS, for Celery's own messages")


def _doubt(calls: SqsCalls, queue: SqsQueue, found: Mapping[str, str]) -> tuple[str, str] | None:
    """What is not as it should be, and what to do."""
    if _REDRIVE not in found:
        return (
            f"{queue.name} has no dead-letter queue",
            "set a RedrivePolicy (docs/sqs.md): else a message that crashes every reader comes again for days",
        )
    policy = json.loads(found[_REDRIVE])
    if int(policy["maxReceiveCount"]) < _FEW_RECEIPTS:
        return (
            f"{queue.name} gives up after {count(int(policy['maxReceiveCount']), 'receipt')}",
            "raise maxReceiveCount to 5 or more: a restart at a bad moment uses one up",
        )
    try:
        dead = calls.queue_of_arn(policy["deadLetterTargetArn"])
        there = calls.attributes(dead, _WAITING, _RETENTION)
    except Exception as error:
        return f"the dead-letter queue of {queue.name} cannot be read: {code_of(error)}", _advice(code_of(error))
    if int(there.get(_RETENTION, 0)) < int(found.get(_RETENTION, 0)):
        return (
            f"{dead.name} keeps messages for less time than {queue.name}",
            "raise its MessageRetentionPeriod to 14 days: SQS counts from the first sending",
        )
    if waiting := int(there.get(_WAITING, 0)):
        return (
            f"{count(waiting, 'message')} in {dead.name}",
            "the ledger has the refused ones too: `telecine dead-letters list`; purge or redrive the queue's copies",
        )
    return None


def _advice(code: str) -> str:
    if code in _MISSING:
        return "make the queue, or correct TELECINE_SQS_QUEUES; it is read as soon as it is there"
    if code == "NoRegionError":
        return "set TELECINE_SQS_REGION or AWS_DEFAULT_REGION, or name the queues by URL"
    if code in _KEYS:
        return "see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the role of this machine"
    if code.startswith("AccessDenied"):
        return "grant what docs/sqs.md lists: receive, delete, change visibility, get URL and attributes"
    return "see TELECINE_SQS_ENDPOINT_URL and TELECINE_SQS_REGION; is SQS reachable from here?"
