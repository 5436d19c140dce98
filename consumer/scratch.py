"""The folders that jobs work in, each with the name of its owner, so that what a crash left behind is found."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from consumer.ledger.owner import is_gone, this_process

_OWNER = ".owner"
# A folder without its owner's name was cut off while it was made, or is being made right now.
_UNNAMED_SECONDS = 3600.0


@contextlib.contextmanager
def job_folder(root: Path) -> Iterator[Path]:
    """A fresh folder, removed at the end. A crash leaves it to ``clear_abandoned``."""
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=root))
    try:
        (folder / _OWNER).write_text(this_process())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(root: Path) -> int:
    """Removes the folders of processes of this machine that no longer run; answers how many."""
    if not root.is_dir():
        return 0
    abandoned = [folder for folder in root.glob("job-*") if _is_abandoned(folder)]
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return len(abandoned)


def _is_abandoned(folder: Path) -> bool:
    try:
        return is_gone((folder / _OWNER).read_text())
    except OSError:
        pass
    try:
        return time.time() - folder.stat().st_mtime > _UNNAMED_SECONDS
    except OSError:
        return False  # gone already
