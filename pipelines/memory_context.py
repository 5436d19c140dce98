"""An in-memory context for tests and for trying out pipelines.

Inputs are local files, steps run immediately, and model results come from functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.context import AlignerOptions, ModelCall, ModelResult, OutputSpec, StepFunction
from pipelines.media.inspect.sniff import CONTENT_TYPES, HEAD_BYTES, kind_of, sniff, wrong_kind
from pipelines.media.sandbox.process import DEFAULT_BOUNDS, Bounds
from pipelines.models.matching import candidates
from providers.catalogue import Catalogue, Model
from providers.local.host import ModelHost, host_for
from schemas.errors import InputNotFound, InputTooLarge, ProviderNotConfigured
from schemas.media import InputFile, LocalFile, StoredArtifact
from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call, with what the model was sent."""

    step: str
    model: Model
    parameters: Mapping[str, Any]
    inputs: Mapping[str, InputFile]
    output: OutputSpec | None
    seconds: float | None


#: Returns a model's result: a value, or the path of a file. It may raise.
Answerer = Callable[[RecordedCall], Any]


@dataclass
class MemoryContext:
    """Implements ``pipelines.context.Context``. Steps and calls are remembered in memory."""

    folder: Path
    #: The job's type.
    type: str
    #: Files by the URI that names them.
    files: Mapping[str, Path] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=lambda: Catalogue(()))
    #: By model id. A model without an entry counts as one whose provider has no key.
    answers: Mapping[str, Answerer] = field(default_factory=dict)
    bounds: Bounds = DEFAULT_BOUNDS
    aligner: AlignerOptions = field(default_factory=AlignerOptions)
    calls: list[RecordedCall] = field(default_factory=list)
    manifest_details: dict[str, Any] = field(default_factory=dict)
    reported: list[float] = field(default_factory=list)
    host: ModelHost = field(default_factory=lambda: host_for(Settings()))
    seed: int = 0
    _steps: dict[str, Sequence[StoredArtifact]] = field(default_factory=dict)
    _results: dict[str, ModelResult | Exception] = field(default_factory=dict)

    def annotate(self, **details: Any) -> None:
        """Add to ``manifest_details``."""
        self.manifest_details |= details

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """Check the file as a worker does and return it.

        Raises:
            InputError: It is missing, too large or not one of ``kinds``.
        """
        path = self.files.get(uri)
        if path is None:
            raise InputNotFound(field=f"data.{name}")
        content = path.read_bytes()
        if len(content) > limit_bytes:
            raise InputTooLarge(field=f"data.{name}")
        kind = kind_of(content[:HEAD_BYTES], kinds)
        if kind is None or kind not in kinds:
            raise wrong_kind(kind, kinds, field=f"data.{name}")
        digest = hashlib.sha256(content).hexdigest()
        return InputFile(name=name, uri=uri, path=path, kind=kind, bytes=len(content), sha256=digest)

    def step(self, name: str, make: StepFunction) -> Sequence[StoredArtifact]:
        """Run ``make`` in ``folder``, once."""
        if name not in self._steps:
            self._steps[name] = [_stored(file) for file in make(self.folder, self.reported.append)]
        return self._steps[name]

    def call(self, name: str, call: ModelCall) -> ModelResult:
        """Return the answer of the first model that takes the parameters and has one. It is called once."""
        if name not in self._results:
            found = candidates(call.models, call.parameters, call.as_type or self.type, self.catalogue)
            able = [
                RecordedCall(name, model, values, call.inputs, call.output, call.seconds)
                for model, values in found
                if model.id in self.answers
            ]
            self._results[name] = self._first(able)
        result = self._results[name]
        if isinstance(result, Exception):
            raise result
        return result

    def _first(self, able: Sequence[RecordedCall]) -> ModelResult | Exception:
        if not able:
            return ProviderNotConfigured()
        call = able[0]
        self.calls.append(call)
        try:
            answer = self.answers[call.model.id](call)
        except Exception as error:
            return error
        artifact = None
        if call.output is not None and isinstance(answer, Path):
            kind = sniff(answer.read_bytes()[:HEAD_BYTES])
            file = LocalFile(name=call.output.name, content_type=CONTENT_TYPES[kind or "mp4"], path=answer)
            artifact = _stored(file)
        return ModelResult(
            model=call.model.id,
            provider=call.model.provider,
            artifact=artifact,
            value=None if isinstance(answer, Path) else answer,
            details={},
        )


def _stored(file: LocalFile) -> StoredArtifact:
    """Return the file as if it were stored where it is."""
    content = file.path.read_bytes()
    return StoredArtifact(
        name=file.name,
        content_type=file.content_type,
        facts=file.facts,
        uri=file.path.absolute().as_uri(),
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        details=file.details,
        inline=file.inline,
    )
