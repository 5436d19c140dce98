"""``telecine models pull``: download the weights of a local model from the Hugging Face hub."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ops.cli.console import JsonOption, err, print_json, remark, say, stop
from ops.cli.opening import read_settings, require_model
from ops.formatting import count, size
from pipelines.models.routing import AUTO
from pipelines.models.weights import Download, check_space, install, look_up, missing_parts
from providers.local.device import INSTALL, require_packages
from providers.registry import LOCAL, catalogue_of


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A local model of `telecine models`.")],
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Also download the model's adapter for reference images.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the download.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download the weights of a local model: only the files that are needed, at the revision of the catalogue.

    Pickled weights are converted to safetensors in a child process with limits. A download that was interrupted
    continues where it stopped. Licence and size are shown first; on a terminal the command asks before it starts.
    """
    settings = read_settings()
    model, folder = require_model(catalogue_of(settings), name), settings.local_models_folder
    if model.provider != LOCAL:
        stop(f"{model.id} is not a local model: it runs at {model.provider}.", code="unknown_model")
    if model.id == AUTO:
        stop(f"{model.id} has no weights of its own; name the model that it is to use, such as wan.", code="usage")
    _prepare_hub()
    downloads = [look_up(part, folder) for part in missing_parts(model, folder, adapter=adapter)]
    if any(file.is_pickled for download in downloads for file in download.files):
        require_packages()  # which convert them
    if downloads:
        _announce(downloads, check_space(downloads, folder), folder)
        if not yes and sys.stdin.isatty():
            typer.confirm("Download?", abort=True, err=True)
        _install_all(model.id, downloads)
    if as_json:
        print_json({"model": model.id, "installed": [_view(download) for download in downloads]})
    elif downloads:
        say(f"{model.id} is installed.")
    else:
        say(f"{model.id} is already installed; `telecine models {model.id}` shows where.")


def _prepare_hub() -> None:
    """Set up huggingface_hub, before it is imported, to be quiet and to send nothing but requests for files."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from importlib.util import find_spec

    if find_spec("huggingface_hub") is None:
        stop(f"Downloads need huggingface_hub: {INSTALL}", code="model_not_installed")


def _announce(downloads: Sequence[Download], free: int, folder: Path) -> None:
    for download in downloads:
        repository = download.repository
        pinned = "" if download.part.revision else ", the newest; set weights.revision of its entry to keep it"
        remark(f"{repository.name} at {repository.commit[:12]}{pinned}")
        remark(f"  licence  {repository.licence or 'not named'}, see {repository.page}")
        done = download.total_bytes - download.missing_bytes
        rest = f", {size(done)} of them already there" if done else ""
        remark(f"  files    {count(len(download.files), 'file')}, {size(download.total_bytes)}{rest}")
        remark(f"  folder   {download.part.folder}")
    needed = sum(download.needed_bytes for download in downloads)
    remark(f"This needs {size(needed)} of disk space in {folder}; {size(free)} are free.")


def _install_all(name: str, downloads: Sequence[Download]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, disable=not err.is_terminal) as bars:
        for download in downloads:
            _install(name, download, bars)


def _install(name: str, download: Download, bars: Progress) -> None:
    source, waits = download.repository.name, False
    bar = bars.add_task(source, total=download.total_bytes)
    converts = any(file.is_pickled for file in download.files)

    def advance(added: int) -> None:
        bars.advance(bar, added)
        if converts and bars.finished:
            bars.update(bar, description=f"{source}, converting")

    def wait() -> None:
        nonlocal waits
        if not waits:
            remark(f"Another process is downloading {source}; waiting for it.")
        waits = True

    install(name, download, advance, wait)


def _view(download: Download) -> dict[str, object]:
    repository = download.repository
    return {
        "source": repository.name,
        "revision": repository.commit,
        "licence": repository.licence,
        "folder": str(download.part.folder),
        "bytes": download.total_bytes,
    }
