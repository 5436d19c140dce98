"""Fetching what a request names, from wherever it lies."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from consumer.ledger.calls import CallRow
from consumer.runtime import Runtime
from consumer.storage.file_input import fetch_file
from pipelines.media.inspect.kinds import wrong_kind
from pipelines.media.inspect.sniff import CONTENT_TYPES, HEAD_BYTES, sniff
from schemas.errors import AddressForbidden, InputError, InputForbidden
from schemas.media import InputFile
from schemas.reference import Pin


def fetch_input(
    runtime: Runtime,
    name: str,
    uri: str,
    folder: Path,
    *,
    kinds: Collection[str],
    limit_bytes: int,
    tenant: str | None,
    pin: Pin | None = None,
) -> InputFile:
    """The file at ``uri``, whole, in ``folder``, under a name of our own making.

    ``pin`` says which content of an object is meant, where the newest may be another. The door looked at the
    fields that it knows to be references; here every one is looked at again.

    Raises:
        InputError: it is missing, replaced, forbidden, too large, or its content is none of ``kinds``.
        TenantForbidden: it is not the tenant's to read.
    """
    runtime.tenants.check_read(tenant, uri, field=f"data.{name}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.input"
    try:
        fetched = _fetch(runtime, uri, path, limit_bytes, pin)
        with path.open("rb") as file:
            kind = sniff(file.read(HEAD_BYTES))
        if kind not in kinds:
            raise wrong_kind(kind, kinds)
    except (InputError, AddressForbidden) as error:
        error.field = error.field or f"data.{name}"
        raise
    assert kind is not None
    return InputFile(name=name, uri=uri, path=path, kind=kind, bytes=fetched[0], sha256=fetched[1])


def ordered_input(rows: Iterable[CallRow], name: str, uri: str, folder: Path) -> InputFile | None:
    """What one of the job's calls was ordered with, as it is known from then; there is no file at its path."""
    for row in rows:
        for facts in row.order.inputs.values():
            if facts["uri"] == uri:
                kind = next(kind for kind, sent_as in CONTENT_TYPES.items() if sent_as == facts["content_type"])
                return InputFile(
                    name=name,
                    uri=uri,
                    path=folder / f"{name}.input",
                    kind=kind,
                    bytes=facts["bytes"],
                    sha256=facts["sha256"],
                    seconds=row.order.seconds,
                )
    return None


def _fetch(runtime: Runtime, uri: str, path: Path, limit_bytes: int, pin: Pin | None) -> tuple[int, str]:
    scheme = urlsplit(uri).scheme
    if scheme == "s3":
        stored = runtime.storage.fetch(uri, path, limit_bytes, pin)
        return stored.bytes, stored.sha256
    if scheme == "file":
        if not runtime.input_folders:
            raise InputForbidden("file:// inputs exist in embedded mode only; use s3:// or https://")
        local = fetch_file(uri, path, limit_bytes, runtime.input_folders)
        return local.bytes, local.sha256
    loaded = runtime.http().download(uri, path, limit_bytes)
    return loaded.bytes, loaded.sha256
