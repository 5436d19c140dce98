"""Drops requests into the inbox folder of a Telecine on this machine."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from telecine_client.door import Door
from telecine_client.errors import SendError


class Inbox(Door):
    """The inbox of embedded mode: the folder ``inbox`` below ``TELECINE_HOME``."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    def _send(self, body: bytes, name: str) -> None:
        file = uuid.uuid4().hex
        part = self._folder / f".{file}.part"
        try:
            try:
                with part.open("wb") as opened:
                    opened.write(body)
                    opened.flush()
                    os.fsync(opened.fileno())
                part.rename(self._folder / f"{file}.json")
            finally:
                part.unlink(missing_ok=True)
        except FileNotFoundError:
            raise SendError(f"there is no folder {self._folder}; `telecine up` makes it when it starts") from None
        except OSError as error:
            raise SendError(f"the inbox {self._folder}: {error.strerror}") from error
