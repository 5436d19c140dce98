"""Messages that become dead letters, and the callback about them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.admission.policy import AdmissionPolicy, UploadOrigin
from consumer.callbacks.bodies import dead_letter_delivery
from consumer.ledger.admission import Identity
from consumer.ledger.database import Database
from consumer.ledger.dead_letters import add_dead_letter
from consumer.ledger.outbox import NewDelivery, enqueue
from consumer.logs import logger
from schemas.envelope import CallbackSpec
from schemas.errors import TelecineError
from schemas.parse import recover_fields

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class FailedMessage:
    """A message that becomes a dead letter, with the fields that its callback needs."""

    error: TelecineError
    request_id: str | None = None
    callback: CallbackSpec | None = None
    metadata: Mapping[str, Any] | None = None
    type: str | None = None
    #: As it is in the message; any JSON value.
    tenant: object = None
    #: Set if the request was made from an upload.
    origin: UploadOrigin | None = None
    #: Set if the message is a valid request that may not become a job, though it may be the duplicate of one.
    identity: Identity | None = None


def failed_message(
    mapping: Mapping[str, Any],
    error: TelecineError,
    *,
    origin: UploadOrigin | None = None,
    identity: Identity | None = None,
) -> FailedMessage:
    """Return the dead letter of an invalid request, with those of its fields that are valid."""
    request_id, callback, metadata = recover_fields(mapping)
    kind = mapping.get("type")
    return FailedMessage(
        error,
        request_id=request_id,
        callback=callback,
        metadata=metadata,
        type=kind if isinstance(kind, str) else None,
        tenant=mapping.get("tenant"),
        origin=origin,
        identity=identity,
    )


class DeadLetterWriter:
    """Writes dead letters and their callbacks, each in the caller's transaction."""

    def __init__(self, database: Database, policy: AdmissionPolicy) -> None:
        self._database = database
        self._policy = policy

    def write(self, connection: Connection, message: IncomingMessage, failed: FailedMessage) -> AdmitResult:
        """Store the message as a dead letter, and enqueue a ``failed`` callback if the request asks for one."""
        seq = add_dead_letter(
            connection,
            door=message.door,
            source=message.source,
            request_id=failed.request_id,
            error=failed.error,
            body=message.body,
            headers=message.headers,
            keep_bytes=self._policy.max_message_bytes,
        )
        delivery = self._delivery(message, failed)
        if delivery is not None:
            enqueue(self._database, connection, delivery)
        log.warning(
            "request_rejected", door=message.door, code=failed.error.code, dead_letter=seq, request_id=failed.request_id
        )
        return AdmitResult(error=failed.error)

    def _delivery(self, message: IncomingMessage, failed: FailedMessage) -> NewDelivery | None:
        callback = failed.callback
        if callback is None or "failed" not in callback.events:
            return None
        if not self._policy.may_notify(callback, failed.tenant, message.source, origin=failed.origin):
            return None
        return dead_letter_delivery(
            message=message.body,
            request_id=failed.request_id,
            type=failed.type,
            status="failed",
            error=failed.error,
            callback=self._with_signer(self._policy.game.with_url(callback)),
            metadata=failed.metadata,
            at=dt.datetime.now(dt.UTC),
        )

    def _with_signer(self, callback: CallbackSpec) -> CallbackSpec:
        """Name the default signing secret, because there is no job to check a later default against."""
        if callback.secret_name is not None or not self._policy.tenants.tenants:
            return callback
        return callback.model_copy(update={"secret_name": self._policy.default_signer})
