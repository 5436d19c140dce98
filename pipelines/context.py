"""What a pipeline may ask for. The consumer provides it; a pipeline knows nothing of queues or buckets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from pipelines.media.sandbox import Bounds
from schemas.media import Artifact, InputFile

#: Takes the part that is done, 0.0 to 1.0. Called as often as the work likes.
Progress = Callable[[float], None]

#: A local renderer: writes its files into the folder and returns them, in the order of importance.
Renderer = Callable[[Path, Progress], Sequence[Artifact]]


class Context(Protocol):
    """The pipeline's side of a job.

    Whatever must not be repeated goes through ``call``: each named step is remembered in the ledger,
    so that a job which died goes on after its last finished step.
    """

    @property
    def bounds(self) -> Bounds:
        """What a child process of this job may use."""
        ...

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """The file at ``uri``, fetched into the job's folder, its kind decided by its content.

        Raises:
            InputError: it is missing, forbidden, too large or not one of ``kinds``.
        """
        ...

    def call(self, step: str, renderer: Renderer) -> Sequence[Artifact]:
        """What ``renderer`` made, stored. On a second run of the job a finished step is not run again.

        A crash inside ``renderer`` repeats it; a crash after its files were stored does not.
        """
        ...
