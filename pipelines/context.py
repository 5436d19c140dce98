"""The interface between a pipeline and the job that runs it.

The consumer implements it, so a pipeline does not depend on queues, buckets or the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.media.sandbox.process import Bounds
from providers.catalogue import Catalogue
from providers.local.host import ModelHost
from schemas.media import InputFile, LocalFile, StoredArtifact

#: Takes the completed share of the work, 0.0 to 1.0. It may be called at any rate, and raises to stop the work.
Progress = Callable[[float], None]

#: The work of one step: write files into the folder and return them, the most important first.
StepFunction = Callable[[Path, Progress], Sequence[LocalFile]]


@dataclass(frozen=True, slots=True)
class AlignerOptions:
    """How this worker aligns lyrics."""

    #: Take the voice out of the music first. ``auto``: if the weights for it are installed.
    separation: Literal["auto", "off"] = "auto"
    #: The folder of a model to use instead of that of the extra ``align``.
    model: Path | None = None


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
    #: The pipeline can do without the result. If it is unknown whether the provider accepted the call, the call is
    #: given up as paid after ``TELECINE_UNKNOWN_OUTCOME_SECONDS``, instead of waiting for an operator without a limit.
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ModelResult:
    """The result of a model call, and the model that returned it."""

    model: str
    provider: str
    #: The stored file.
    artifact: StoredArtifact | None
    #: A text or JSON result.
    value: Any
    #: Version, seed, title and so on.
    details: Mapping[str, Any]


class Context(Protocol):
    """The job as its pipeline sees it.

    Work that must not be repeated goes through ``step`` or ``call``. Both record their result in the ledger under a
    name, so a job that runs again continues after its last finished step.
    """

    @property
    def bounds(self) -> Bounds:
        """Resource limits of a child process of this job."""
        ...

    @property
    def aligner(self) -> AlignerOptions:
        """How lyrics are aligned on this worker."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """The available models."""
        ...

    @property
    def host(self) -> ModelHost:
        """The runner of local models. Use it only inside ``step``."""
        ...

    @property
    def seed(self) -> int:
        """A seed below 2**32 that is the same in every attempt of the job and differs between jobs."""
        ...

    def annotate(self, **details: Any) -> None:
        """Add facts to the manifest's ``details``. A job that runs again adds them again."""
        ...

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """Fetch the file at ``uri`` into the job's folder and detect its kind from its content.

        Every run fetches it again. After a provider call that used it, the file may have been deleted from storage:
        then the facts of that call are returned, and ``path`` does not exist.

        Raises:
            InputError: It is missing, forbidden, too large or not one of ``kinds``.
        """
        ...

    def step(self, name: str, make: StepFunction) -> Sequence[StoredArtifact]:
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
            ProviderOutcomeUnknown: The call was given up, by an operator or because it is optional. It may be charged.
            RetriesExhausted: Temporary errors did not pass.
        """
        ...
