"""Fetching a provider's result into storage, at once: results expire at the provider."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from consumer.ledger.calls import CallRow
from consumer.runtime import Runtime
from consumer.storage.artifacts import stored
from consumer.storage.scratch import job_folder
from pipelines.media.inspect.probing import probe
from pipelines.media.inspect.sniff import CONTENT_TYPES, HEAD_BYTES, sniff
from providers.http.redact import redact_url
from schemas.errors import (
    AddressForbidden,
    InputError,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    ProviderError,
    ProviderResultInvalid,
    RenderError,
    StorageError,
    TelecineError,
    Verdict,
)
from schemas.media import Artifact, MediaFacts

#: A paid result is there, and what is in the way may be repaired: it is fetched for an hour, ever more rarely.
FETCH_TRIES = 20
#: For a day where it is the storage that does not answer: nobody has to repair that by hand.
AWAY_TRIES = 300
#: What is not what was wanted is fetched again, lest it was not there yet.
INVALID_TRIES = 3
#: No result is larger.
LIMIT_BYTES = 4 * 1024**3


def fetch_result(runtime: Runtime, row: CallRow) -> Artifact | None:
    """The result as an artifact in storage, under its lasting name; ``None`` where no file is wanted.

    Blocks. A crash here leaves nothing, or the whole object, which the next attempt adopts.

    Raises:
        ProviderResultInvalid: there is no file, it is gone, or it is not what was wanted.
        InputUnavailable, StorageUnavailable: tried again later.
    """
    wanted, result = row.order.wanted, row.result or {}
    if wanted is None:
        return None
    url, content = result.get("url"), result.get("content")
    if not url and not content:
        raise ProviderResultInvalid(f"{row.provider} says that it is done, but gives no file")
    with job_folder(runtime.settings.scratch_folder) as folder:
        path = folder / "result"
        if content:
            path.write_bytes(base64.b64decode(content))
        else:
            _download(runtime, row, str(url), path)
        kind = _kind(row, path)
        try:
            facts = probe(path, kind, folder, runtime.bounds)
        except RenderError as error:
            raise ProviderResultInvalid(f"{row.provider}'s result cannot be read: {error.message}") from None
        return _store(runtime, row, path, kind, facts)


def is_ours(error: TelecineError) -> bool:
    """Whether a result could not be had by a fault on this side: of the storage, or a defect."""
    return not isinstance(error, ProviderError | InputError)


def tries_for(error: TelecineError) -> int:
    """How often a paid result is fetched that could not be had for this reason."""
    passes = error.verdict is Verdict.LATER
    if passes and isinstance(error, StorageError):
        return AWAY_TRIES
    return FETCH_TRIES if passes or is_ours(error) else INVALID_TRIES


def _download(runtime: Runtime, row: CallRow, url: str, path: Path) -> None:
    try:
        runtime.http().download(url, path, LIMIT_BYTES)
    except AddressForbidden:
        raise ProviderResultInvalid(
            f"{row.provider}'s result lies at {redact_url(url)}, which Telecine may not call"
        ) from None
    except (InputNotFound, InputForbidden) as error:
        raise ProviderResultInvalid(f"{row.provider}'s result is gone: {error.message}") from None
    except InputTooLarge:
        raise ProviderResultInvalid(f"{row.provider}'s result is larger than {LIMIT_BYTES:,} bytes") from None


def _kind(row: CallRow, path: Path) -> str:
    """What the file is, by its content; one of those that are wanted."""
    assert row.order.wanted is not None
    kinds: list[str] = row.order.wanted["kinds"]
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind = sniff(head)
    if kind is None or kind not in kinds:
        what = "a web page" if head.lstrip()[:1] == b"<" else CONTENT_TYPES.get(kind or "", "something unknown")
        raise ProviderResultInvalid(f"{row.provider}'s result is {what}, not {' or '.join(kinds)}")
    return kind


def _store(runtime: Runtime, row: CallRow, path: Path, kind: str, facts: MediaFacts) -> Artifact:
    assert row.order.wanted is not None
    name = str(row.order.wanted["name"])
    made = Artifact(name=name, content_type=CONTENT_TYPES[kind], facts=facts, path=path)
    uri = row.order.output + name
    return stored(runtime.storage, made, uri, job_id=row.job_id, fingerprint=row.order.fingerprint)


def as_result(row: CallRow, artifact: Artifact | None) -> dict[str, Any]:
    """What the pipeline gets, as the ledger keeps it."""
    found = row.result or {}
    return {
        "model": row.model,
        "provider": row.provider,
        "artifact": None if artifact is None else artifact.model_dump(mode="json", exclude_none=True),
        "value": found.get("value"),
        "details": found.get("details") or {},
    }
