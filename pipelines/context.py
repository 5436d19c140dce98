"""What a pipeline may ask for. The consumer provides it; a pipeline knows nothing of queues or buckets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipelines.media.sandbox.process import Bounds
from providers.catalogue import Catalogue
from providers.local.host import ModelHost
from schemas.media import Artifact, InputFile

#: Takes the part that is done, 0.0 to 1.0. Called as often as the work likes.
Progress = Callable[[float], None]

#: The work of one step: write files into the folder and return them, the most important first.
StepFunction = Callable[[Path, Progress], Sequence[Artifact]]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The file that a model call must return."""

    #: Its name in the results, ``video.mp4``.
    name: str
    #: The accepted kinds of content; anything else is an invalid result.
    kinds: Sequence[str]


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a remote model: the candidates, and what they are sent."""

    #: Candidates in order of preference.
    models: Sequence[str]
    #: The parameters that the request names. Each model fills in its own defaults.
    parameters: Mapping[str, Any]
    #: Input files by parameter name.
    inputs: Mapping[str, InputFile] = field(default_factory=dict)
    #: The file to store. ``None``: the result is a text or JSON value.
    output: OutputSpec | None = None
    #: The job type that the models are listed under, if it is not the job's own.
    as_type: str | None = None
    #: Length of the media, for prices by the second, if no parameter gives it.
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ModelResult:
    """The result of a model call, and the model that returned it."""

    model: str
    provider: str
    #: The stored file.
    artifact: Artifact | None
    #: A text or JSON result.
    value: Any
    #: Version, seed, title and so on.
    details: Mapping[str, Any]


class Context(Protocol):
    """The pipeline's side of a job.

    Work that must not be repeated goes through ``step`` or ``call``. Both record their result in the ledger under a
    name, so a job that runs again continues after its last finished step.
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
        """The runner of local models. Use it only inside ``step``."""
        ...

    @property
    def seed(self) -> int:
        """A number of the job's own, below 2**32: the same in every attempt, another for every job."""
        ...

    def annotate(self, **details: Any) -> None:
        """Add facts to the manifest's ``details``. A job that runs again adds them again."""
        ...

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """The file at ``uri``, fetched into the job's folder, its kind decided by its content.

        Fetched again by every run. After a call was ordered with it, it may be gone: then its path leads nowhere.

        Raises:
            InputError: it is missing, forbidden, too large or not one of ``kinds``.
        """
        ...

    def step(self, name: str, make: StepFunction) -> Sequence[Artifact]:
        """Run ``make``, store its files and return them. A finished step is not run again.

        A crash inside ``make`` repeats it; a crash after its files were stored does not.
        """
        ...

    def call(self, name: str, call: ModelCall) -> ModelResult:
        """Call the first available model and return its result. The call is paid for at most once.

        While the provider works, the job is parked: this method does not return, and the pipeline runs again
        from its start once the result is there. All code before it must therefore be repeatable.

        Raises:
            ProviderError: No model returned a result; the reason of the last one.
            RetriesExhausted: Temporary errors did not pass.
        """
        ...
