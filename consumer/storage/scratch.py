"""The folders that jobs work in, each with the name of its owner, so that what a crash left behind is found."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from consumer.ledger.owner import is_gone, is_near, this_process

_OWNER = ".owner"
#: The owner's boot or container is another one, or it left no name: nobody works in a folder that has not changed
#: for so long.
FOREIGN_SECONDS = 86_400.0


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
    """Removes the folders of processes of this machine that no longer run, and very old ones; answers how many."""
    if not root.is_dir():
        return 0
    abandoned = [folder for folder in root.glob("job-*") if _is_abandoned(folder)]
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return len(abandoned)


def _is_abandoned(folder: Path) -> bool:
    try:
        owner = (folder / _OWNER).read_text(errors="replace")
    except OSError:
        owner = ""
    if is_near(owner):
        return is_gone(owner)
    try:
        # Also what lies deeper: a folder does not change with the files in it.
        changed = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return False  # gone already, or somebody is at work in it
    return time.time() - changed > FOREIGN_SECONDS
