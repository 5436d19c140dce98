"""What a pipeline may ask for. The consumer provides it; a pipeline knows nothing of queues or buckets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from pipelines.media.sandbox.process import Bounds
from providers.catalogue import Catalogue
from providers.local.host import ModelHost
from schemas.media import Artifact, InputFile

#: Takes the part that is done, 0.0 to 1.0. Called as often as the work likes.
Progress = Callable[[float], None]

#: A local renderer: writes its files into the folder and returns them, in the order of importance.
Renderer = Callable[[Path, Progress], Sequence[Artifact]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The file that a model is to make."""

    #: Its name in the results, ``video.mp4``.
    name: str
    #: What its content may be; anything else is no result.
    kinds: Sequence[str]


@dataclass(frozen=True, slots=True)
class Made:
    """What a model made, and which one it was."""

    model: str
    provider: str
    #: The file, stored.
    artifact: Artifact | None
    #: A text or JSON result.
    value: Any
    #: Version, seed, title, ….
    details: Mapping[str, Any]


class Context(Protocol):
    """The pipeline's side of a job.

    Whatever must not be repeated goes through ``call``: each named step is remembered in the ledger,
    so that a job which died goes on after its last finished step.
    """

    @property
    def bounds(self) -> Bounds:
        """What a child process of this job may use."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """The models that there are."""
        ...

    @property
    def host(self) -> ModelHost:
        """What runs local models. Used inside ``call`` only."""
        ...

    @property
    def seed(self) -> int:
        """A number of the job's own, below 2**32: the same in every attempt, another for every job."""
        ...

    def tell(self, **details: Any) -> None:
        """Puts facts into the manifest's ``details``. A job that runs again tells them again."""
        ...

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """The file at ``uri``, fetched into the job's folder, its kind decided by its content.

        Fetched again by every run. After a call was ordered with it, it may be gone: then its path leads nowhere.

        Raises:
            InputError: it is missing, forbidden, too large or not one of ``kinds``.
        """
        ...

    def call(self, step: str, renderer: Renderer) -> Sequence[Artifact]:
        """What ``renderer`` made, stored. On a second run of the job a finished step is not run again.

        A crash inside ``renderer`` repeats it; a crash after its files were stored does not.
        """
        ...

    def ask(
        self,
        step: str,
        models: Sequence[str],
        parameters: Mapping[str, Any],
        *,
        inputs: Mapping[str, InputFile] = MappingProxyType({}),
        wanted: Wanted | None = None,
        as_type: str | None = None,
        seconds: float | None = None,
    ) -> Made:
        """What the first of ``models`` that can be had made of the inputs; paid for at most once.

        While a remote provider works, the job is parked: this call does not return then, and the pipeline
        runs again from its start once the answer is there. Whatever stands before it must bear that.
        ``parameters`` are those that the request names; each model fills in its own defaults. ``as_type`` is the
        job type that the models are for, where that is not the job's own; ``seconds`` is the length of the media,
        for prices by the second, where no parameter tells it.

        Raises:
            ProviderError: no model delivered; the last one's reason.
            RetriesExhausted: passing faults did not pass.
        """
        ...
