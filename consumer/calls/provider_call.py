"""Conversion between a call in the ledger and the interface of a provider, in both directions."""

from __future__ import annotations

import decimal
import functools
import json
import mimetypes
from pathlib import Path
from typing import Any

from consumer.ledger.call_records import CallRow, CallTask, ProviderResult
from consumer.ledger.call_request import CallInput
from consumer.runtime import Runtime
from consumer.storage.references import shown
from consumer.storage.scratch import LazyFolder
from providers.base import Call, MediaInput, Ready, TaskRef
from providers.catalogue import Model, billable_seconds
from schemas.errors import InputReplaced, InputTooLarge, InputUnavailable, InternalError
from schemas.errors.disk import as_disk_error

#: Lifetime of presigned input URLs: longer than any model's time limit.
INPUT_URL_SECONDS = 24 * 3600


def model_of(runtime: Runtime, row: CallRow) -> Model:
    """Return the catalogue's entry of the call's model.

    Raises:
        UnknownModel: The operator has removed it from the catalogue.
    """
    return runtime.catalogue.find(row.model, row.spec.type)


def price_of(runtime: Runtime, row: CallRow) -> int:
    """Return the expected price in micro-dollars; 0 if it is unknown, or for a removed model, which is not called."""
    model = next((model for model in runtime.catalogue if model.id == row.model), None)
    if model is None:
        return 0
    given = row.candidate.parameters  # with the model's defaults, which the request need not name
    return model.cost(billable_seconds(given, row.spec.media_seconds), given) or 0


def build_call(runtime: Runtime, row: CallRow, folder: LazyFolder | None = None, *, now: float | None = None) -> Call:
    """Return the call as an adapter takes it, with URLs that are presigned now.

    Args:
        folder: Where to put inputs that a provider wants as bytes. Only a submission needs it.
        now: The ledger's time. Only a look-up needs it.
    """
    return Call(
        key=row.id,
        job_id=row.job_id,
        step=row.step,
        model=model_of(runtime, row),
        parameters=row.candidate.parameters,
        inputs={name: _media_input(runtime, name, item, folder) for name, item in row.spec.inputs.items()},
        submitted_at=row.submitted_at,
        now=now,
    )


def to_call_task(found: TaskRef) -> CallTask:
    """Return the provider's task as the ledger keeps it."""
    return CallTask.from_stored(_storable({"id": found.id, "extra": dict(found.extra)}))


def to_provider_result(answer: Ready) -> ProviderResult:
    """Return the provider's result as the ledger keeps it."""
    record = {"url": answer.url, "value": answer.value, "price": answer.price, "details": dict(answer.details)}
    record["other_urls"] = list(answer.other_urls)
    return ProviderResult(content=answer.content, **_storable(record))


def task_ref(row: CallRow) -> TaskRef:
    """Return the task of a call that the provider has accepted."""
    assert row.task is not None
    return TaskRef(row.task.id, row.task.extra)


def charged(row: CallRow) -> int:
    """Return the price that the provider reported, in micro-dollars, or else the price reserved for the call."""
    reported = None if row.provider_result is None else row.provider_result.price
    try:
        micros = int(decimal.Decimal(str(reported)) * 1_000_000)
    except (decimal.InvalidOperation, ValueError, OverflowError):  # not reported, or not a number
        return row.reserved
    return micros if 0 <= micros < 2**63 else row.reserved


def _storable(record: dict[str, Any]) -> dict[str, Any]:
    """Return ``record`` as JSON that any database can store: without lone surrogates, other objects as text."""
    text = json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "replace")
    storable: dict[str, Any] = json.loads(text)
    return storable


def _media_input(runtime: Runtime, name: str, item: CallInput, folder: LazyFolder | None) -> MediaInput:
    file = f"{name}{mimetypes.guess_extension(item.content_type) or ''}"
    return MediaInput(
        url=runtime.references.url(item.uri, INPUT_URL_SECONDS, item.pin),
        content_type=item.content_type,
        bytes=item.bytes,
        sha256=item.sha256,
        load=functools.partial(_load, runtime, item, folder, file),
    )


def _load(runtime: Runtime, item: CallInput, folder: LazyFolder | None, name: str) -> Path:
    """Fetch the input into the folder. The call has not been sent yet, so an error here costs nothing.

    Raises:
        InputReplaced: The content is not the one that the worker saw.
        InputUnavailable: It could not be fetched or written.
    """
    if folder is None:
        raise InternalError("the adapter loads an input outside of a submission; load inputs in submit() only")
    try:
        path = folder.path / name
        if not path.exists():
            fetched = runtime.references.fetch(item.uri, path, item.bytes, item.pin)
            if fetched.sha256 != item.sha256:
                path.unlink()
                raise _replaced(item)
    except InputTooLarge:
        raise _replaced(item) from None
    except OSError as error:  # such as a full disk
        reason = f"an input could not be written to this machine's disk: {error.strerror}"
        raise InputUnavailable(reason, outage=as_disk_error(error) is not None) from None
    return path


def _replaced(item: CallInput) -> InputReplaced:
    return InputReplaced(
        f"{shown(item.uri)} was replaced while its job was running; nothing was sent. Send a new request."
    )
