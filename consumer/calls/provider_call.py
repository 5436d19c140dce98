"""From a row of the ledger to what an adapter is given, with URLs made at this moment."""

from __future__ import annotations

import functools
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consumer.ledger.calls import CallRow
from consumer.runtime import Runtime
from providers.base import Call, MediaInput
from providers.catalogue import Model
from providers.http.redact import redact_url
from schemas.errors import InputReplaced, InputTooLarge, InputUnavailable, InternalError
from schemas.reference import Pin

#: How long a provider can read an input: longer than any model's time limit.
INPUT_URL_SECONDS = 24 * 3600


def model_of(runtime: Runtime, row: CallRow) -> Model:
    """The catalogue's entry of the call's model.

    Raises:
        UnknownModel: the operator has taken it out of the catalogue.
    """
    return runtime.catalogue.find(row.model, row.order.type)


def price_of(runtime: Runtime, row: CallRow) -> int:
    """The expected price in millionths of a US dollar; nothing for a model that is gone, since it is not called."""
    model = next((model for model in runtime.catalogue if model.id == row.model), None)
    if model is None:
        return 0
    given = row.candidate.parameters  # with the model's defaults, which the request need not name
    length = given.get("duration", given.get("audio_duration", row.order.seconds))
    cost: int = model.cost(float(length) if isinstance(length, int | float) else row.order.seconds)
    return cost


def build_call(runtime: Runtime, row: CallRow, folder: Path | None = None, *, now: float | None = None) -> Call:
    """The call as an adapter takes it. ``folder`` is where inputs are put that a provider wants as bytes.

    Without one no input can be loaded: only a submission needs them. ``now`` is the ledger's time, for a look-up.
    """
    return Call(
        key=row.id,
        job_id=row.job_id,
        step=row.step,
        model=model_of(runtime, row),
        parameters=row.candidate.parameters,
        inputs={name: _input(runtime, name, facts, folder) for name, facts in row.order.inputs.items()},
        submitted_at=row.submitted_at,
        now=now,
    )


def _input(runtime: Runtime, name: str, facts: Mapping[str, Any], folder: Path | None) -> MediaInput:
    uri, content_type = facts["uri"], facts["content_type"]
    pin = Pin(**facts["pin"]) if "pin" in facts else None
    file = f"{name}{mimetypes.guess_extension(content_type) or ''}"
    return MediaInput(
        url=runtime.storage.url(uri, INPUT_URL_SECONDS, pin) if uri.startswith("s3://") else uri,
        content_type=content_type,
        bytes=facts["bytes"],
        sha256=facts["sha256"],
        load=functools.partial(_load, runtime, facts, pin, None if folder is None else folder / file),
    )


def _load(runtime: Runtime, facts: Mapping[str, Any], pin: Pin | None, into: Path | None) -> Path:
    """The file that the worker has looked at. Nothing was sent yet, so whatever is raised here costs nothing."""
    if into is None:
        raise InternalError("an adapter wants a file outside of a submission")
    uri, size = facts["uri"], facts["bytes"]
    try:
        if not into.exists():
            if uri.startswith("s3://"):
                sha256 = runtime.storage.fetch(uri, into, size, pin).sha256
            else:
                sha256 = runtime.http().download(uri, into, size).sha256
            if sha256 != facts["sha256"]:
                into.unlink()
                raise _changed(uri)
    except InputTooLarge:
        raise _changed(uri) from None
    except OSError as error:  # a disk that is full: nothing was sent yet, so nothing is unknown
        raise InputUnavailable(f"an input could not be put on this machine's disk: {error.strerror}") from None
    return into


def _changed(uri: str) -> InputReplaced:
    where = uri if uri.startswith("s3://") else redact_url(uri)
    return InputReplaced(f"{where} was replaced while its job went on; nothing was sent. Send a new request.")
