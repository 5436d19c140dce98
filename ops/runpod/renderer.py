"""One job of the RunPod endpoint: fetch the inputs, render the reel and store the video in the endpoint's bucket.

The video is stored like every result of Telecine: atomically, with its checksum, under a name derived from the call's
key. A job that RunPod runs twice therefore leaves one object. The caller receives a presigned URL.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from consumer.runtime import render_bounds
from consumer.storage.base import ObjectFacts, Storage
from consumer.storage.factory import storage_of
from pipelines.context import Progress
from pipelines.media.inspect.sniff import HEAD_BYTES, PICTURE_KINDS, SOUND_KINDS, sniff
from pipelines.media.sandbox.process import Bounds
from pipelines.models.local_reel import render_reel
from pipelines.models.reel_scene import further_inputs
from pipelines.models.remote_reel import TEXTS, read_film
from providers.http.downloads import GuardedClient
from providers.http.policy import Policy
from schemas.errors import ConfigurationError, InvalidAudio, InvalidField, InvalidImage
from schemas.field_problems import plain_words
from schemas.media import InputFile, LocalFile
from schemas.settings import Settings

#: How long the video can be fetched: long enough for a call engine that was down for a day.
URL_SECONDS = 86_400
_INPUT_LIMIT_BYTES = 100 * 1024 * 1024
#: CUDA reserves more address space than any machine has memory; the container's memory limit applies instead.
_CUDA_BYTES = 1 << 40

_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True)

    url: Annotated[str, StringConstraints(pattern=r"^https?://")]
    bytes: int = Field(ge=1, le=_INPUT_LIMIT_BYTES)
    sha256: _Sha256


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    film: str


class _Job(BaseModel):
    """``input`` of a RunPod job, as ``providers.runpod.adapter`` writes it."""

    model_config = ConfigDict(frozen=True)

    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    model: Literal["runpod-reel"]
    parameters: _Parameters
    #: By their names in the request: ``image``, ``audio`` and what ``further_inputs`` names.
    inputs: dict[str, _Input]


@dataclass(frozen=True)
class ReelRenderer:
    """The resources of one worker of the endpoint."""

    storage: Storage
    #: ``s3://bucket/prefix/``.
    output: str
    http: GuardedClient
    bounds: Bounds
    #: The ``encoder`` argument of ``render_reel``.
    encoder: str

    def render(self, given: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """Render the reel and return the job's output: ``url`` of the video, ``value`` with the texts, ``details``.

        ``progress`` is called in this thread with a share from 0 to 1; an exception that it raises stops the work.

        Raises:
            TelecineError: If the job is not valid, an input cannot be used, or the work failed.
        """
        try:
            job = _Job.model_validate(given)
            data, timing = read_film(job.parameters.film)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise InvalidField(
                f"input.{place}: {plain_words(first)}: are worker and endpoint of the same version?"
            ) from None
        needed = {"image": PICTURE_KINDS, "audio": SOUND_KINDS}
        needed |= {name: kinds for name, (_, kinds) in further_inputs(data).items()}
        if missing := ", ".join(sorted(needed.keys() - job.inputs.keys())):
            raise InvalidField(f"input.inputs: {missing} is missing: are worker and endpoint of the same version?")
        with tempfile.TemporaryDirectory(prefix="telecine-runpod-") as name:
            folder = Path(name)
            fetched = {name: self._fetch(job, name, folder, kinds) for name, kinds in needed.items()}
            image, audio = fetched.pop("image"), fetched.pop("audio")
            work = folder / "work"
            work.mkdir()
            video, *texts = render_reel(
                data,
                image,
                audio,
                work,
                progress,
                timing=timing,
                further=fetched,
                bounds=self.bounds,
                encoder=self.encoder,
            )
            return {
                "url": self._store(job, video),
                "value": {text.name: _read(text) for text in texts if text.name in TEXTS},
                "details": {"version": version("telecine"), "frames": video.facts.frames},
            }

    def _fetch(self, job: _Job, name: str, folder: Path, kinds: Sequence[str]) -> InputFile:
        source = job.inputs[name]
        path = folder / f"{name}.input"
        fetched = self.http.download(source.url, path, source.bytes)
        if fetched.sha256 != source.sha256:
            raise InvalidField(f"data.{name} has changed since the job was accepted", field=f"data.{name}")
        with path.open("rb") as file:
            kind = sniff(file.read(HEAD_BYTES))
        if kind not in kinds:
            raise (InvalidAudio if kinds == SOUND_KINDS else InvalidImage)(field=f"data.{name}")
        assert kind is not None
        return InputFile(
            name=name, uri=f"s3://input/{name}", path=path, kind=kind, bytes=fetched.bytes, sha256=fetched.sha256
        )

    def _store(self, job: _Job, video: LocalFile) -> str:
        with video.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        facts = ObjectFacts(
            job_id=job.key,
            fingerprint=hashlib.sha256(job.parameters.film.encode()).hexdigest(),
            content_type=video.content_type,
            sha256=sha256,
            bytes=size,
            facts=video.facts.model_dump(exclude_none=True),
        )
        stored = self.storage.put(video.path, f"{self.output}{job.key}/{video.name}", facts)
        return self.storage.url(stored.uri, URL_SECONDS)


def open_renderer(settings: Settings) -> ReelRenderer:
    """Return the renderer of this machine, with NVIDIA's encoder if it has a GPU.

    Raises:
        ConfigurationError: If the object store is not S3.
    """
    if settings.storage_kind != "s3":
        raise ConfigurationError("The handler stores its videos in S3. Set TELECINE_STORAGE=s3 and TELECINE_OUTPUT.")
    bounds, gpu = render_bounds(settings), _has_gpu()
    if gpu:
        bounds = Bounds(wall_seconds=bounds.wall_seconds, memory_bytes=max(bounds.memory_bytes, _CUDA_BYTES))
    return ReelRenderer(
        storage=storage_of(settings),
        output=settings.output,
        http=GuardedClient(
            Policy(allowed_hosts=frozenset(settings.allowed_private_hosts)),
            total_timeout_seconds=settings.fetch_timeout_seconds,
        ),
        bounds=bounds,
        encoder="nvenc" if gpu else "strips",
    )


def _has_gpu() -> bool:
    """Return whether the driver shows a GPU. Some have no video encoder; the renderer detects that itself."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _read(text: LocalFile) -> str:
    return text.path.read_text(encoding="utf-8")
