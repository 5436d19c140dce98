"""From a message's bytes to what the ledger has to do with it. Does not read the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consumer.admission.dead_letters import FailedMessage, failed_message
from consumer.admission.message import IncomingMessage
from consumer.admission.notification import S3Notification, classify
from consumer.admission.policy import AdmissionPolicy, UploadOrigin
from consumer.ledger.admission import Identity, Submission, build_submission
from consumer.logs import logger
from schemas.envelope import Cancellation, Request
from schemas.errors import InternalError, RequestError, TelecineError
from schemas.parse import parse_mapping, read_mapping
from schemas.s3_events import read_event

log = logger(__name__)

ParsedMessage = Submission | Cancellation | FailedMessage | S3Notification


def parse_message(message: IncomingMessage, policy: AdmissionPolicy) -> ParsedMessage:
    """Parse and check one message. Never raises: an invalid message is a ``FailedMessage``."""
    mapping: Mapping[str, Any] = {}
    request: Request | Cancellation | None = None
    try:
        limit = policy.max_message_bytes
        mapping = read_mapping(message.body, message.headers, limit_bytes=limit)
        records = read_event(mapping, limit_bytes=limit)
        if records is not None:
            return classify(records, policy.triggers, message)
        request = parse_mapping(mapping)
        if isinstance(request, Cancellation):
            return policy.check_cancellation(request, message.source)
        return check_request(request, message, policy)
    except TelecineError as error:
        return failed_message(mapping, error, identity=identity_of(request, message, policy))
    except Exception as error:  # a message that breaks the parser must not stop the door
        log.exception("parse_failed", door=message.door)
        return failed_message(mapping, InternalError(f"the request could not be read: {type(error).__name__}"))


def check_request(
    request: Request, message: IncomingMessage, policy: AdmissionPolicy, *, origin: UploadOrigin | None = None
) -> Submission:
    """Return the request, ready for the ledger.

    Raises:
        RequestError: The policy does not permit it.
    """
    admissible = policy.check(request, message.source, origin=origin)
    return build_submission(
        admissible.request,
        role=admissible.role,
        door=message.door,
        priority=admissible.priority,
        output=admissible.output,
        callback=admissible.callback,
    )


def identity_of(
    request: Request | Cancellation | None,
    message: IncomingMessage,
    policy: AdmissionPolicy,
    *,
    origin: UploadOrigin | None = None,
) -> Identity | None:
    """Return what identifies a valid request that the policy does not permit; ``None`` for any other message.

    The rules may have changed since the same request was admitted. Its duplicate is a duplicate nevertheless.
    """
    if not isinstance(request, Request):
        return None
    try:
        tenant = policy.tenants.resolve(request.tenant, message.source, rule=origin.rule_tenant if origin else None)
    except RequestError:
        return None
    return Identity.of(request.model_copy(update={"tenant": tenant}))
