"""The folders that jobs work in, each marked with its owner, so that folders of crashed workers are found."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from consumer.ledger.owner import is_gone, is_near, this_process

_OWNER = ".owner"
#: When a folder is abandoned whose owner is unknown or in another boot or container: it has not changed for so long.
FOREIGN_SECONDS = 86_400.0


@contextlib.contextmanager
def job_folder(root: Path) -> Iterator[Path]:
    """Yield an empty folder and delete it at the end. After a crash ``clear_abandoned`` deletes it."""
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=root))
    try:
        (folder / _OWNER).write_text(this_process())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(root: Path) -> int:
    """Delete the folders of dead processes of this machine, and very old ones; return how many."""
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
        # Files below count too: changing a file does not change its folder.
        changed = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return False  # deleted already, or in use
    return time.time() - changed > FOREIGN_SECONDS
