"""The decision about one upload: a request to admit, a dead letter, or nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from consumer.admission.dead_letters import FailedMessage, failed_message
from consumer.admission.message import IncomingMessage
from consumer.admission.parsing import check_request, identity_of
from consumer.admission.policy import AdmissionPolicy, UploadOrigin
from consumer.ledger.admission import Submission
from consumer.ledger.dead_letters import MOST_READ_BYTES
from consumer.logs import logger
from consumer.uploads.request_factory import RequestFactory
from schemas.envelope import Cancellation, Request
from schemas.errors import InternalError, InvalidEvent, InvalidField, TelecineError, Verdict
from schemas.parse import parse_mapping, read_mapping
from schemas.s3_events import Dropped, Upload, read_event
from schemas.strict_json import parse_object

log = logger(__name__)


def is_event(body: bytes, headers: Mapping[str, Any]) -> bool:
    """Return whether the message is an S3 event, valid or not.

    Raises:
        TelecineError: The message is not readable at all.
    """
    try:
        mapping = read_mapping(body, headers, limit_bytes=MOST_READ_BYTES)
        return read_event(mapping, limit_bytes=MOST_READ_BYTES) is not None
    except InvalidEvent:
        return True


def upload_in(body: bytes) -> Upload | Dropped:
    """Parse a notification with one record.

    Raises:
        TelecineError: The notification is invalid, or it does not have exactly one record.
    """
    # The door has checked the size already, maybe against another limit than today's.
    records = read_event(parse_object(body, limit_bytes=MOST_READ_BYTES), limit_bytes=MOST_READ_BYTES) or ()
    if len(records) != 1:
        raise InvalidEvent("the message is not an S3 event with one record")
    content = records[0].content
    if isinstance(content, TelecineError):
        raise content
    return content


def decide(
    policy: AdmissionPolicy, request_factory: RequestFactory, message: IncomingMessage
) -> Submission | FailedMessage | Dropped:
    """Return what to do with a notification of one record. Reads the object store.

    Raises:
        TelecineError: It cannot be decided at the moment; the error's verdict is ``LATER``.
    """
    mapping: dict[str, Any] = {}
    origin: UploadOrigin | None = None
    request: Request | Cancellation | None = None
    try:
        upload = upload_in(message.body)
        if isinstance(upload, Dropped):
            return upload
        mapping = dict(request_factory.partial_request(upload))
        draft = request_factory.build(upload)
        if isinstance(draft, Dropped):
            if draft.incomplete:
                log.info("pair_incomplete", uri=upload.uri, reason=draft.why)
            else:
                log.info("upload_ignored", uri=upload.uri, reason=draft.why)
            return draft
        mapping, origin = dict(draft.request), UploadOrigin(upload.uri, draft.tenant)
        request = parse_mapping(mapping)
        if isinstance(request, Cancellation):
            raise InvalidField("type: a control message is sent to a queue, not uploaded", field="type")
        item = replace(check_request(request, message, policy, origin=origin), pins=draft.pins)
        log.info(
            "upload_admitted",
            uri=upload.uri,
            job_id=item.request.id,
            version=upload.version,
            sequencer=upload.sequencer,
        )
        return item
    except TelecineError as error:
        if error.verdict is Verdict.LATER:
            raise
        return failed_message(
            mapping, error, origin=origin, identity=identity_of(request, message, policy, origin=origin)
        )
    except Exception as error:  # an upload that breaks the parser must not stop the others
        log.exception("upload_failed", door=message.door)
        raise InternalError(f"the upload could not be read: {type(error).__name__}") from None


def dead_letter_after_retries(
    request_factory: RequestFactory, message: IncomingMessage, error: TelecineError
) -> FailedMessage:
    """Return the dead letter of an upload that was retried until the time limit."""
    upload = upload_in(message.body)
    mapping = request_factory.partial_request(upload) if isinstance(upload, Upload) else {}
    return failed_message(mapping, error)
