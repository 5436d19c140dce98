"""A context in memory: the twin of a worker's, for tests and for trying pipelines out.

Inputs are files at hand, steps run at once, and models answer from a script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipelines.context import Made, Renderer, Wanted
from pipelines.media.inspect.kinds import wrong_kind
from pipelines.media.inspect.sniff import CONTENT_TYPES, HEAD_BYTES, sniff
from pipelines.media.sandbox.process import DEFAULT_BOUNDS, Bounds
from pipelines.models.matching import fitting
from providers.catalogue import Catalogue, Model
from providers.local.host import ModelHost, host_for
from schemas.errors import InputNotFound, InputTooLarge, ProviderNotConfigured
from schemas.media import Artifact, InputFile
from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """One paid call: what the model was sent."""

    step: str
    model: Model
    parameters: Mapping[str, Any]
    inputs: Mapping[str, InputFile]
    wanted: Wanted | None
    seconds: float | None


#: What a model answers: a value, or the path of the file that it made. It may raise.
Answer = Callable[[Asked], Any]


@dataclass
class MemoryContext:
    """Implements ``pipelines.context.Context``; steps are remembered as long as it lives."""

    folder: Path
    #: The job's type.
    type: str
    #: Files by the URI that names them.
    files: Mapping[str, Path] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=lambda: Catalogue(()))
    #: By model id. A model without an answer has no key.
    answers: Mapping[str, Answer] = field(default_factory=dict)
    bounds: Bounds = DEFAULT_BOUNDS
    asked: list[Asked] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    reported: list[float] = field(default_factory=list)
    host: ModelHost = field(default_factory=lambda: host_for(Settings()))
    seed: int = 0
    _calls: dict[str, Sequence[Artifact]] = field(default_factory=dict)
    _made: dict[str, Made | Exception] = field(default_factory=dict)

    def tell(self, **details: Any) -> None:
        """Into ``told``."""
        self.told |= details

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """The file, looked at as a worker looks at it."""
        path = self.files.get(uri)
        if path is None:
            raise InputNotFound(field=f"data.{name}")
        content = path.read_bytes()
        if len(content) > limit_bytes:
            raise InputTooLarge(field=f"data.{name}")
        kind = sniff(content[:HEAD_BYTES])
        if kind is None or kind not in kinds:
            raise wrong_kind(kind, kinds, field=f"data.{name}")
        digest = hashlib.sha256(content).hexdigest()
        return InputFile(name=name, uri=uri, path=path, kind=kind, bytes=len(content), sha256=digest)

    def call(self, step: str, renderer: Renderer) -> Sequence[Artifact]:
        """What the renderer makes, in ``folder``; made once."""
        if step not in self._calls:
            self._calls[step] = renderer(self.folder, self.reported.append)
        return self._calls[step]

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
        """The answer of the first model that takes the parameters and has one; asked once."""
        if step not in self._made:
            found = fitting(list(models), parameters, as_type or self.type, self.catalogue)
            asked = [Asked(step, model, values, inputs, wanted, seconds) for model, values in found]
            self._made[step] = self._first([item for item in asked if item.model.id in self.answers])
        made = self._made[step]
        if isinstance(made, Exception):
            raise made
        return made

    def _first(self, able: Sequence[Asked]) -> Made | Exception:
        if not able:
            return ProviderNotConfigured()
        asked = able[0]
        self.asked.append(asked)
        try:
            answer = self.answers[asked.model.id](asked)
        except Exception as error:
            return error
        artifact = None
        if asked.wanted is not None and isinstance(answer, Path):
            kind = sniff(answer.read_bytes()[:HEAD_BYTES])
            artifact = Artifact(name=asked.wanted.name, content_type=CONTENT_TYPES[kind or "mp4"], path=answer)
        return Made(
            model=asked.model.id,
            provider=asked.model.provider,
            artifact=artifact,
            value=None if isinstance(answer, Path) else answer,
            details={},
        )
