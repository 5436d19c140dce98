"""Calls as the engine hands them to adapters, for tests of adapters."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from providers.base import Call, MediaInput, RemoteProvider
from providers.catalogue import Model
from schemas.errors import ProviderError
from tests.doubles.double import URL_SECRET

#: Part of the query of every input's URL. It must not appear in any error or log.
INPUT_SECRET = "9c1fPresignedInputSignature"

T = TypeVar("T")


def media(name: str, content_type: str, bytes: int = 1000) -> MediaInput:  # noqa: A002 - the record's name
    """Return an input with a presigned URL."""

    def load() -> Path:
        raise AssertionError("this provider takes URLs")

    return MediaInput(
        url=f"https://media.example/{name}?X-Amz-Signature={INPUT_SECRET}&X-Amz-Expires=60",
        content_type=content_type,
        bytes=bytes,
        sha256="0" * 64,
        load=load,
    )


def call_of(model: Model, given: Mapping[str, Any], inputs: Mapping[str, MediaInput] | None = None) -> Call:
    """Return a call with a new key, its parameters checked against the catalogue as the engine checks them."""
    values = {**model.checked(given), **model.fixed}
    return Call(uuid.uuid4().hex, "job-1", "animate", model, values, dict(inputs or {}))


async def closing(adapter: RemoteProvider, work: Callable[[Any], Awaitable[T]]) -> T:
    """Await ``work(adapter)``, close the adapter and return the result of ``work``."""
    try:
        return await work(adapter)
    finally:
        await adapter.aclose()


def contains_no_secret(error: ProviderError, *secrets: str) -> bool:
    """Check that no secret appears in the error, its record or its traceback, causes included."""
    printed = "".join(traceback.format_exception(error)) + repr(error) + str(error.as_record())
    return not any(secret in printed for secret in (*secrets, URL_SECRET, INPUT_SECRET))
