"""Uploads become requests here: what is decided about one, apart from the loop that goes through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from consumer.admission.batch import BatchAdmitter, FailedMessage, failed_message
from consumer.admission.message import IncomingMessage
from consumer.ledger.admission import Submission
from consumer.ledger.dead_letters import KEPT_BYTES
from consumer.logs import logger
from consumer.uploads.request_factory import RequestFactory
from schemas.errors import InternalError, InvalidEvent, InvalidField, TelecineError, Verdict
from schemas.parse import read_mapping
from schemas.s3_events import Dropped, Upload, read_event
from schemas.strict_json import parse_object

log = logger(__name__)


def is_event(body: bytes, headers: Mapping[str, Any]) -> bool:
    """Whether the message is an S3 event, sound or not.

    Raises:
        TelecineError: it cannot be read at all.
    """
    try:
        return read_event(read_mapping(body, headers, limit_bytes=KEPT_BYTES), limit_bytes=KEPT_BYTES) is not None
    except InvalidEvent:
        return True


def upload_in(body: bytes) -> Upload | Dropped:
    """What the one record of the notification says.

    Raises:
        TelecineError: it cannot be read, or there is more than one.
    """
    # Its size was looked at by the door, whatever the limit is by now.
    records = read_event(parse_object(body, limit_bytes=KEPT_BYTES), limit_bytes=KEPT_BYTES) or ()
    if len(records) != 1:
        raise InvalidEvent("the message is not an S3 event with one record")
    said = records[0].content
    if isinstance(said, TelecineError):
        raise said
    return said


def decide(
    admitter: BatchAdmitter, request_factory: RequestFactory, arrival: IncomingMessage
) -> Submission | FailedMessage | Dropped:
    """What becomes of a notification with one record.

    Raises:
        TelecineError: that cannot be known just now. Its verdict is ``LATER``.
    """
    mapping: dict[str, Any] = {}
    rule_tenant = uploaded = None
    try:
        upload = upload_in(arrival.body)
        if isinstance(upload, Dropped):
            return upload
        mapping = dict(request_factory.partial_request(upload))
        made = request_factory(upload)
        if isinstance(made, Dropped):
            log.info("upload_dropped", uri=upload.uri, why=made.why)
            return made
        mapping, rule_tenant, uploaded = dict(made.request), made.tenant, upload.uri
        item = admitter.validate(mapping, arrival, rule_tenant=rule_tenant, uploaded=uploaded)
        if not isinstance(item, Submission):
            raise InvalidField("type: a control message is sent to a queue, not uploaded", field="type")
        item = replace(item, pins=made.pins)
        log.info("uploaded", uri=upload.uri, job_id=item.request.id, version=upload.version, sequencer=upload.sequencer)
        return item
    except TelecineError as error:
        if error.verdict is Verdict.LATER:
            raise
        return replace(failed_message(mapping, error), rule_tenant=rule_tenant, uploaded=uploaded)
    except Exception as error:  # whatever an upload does, the others are served
        log.exception("upload_failed", door=arrival.door)
        raise InternalError(f"the upload could not be read: {type(error).__name__}") from None


def dead_letter_after_retries(
    request_factory: RequestFactory, arrival: IncomingMessage, error: TelecineError
) -> FailedMessage:
    """The refusal of an upload that was tried for too long."""
    upload = upload_in(arrival.body)
    mapping = request_factory.partial_request(upload) if isinstance(upload, Upload) else {}
    return failed_message(mapping, error)
