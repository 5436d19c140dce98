"""Downloads from the Hugging Face hub: what a repository has at a revision, and its files, compared with their digests.

huggingface_hub makes the requests. The loop that writes a file is here, because huggingface_hub (2.4) starts a file
again after its process was killed, and compares only sizes. It is imported when needed, because that takes a second.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from providers.local.hub_errors import full_disk_named, hub_errors, page_of
from providers.local.hub_files import PIPELINE_INDEX, HubFile, folder_files, pipeline_files
from schemas.backoff import backoff
from schemas.errors import InvalidWeights, ModelNotInstalled, ProviderUnavailable

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: How often a request is made that adds no byte.
_TRIES = 4
_MOST_PAUSE_SECONDS = 8.0
_CHUNK_BYTES = 1024**2
_MAX_INDEX_BYTES = 1024**2
_PARTIAL_SUFFIX = ".part"

#: Receives the number of bytes that were added. May raise to stop the download; the bytes so far are kept.
OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository on the hub at one commit."""

    name: str
    commit: str
    files: tuple[HubFile, ...]
    #: As its model card names it; ``None`` if it names none.
    licence: str | None
    #: The page with the model card, on which a licence is accepted.
    page: str


def look_up(name: str, revision: str | None) -> Repository:
    """Return what the hub has under ``name`` at ``revision``, or at the newest commit.

    Raises:
        ModelNotInstalled: there is no such repository or revision.
        ProviderUnavailable: the hub does not answer, or not as a hub.
        InvalidWeights: the hub answers with another revision.
    """
    with hub_errors(name, revision):
        from huggingface_hub import HfApi

        found = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=_timeout_seconds())
        commit = str(found.sha)
        files = tuple(
            HubFile(one.rfilename, int(one.size or 0), str(one.lfs.sha256 if one.lfs else one.blob_id))
            for one in found.siblings or ()
        )
        card: Any = found.card_data or {}
        licence = card.get("license_name") or card.get("license")
    pinned = revision is not None and _COMMIT.fullmatch(revision)
    if not _COMMIT.fullmatch(commit) or (pinned and commit != revision):
        raise InvalidWeights(f"the hub answered with revision {commit[:40]} of {name} instead of {revision or 'one'}")
    return Repository(name, commit, files, None if licence is None else str(licence), page_of(name))


def needed_files(repository: Repository, variant: str | None) -> list[HubFile]:
    """Return the files of a diffusers pipeline, or of a transformers model, that are needed to run it.

    Raises:
        ModelNotInstalled: the repository has no such model, or is gated.
        InvalidWeights: the names of its files cannot be used.
    """
    index = next((file for file in repository.files if file.path == PIPELINE_INDEX), None)
    if index is not None:
        files = pipeline_files(repository.files, _read_json(repository, index), variant)
    else:
        files = folder_files(repository.files, ".", variant)
    if not any(file.path in (PIPELINE_INDEX, "config.json") for file in files):
        raise ModelNotInstalled(f"{repository.name} on the hub has no {PIPELINE_INDEX} and no config.json")
    return files


def download(repository: Repository, file: HubFile, folder: Path, on_bytes: OnBytes) -> None:
    """Download a file into ``folder``, from where an earlier download stopped. It gets its name when it is complete.

    Raises:
        InvalidWeights: what arrived is not the file that the hub lists; it was deleted.
        ProviderUnavailable: the hub stopped answering; what arrived is kept.
        StorageUnavailable: the disk is full; what arrived is kept.
    """
    check_name(repository.name, file.path)
    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size:
        on_bytes(file.size)
        return
    part = target.with_name(target.name + _PARTIAL_SUFFIX)
    with full_disk_named(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as opened:
            if opened.tell() > file.size:
                opened.truncate(0)
            on_bytes(opened.seek(0, os.SEEK_END))
            _fetch(repository, file, opened, on_bytes)
            os.fsync(opened.fileno())
    with part.open("rb") as opened:
        digest = _digest(opened, file)
    if digest != file.digest:
        part.unlink()
        raise InvalidWeights(
            f"{file.path} of {repository.name} is not the file that the hub lists for revision "
            f"{repository.commit[:12]}; it was deleted. Run the command again"
        )
    part.replace(target)


def missing_bytes(file: HubFile, folder: Path) -> int:
    """Return how many bytes of the file are not in ``folder`` yet."""
    target = folder / file.path
    for path in (target, target.with_name(target.name + _PARTIAL_SUFFIX)):
        if path.is_file():
            return max(0, file.size - path.stat().st_size)
    return file.size


def check_name(name: str, path: str) -> None:
    """Check that ``path`` stays inside the folder that it is downloaded into.

    Raises:
        InvalidWeights: it does not.
    """
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise InvalidWeights(f"{name} has a file named {path!r}, which cannot be written below its folder")


def _read_json(repository: Repository, file: HubFile) -> dict[str, Any]:
    if file.size > _MAX_INDEX_BYTES:
        raise InvalidWeights(f"{file.path} of {repository.name} has {file.size:,} bytes")
    held = io.BytesIO()
    _fetch(repository, file, held, lambda _: None)
    held.seek(0)
    try:
        if _digest(held, file) != file.digest:
            raise ValueError("it is not the file that the hub lists")
        found = json.loads(held.getvalue())
        if not isinstance(found, dict):
            raise ValueError("it is not an object")
    except (ValueError, RecursionError) as error:
        raise InvalidWeights(f"{file.path} of {repository.name} cannot be used: {error}") from None
    return found


def _fetch(repository: Repository, file: HubFile, into: BinaryIO, on_bytes: OnBytes) -> None:
    """Append the rest of the file to ``into``. A connection that breaks is opened again where it broke."""
    tries = 0
    while (start := into.seek(0, os.SEEK_END)) < file.size:
        try:
            with hub_errors(repository.name, repository.commit):
                _fetch_from(start, repository, file, into, on_bytes)
        except ProviderUnavailable:
            tries = tries + 1 if into.seek(0, os.SEEK_END) <= start else 1
            if tries >= _TRIES:
                raise
            time.sleep(backoff(tries - 1, 1.0, _MOST_PAUSE_SECONDS))


def _fetch_from(start: int, repository: Repository, file: HubFile, into: BinaryIO, on_bytes: OnBytes) -> None:
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={start}-"}
    url = hf_hub_url(repository.name, file.path, revision=repository.commit)
    with get_session().stream("GET", url, headers=headers, timeout=_timeout_seconds()) as response:
        hf_raise_for_status(response)
        if response.status_code == 200 and start:  # the server ignored the range
            into.seek(0)
            into.truncate()
            on_bytes(-start)
            start = 0
        for chunk in response.iter_bytes():
            kept = chunk[: file.size - start]  # a body longer than listed is not written any further
            into.write(kept)
            into.flush()  # what has arrived outlives the process
            start += len(kept)
            on_bytes(len(kept))
            if len(kept) < len(chunk):
                break
    if start < file.size:
        raise ProviderUnavailable(_ended_early(repository, file, start))


def _timeout_seconds() -> float:
    """Return how long the hub may send nothing: huggingface_hub's own setting, 10 seconds by default."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


def _ended_early(repository: Repository, file: HubFile, size: int) -> str:
    return (
        f"the hub sent {size:,} of {file.size:,} bytes of {file.path} of {repository.name}; "
        "run the command again, it continues there"
    )


def _digest(opened: BinaryIO, file: HubFile) -> str:
    """Return the digest of the kind that the hub lists: SHA-256 of the content, or SHA-1 of the git blob."""
    if not _DIGEST.fullmatch(file.digest):
        return ""
    digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(usedforsecurity=False)
    if digest.name == "sha1":
        digest.update(b"blob %d\0" % file.size)
    while chunk := opened.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
