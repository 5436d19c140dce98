"""In embedded mode, one `telecine up` for each folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from schemas.errors import ConfigurationError
from schemas.settings import Settings


@contextlib.contextmanager
def home_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock of embedded mode's folder. It ends with the process, however that ends.

    Raises:
        ConfigurationError: Another process holds it.
    """
    if not settings.embedded:
        yield
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    # Not flock, which a forked child would inherit: the next start must not wait for a child of a dead process.
    with os.fdopen(os.open(settings.home / "up.lock", os.O_CREAT | os.O_RDWR, 0o600), "r+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            other = file.read().strip()
            raise ConfigurationError(
                f"another `telecine up`{f' (process {other})' if other else ''} uses {settings.home.absolute()}; "
                "stop it first, or give this one its own folder in TELECINE_HOME"
            ) from None
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
