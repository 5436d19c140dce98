"""Fetch the files that a request names: from storage, from an https:// URL, or from an allowed local folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from consumer.runtime import Runtime
from pipelines.media.inspect.sniff import CONTENT_TYPES, HEAD_BYTES, kind_of, wrong_kind
from schemas.errors import AddressForbidden, InputError
from schemas.media import InputFile
from schemas.reference import Pin

if TYPE_CHECKING:
    from consumer.ledger.call_records import CallRow


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
    """Fetch the file at ``uri`` whole into ``folder``, as ``{name}.input``.

    ``pin`` names the version of an object that is meant, in case it was replaced since. The tenant's right to read
    is checked here for every input, although the door has checked the fields that it knows to be references.

    Raises:
        InputError: it is missing, replaced, forbidden, too large, or its content is not one of ``kinds``.
        TenantForbidden: the tenant may not read it.
    """
    runtime.tenants.check_read(tenant, uri, field=f"data.{name}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.input"
    try:
        fetched = runtime.references.fetch(uri, path, limit_bytes, pin)
        with path.open("rb") as file:
            kind = kind_of(file.read(HEAD_BYTES), kinds)
        if kind not in kinds:
            raise wrong_kind(kind, kinds)
    except (InputError, AddressForbidden) as error:
        error.field = error.field or f"data.{name}"
        raise
    assert kind is not None
    return InputFile(
        name=name,
        uri=uri,
        path=path,
        kind=kind,
        bytes=fetched.bytes,
        sha256=fetched.sha256,
        has_url=runtime.references.has_url(uri),
    )


def input_from_call(rows: Iterable[CallRow], name: str, uri: str, folder: Path) -> InputFile | None:
    """Return the input as one of the job's calls recorded it, or ``None``. No file exists at its path."""
    for row in rows:
        for item in row.spec.inputs.values():
            if item.uri == uri:
                kind = next(kind for kind, sent_as in CONTENT_TYPES.items() if sent_as == item.content_type)
                return InputFile(
                    name=name,
                    uri=uri,
                    path=folder / f"{name}.input",
                    kind=kind,
                    bytes=item.bytes,
                    sha256=item.sha256,
                    seconds=row.spec.media_seconds,
                )
    return None
