"""Installs the weights of a local model: download, conversion of pickles in a child process, then into their folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.media.sandbox.process import Bounds, Task, run_child
from providers.catalogue import Model
from providers.local import hub
from providers.local.hub_files import PIPELINE_INDEX, HubFile, folder_files
from providers.local.models import PINNED_REVISIONS
from providers.local.weight_files import (
    PULL_RECORD,
    check_weight_files,
    find_adapter,
    find_weights,
    is_downloadable,
    pickled_files,
    recorded_revision,
)
from providers.weights import IPAdapter
from schemas.errors import (
    ConfigurationError,
    InvalidWeights,
    ModelNotInstalled,
    OutOfMemory,
    RenderKilled,
    StorageUnavailable,
    UnsupportedOption,
)

#: Where downloads are until they are complete, below the folder of all models.
PARTIAL_FOLDER = ".partial"
_GB = 1024**3
#: Address space that torch reserves when it is imported, and more than one copy of the tensors of a file.
_TORCH_BYTES, _COPIES = 12 * _GB, 4
_CONVERT_SECONDS = 3600.0
#: Disk space that stays free.
_SPARE_BYTES = 64 * 1024**2

#: Called while the download waits for another process. May raise to end the wait.
OnWait = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the repositories that a model needs, and the folder in which it is looked for."""

    source: str
    #: ``None`` means the newest commit.
    revision: str | None
    folder: Path
    variant: str | None = None
    #: If the part is an adapter: its own weights and its image encoder are needed, nothing else.
    adapter: IPAdapter | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """What is to be downloaded for a part."""

    part: Part
    repository: hub.Repository
    files: Sequence[HubFile]
    #: The folder of the files until all of them are there.
    partial: Path

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """The size of what has not been downloaded yet."""
        return sum(hub.missing_bytes(file, self.partial) for file in self.files)

    @property
    def needed_bytes(self) -> int:
        """The disk space that is needed: for what is missing, and for pickled files a second time."""
        return self.missing_bytes + sum(file.size for file in self.files if file.is_pickled)


def missing_parts(model: Model, folder: Path, *, adapter: bool = False) -> list[Part]:
    """Return the parts of ``model`` that are not below ``folder``, in the hub's cache or where its entry says.

    ``adapter`` adds the adapter for reference images. A part that was downloaded here at another revision than the one
    that is wanted now is missing; files from elsewhere are left as they are.

    Raises:
        ModelNotInstalled: the entry names no repository on the hub that diffusers can load.
        UnsupportedOption: the entry has no adapter.
        ConfigurationError: the entry's names lead out of ``folder``.
    """
    weights = model.weights
    if weights is None or not is_downloadable(model):
        if weights is not None:
            find_weights(model, folder)  # says why, if they are not here
        return []
    parts = [Part(weights.source, _revision(weights.source, weights.revision), folder / model.id, weights.variant)]
    if weights.ranker is not None and not Path(weights.ranker).is_absolute():
        parts.append(Part(weights.ranker, _revision(weights.ranker, None), folder / weights.ranker))
    if adapter:
        if weights.adapter is None:
            raise UnsupportedOption(f"{model.id} has no adapter for reference images")
        source = weights.adapter.source
        revision = _revision(source, weights.adapter.revision)
        if not Path(source).is_absolute():
            parts.append(Part(source, revision, folder / source, adapter=weights.adapter))
    for part in parts:
        if not part.folder.resolve().is_relative_to(folder.resolve()):
            raise ConfigurationError(f"the files of {part.source} would be outside {folder}; correct the entry's names")
    return [part for part in parts if not _is_installed(model, part, folder)]


def look_up(part: Part, folder: Path) -> Download:
    """Ask the hub what is to be downloaded for a part.

    Raises:
        ModelNotInstalled: the repository does not exist, is gated, or has no such model.
        ProviderUnavailable: the hub does not answer.
        InvalidWeights: the hub's answer cannot be trusted.
    """
    repository = hub.look_up(part.source, part.revision)
    files = hub.needed_files(repository, part.variant) if part.adapter is None else _adapter_files(repository, part)
    for file in files:
        hub.check_name(part.source, file.path)
    name = "--".join((*part.source.split("/"), repository.commit, *filter(None, (part.variant,))))
    return Download(part, repository, files, folder / PARTIAL_FOLDER / name)


def check_space(downloads: Sequence[Download], folder: Path) -> int:
    """Return the free disk space.

    Raises:
        StorageUnavailable: it is too little for the downloads.
    """
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    needed = sum(download.needed_bytes for download in downloads) + _SPARE_BYTES
    if needed > free:
        raise StorageUnavailable(
            f"the download needs {needed / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are free; "
            "free some, or set TELECINE_LOCAL_MODELS to a folder on another disk",
            outage=True,
        )
    return free


def install(name: str, download: Download, on_bytes: hub.OnBytes, on_wait: OnWait = lambda: None) -> Path:
    """Download the files, convert what is pickled, and put all into the folder in which the model is looked for.

    A download that was interrupted is continued. Nothing of it is visible to workers until it is complete.

    Raises:
        ProviderUnavailable: the hub stopped answering; what arrived is kept.
        StorageUnavailable: the disk is full; what arrived is kept.
        InvalidWeights: a file is not the one that the hub lists, or its weights cannot be used.
    """
    with _lock(download.partial, on_wait):
        if _is_complete(download):  # another process has installed it meanwhile
            return download.part.folder
        for file in download.files:
            hub.download(download.repository, file, download.partial, on_bytes)
        try:
            if pickled_files(download.partial):
                convert_in_child(name, download.partial)
            check_weight_files(name, download.partial)
        except InvalidWeights:
            shutil.rmtree(download.partial)  # it would be the same files again
            raise
        _place(download)
        for pickled in pickled_files(download.part.folder):
            pickled.unlink()  # not before: an interrupted installation would download it again
    return download.part.folder


def convert_in_child(name: str, folder: Path) -> list[Path]:
    """Convert the pickled weights below ``folder`` in a child process with limits; return the files written.

    Raises:
        InvalidWeights: a pickle is damaged, has more than tensors, or takes more memory or time than its size explains.
        ModelNotInstalled: torch is not installed.
    """
    largest = max((file.stat().st_size for file in pickled_files(folder)), default=0)
    bounds = Bounds(_CONVERT_SECONDS, int(_CONVERT_SECONDS), _TORCH_BYTES + _COPIES * largest, largest + _GB)
    with tempfile.TemporaryDirectory(prefix="telecine-convert-") as work:
        try:
            made = run_child(Task.CONVERT, {"name": name, "folder": str(folder)}, Path(work), bounds)
        except RenderKilled:
            raise  # this machine has too little memory, which is no fault of the files
        except OutOfMemory:
            raise InvalidWeights(
                f"{name}: the pickled weights in {folder} take more memory than files of their size can need"
            ) from None
    return [Path(file) for file in made["written"]]


def _revision(source: str, own: str | None) -> str | None:
    return own or PINNED_REVISIONS.get(source)


def _is_installed(model: Model, part: Part, folder: Path) -> bool:
    assert model.weights is not None
    try:
        if part.adapter is not None:
            find_adapter(model, folder)
            return True
        place = find_weights(model, folder, source=None if part.source == model.weights.source else part.source)
    except ModelNotInstalled:
        return False
    recorded = recorded_revision(place)
    return recorded is None or part.revision is None or recorded == part.revision


def _adapter_files(repository: hub.Repository, part: Part) -> list[HubFile]:
    assert part.adapter is not None
    own = [file for file in repository.files if file.path == part.adapter.weight_path]
    encoder = folder_files(repository.files, part.adapter.image_encoder_folder, part.variant)
    if not own or not encoder:
        raise ModelNotInstalled(
            f"{part.source} on the hub lacks {part.adapter.image_encoder_folder if own else part.adapter.weight_path}; "
            "correct weights.adapter of the entry"
        )
    return own + encoder


@contextlib.contextmanager
def _lock(partial: Path, on_wait: OnWait) -> Iterator[None]:
    """Let one process at a time work in ``partial``. The kernel unlocks it when the process ends."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.with_name(partial.name + ".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(0.5)
        yield


def _is_complete(download: Download) -> bool:
    folder = download.part.folder
    if recorded_revision(folder) != download.repository.commit or download.partial.exists():
        return False
    return all(hub.missing_bytes(file, folder) == 0 for file in download.files if not file.is_pickled)


def _place(download: Download) -> None:
    """Move the finished files to where they are looked for. The file by which a model is found is moved last."""
    part, repository = download.part, download.repository
    record = {"source": part.source, "revision": repository.commit, "licence": repository.licence}
    (download.partial / PULL_RECORD).write_text(json.dumps(record, indent=2) + "\n")
    if part.adapter is None and part.folder.is_dir():
        replaced = download.partial.with_name(f"{download.partial.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)  # of a process that was killed here
        part.folder.rename(replaced)
        shutil.rmtree(replaced)
    if not part.folder.exists():
        part.folder.parent.mkdir(parents=True, exist_ok=True)
        download.partial.rename(part.folder)
        return
    files = [file.relative_to(download.partial) for file in download.partial.rglob("*") if file.is_file()]
    for file in sorted(files, key=lambda file: file.name in (PIPELINE_INDEX, "config.json")):
        target = part.folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        (download.partial / file).replace(target)
    shutil.rmtree(download.partial)
