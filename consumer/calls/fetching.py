"""Fetching a provider's result into storage, at once, because results expire at the provider."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from consumer import tracing
from consumer.calls.retry_policy import may_fetch_again
from consumer.ledger.call_records import CallResult, CallRow
from consumer.ledger.call_request import CallOutput
from consumer.logs import logger
from consumer.runtime import Runtime
from consumer.storage.artifacts import store_artifact
from consumer.storage.scratch import job_folder
from pipelines.media.inspect.in_child import probe
from pipelines.media.inspect.sniff import CONTENT_TYPES, HEAD_BYTES, sniff
from providers.http.outputs import data_bytes, is_data, without_files
from providers.http.redact import redact_url
from schemas.errors import (
    AddressForbidden,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    InputUnavailable,
    ProviderResultInvalid,
    RenderError,
)
from schemas.media import LocalFile, MediaFacts, StoredArtifact

log = logger(__name__)

#: A larger result is refused.
LIMIT_BYTES = 4 * 1024**3
#: How often a file that cannot be fetched now is waited for although a later one fits.
_PREFER_TRIES = 3


def fetch_result(runtime: Runtime, row: CallRow) -> StoredArtifact | None:
    """Return the result as an artifact in storage under its final name, or ``None`` if the call has no output file.

    Blocks. A crash leaves either nothing or the whole object, which the next attempt adopts.

    Raises:
        ProviderResultInvalid: There is no file, it is gone, or it is not of an accepted kind.
        InputUnavailable, StorageUnavailable, RenderError: Retry later.
    """
    output, result = row.spec.output, row.provider_result
    if output is None:
        return None
    files: list[str | bytes] = []
    if result is not None:
        files = [each for each in (result.content, result.url, *result.other_urls) if each]
    if not files:
        raise ProviderResultInvalid(f"{row.provider} reports success but returned no file")
    with job_folder(runtime.settings.scratch_folder) as folder:
        path, kind, facts = _first_fitting(runtime, row, output, files, folder)
        return _store(runtime, row, output, path, kind, facts)


def to_call_result(row: CallRow, artifact: StoredArtifact | None) -> CallResult:
    """Return the result as the ledger keeps it and the pipeline gets it."""
    found = row.provider_result
    value = None if found is None else found.value
    return CallResult(
        model=row.model,
        provider=row.provider,
        artifact=None if artifact is None else artifact.model_dump(mode="json", exclude_none=True),
        # The URLs in it are secrets, and the file is stored.
        value=value if artifact is None else without_files(value),
        details={} if found is None else found.details,
    )


def _first_fitting(
    runtime: Runtime, row: CallRow, output: CallOutput, files: Sequence[str | bytes], folder: Path
) -> tuple[Path, str, MediaFacts]:
    """Return the first of the files whose content is of an accepted kind, with its kind and facts.

    Raises:
        ProviderResultInvalid: None is; the reason of the first.
        InputUnavailable: One could not be fetched, and none after it fits, or it is too early to take another.
        RenderError: This worker could not inspect a file. Retry later.
    """
    refused: ProviderResultInvalid | None = None
    away: InputUnavailable | None = None
    for number, file in enumerate(files):
        path = folder / f"result-{number}"
        try:
            _save(runtime, row, file, path)
            kind = _kind(row, output, path)
            facts = _facts(runtime, row, path, kind)
        except ProviderResultInvalid as error:
            refused = refused or error
            path.unlink(missing_ok=True)
        except InputUnavailable as error:
            away = away or error
        else:
            if away is not None and row.failures < _PREFER_TRIES:
                raise away
            return path, kind, facts
    if away is not None or refused is None:
        raise away or ProviderResultInvalid
    raise refused


def _save(runtime: Runtime, row: CallRow, file: str | bytes, path: Path) -> None:
    if isinstance(file, bytes):
        path.write_bytes(file)
    elif is_data(file):
        path.write_bytes(data_bytes(file))
    else:
        _download(runtime, row, file, path)


def _download(runtime: Runtime, row: CallRow, url: str, path: Path) -> None:
    try:
        with tracing.span("download", {"telecine.uri": redact_url(url)}):
            runtime.http().download(url, path, LIMIT_BYTES)
    except AddressForbidden:
        raise ProviderResultInvalid(
            f"{row.provider}'s result is at {redact_url(url)}, which Telecine may not call"
        ) from None
    except (InputNotFound, InputForbidden) as error:
        raise ProviderResultInvalid(f"{row.provider}'s result is gone: {error.message}") from None
    except InputTooLarge:
        raise ProviderResultInvalid(f"{row.provider}'s result is larger than {LIMIT_BYTES:,} bytes") from None


def _kind(row: CallRow, output: CallOutput, path: Path) -> str:
    """Return the kind of the file's content.

    Raises:
        ProviderResultInvalid: It is not one of the accepted kinds.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind = sniff(head)
    if kind is None or kind not in output.kinds:
        what = "a web page" if head.lstrip()[:1] == b"<" else CONTENT_TYPES.get(kind or "", "of an unknown kind")
        raise ProviderResultInvalid(f"{row.provider}'s result is {what}, not {' or '.join(output.kinds)}")
    return kind


def _facts(runtime: Runtime, row: CallRow, path: Path, kind: str) -> MediaFacts:
    """Return the facts of the file, or none of them if only our own inspection fails: the file is paid for.

    Raises:
        ProviderResultInvalid: The file cannot be decoded, or exceeds a limit.
        RenderError, StorageUnavailable: This worker could not inspect the file. Retry later.
    """
    try:
        return probe(path, kind, path.parent, runtime.bounds)
    except RenderError as error:
        if may_fetch_again(row.failures, error):
            raise
        log.warning("result_not_inspected", key=row.id, code=error.code, reason=error.message, exc_info=error)
        return MediaFacts()


def _store(
    runtime: Runtime, row: CallRow, output: CallOutput, path: Path, kind: str, facts: MediaFacts
) -> StoredArtifact:
    file = LocalFile(name=output.name, content_type=CONTENT_TYPES[kind], facts=facts, path=path)
    uri = row.spec.output_folder + output.name
    return store_artifact(runtime.storage, file, uri, job_id=row.job_id, fingerprint=row.spec.fingerprint)
