"""The reel on a RunPod endpoint: what is asked of it, and what comes back.

The words are timed before, on this side: the endpoint gets the texts with their times and two URLs, and sends back
the film by URL and the captions as texts. So it needs no key of any provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from pipelines.context import Context, ModelCall, ModelResult, OutputSpec
from pipelines.models.alignment import Timing
from schemas.errors import OutOfMemory, ProviderNotConfigured, ProviderResultInvalid
from schemas.media import Artifact, InputFile, MediaFacts
from schemas.reel import Reel

MODEL = "runpod-reel"
#: The texts that come back, and what they are.
TEXTS = {"captions.srt": "application/x-subrip", "captions.vtt": "text/vtt", "words.json": "application/json"}

_FILM = TypeAdapter(tuple[Reel, Timing])
#: What is settled on this side. The words to be shown are the timing's.
_OURS = {
    "image": "s3://input/image",
    "audio": "s3://input/audio",
    "lyrics": "-",
    "alignment_mode": "even",
    "renderer": "local",
}


def render_local_or_remote(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    timing: Timing,
    ctx: Context,
    render_locally: Callable[[], Sequence[Artifact]],
) -> Sequence[Artifact]:
    """The reel, render_local_or_remote where ``data.renderer`` says.

    ``auto`` is here: a film takes seconds on two cores, less than an endpoint takes to start. What does not fit
    into this worker's memory goes to the endpoint, where one is configured.

    Raises:
        ProviderError: the endpoint did not deliver, or ``runpod`` is asked for and there is none.
        OutOfMemory: it does not fit here, and there is no endpoint.
    """
    if data.renderer == "runpod":
        return render_remotely(data, image, audio, timing, ctx)
    try:
        return render_locally()
    except OutOfMemory as error:
        if data.renderer == "local":
            raise
        try:
            return render_remotely(data, image, audio, timing, ctx)
        except ProviderNotConfigured:
            raise error from None


def render_remotely(data: Reel, image: InputFile, audio: InputFile, timing: Timing, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4`` and the captions, made by the endpoint; paid for at most once.

    Raises:
        ProviderError: the endpoint did not deliver.
    """
    call = ModelCall(
        [MODEL],
        {"film": write_film(data, timing)},
        {"image": image, "audio": audio},
        OutputSpec("video.mp4", ("mp4",)),
    )
    made = ctx.call("render-remote", call)
    texts = _texts(made, timing)
    seconds = None if made.artifact is None else made.artifact.facts.duration_seconds
    captions = ctx.step("captions", lambda folder, _: _write(texts, seconds, folder))
    assert made.artifact is not None
    return [made.artifact, *captions]


def write_film(data: Reel, timing: Timing) -> str:
    """The film as the endpoint is told it: every option, the words and their times; not where the media lie."""
    return _FILM.dump_json((data.model_copy(update=_OURS), timing)).decode()


def read_film(film: str) -> tuple[Reel, Timing]:
    """The other side of ``write_film``.

    Raises:
        ValueError: it is no film; ``pydantic.ValidationError`` is one.
    """
    return _FILM.validate_json(film)


def _texts(made: ModelResult, timing: Timing) -> dict[str, str]:
    names = [name for name in TEXTS if name != "words.json" or timing.source != "even"]
    value: Mapping[str, object] = made.value if isinstance(made.value, Mapping) else {}
    texts = {name: text for name in names if isinstance(text := value.get(name), str)}
    if len(texts) < len(names):
        missing = ", ".join(name for name in names if name not in texts)
        raise ProviderResultInvalid(
            f"the endpoint's answer lacks {missing}: it runs another version of the handler", step="render-remote"
        )
    return texts


def _write(texts: Mapping[str, str], seconds: float | None, folder: Path) -> list[Artifact]:
    artifacts = []
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        facts = MediaFacts() if name == "words.json" else MediaFacts(duration_seconds=seconds)
        artifacts.append(Artifact(name=name, content_type=TEXTS[name], facts=facts, path=folder / name))
    return artifacts
