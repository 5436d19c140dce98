"""The folders that jobs work in, each marked with its owner, so that folders of crashed workers are found."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from consumer.ledger.owner import is_gone, is_near, this_process
from schemas.errors import ConfigurationError

_OWNER = ".owner"
#: When a folder is abandoned whose owner is unknown or in another boot or container: it has not changed for so long.
FOREIGN_SECONDS = 86_400.0
#: When a folder without an owner is abandoned: its process was killed while it created or deleted the folder.
UNOWNED_SECONDS = 300.0


def check_scratch(root: Path) -> None:
    """Create the folder that jobs work in. A process that could not write it would accept jobs and finish none.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except OSError as error:
        raise ConfigurationError(
            f"the scratch folder {root} cannot be written: {error.strerror}; name a writable one in TELECINE_SCRATCH"
        ) from None


@contextlib.contextmanager
def job_folder(root: Path) -> Iterator[Path]:
    """Yield an empty folder and delete it at the end. After a crash ``clear_abandoned`` deletes it."""
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=root))
    try:
        (folder / _OWNER).write_text(this_process())
        yield folder
    finally:
        _delete(folder)


class LazyFolder:
    """The folder of one attempt: created when something first asks for it, and deleted at the end."""

    def __init__(self, root: Path) -> None:
        self._root, self._stack = root, contextlib.ExitStack()

    @functools.cached_property
    def path(self) -> Path:
        """The folder, see ``job_folder``."""
        return self._stack.enter_context(job_folder(self._root))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()


def clear_abandoned(root: Path) -> int:
    """Delete the folders of dead processes of this machine, and very old ones; return how many."""
    if not root.is_dir():
        return 0
    abandoned = [folder for folder in root.glob("job-*") if _is_abandoned(folder)]
    for folder in abandoned:
        _delete(folder)
    return len(abandoned)


def _delete(folder: Path) -> None:
    """Delete the folder, and the name of its owner last: what a kill leaves in between is found by it."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _OWNER:
                path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


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
    return time.time() - changed > (FOREIGN_SECONDS if owner else UNOWNED_SECONDS)
