"""The reel on a RunPod endpoint: the request, and the files of the result.

The worker times the words before the call: the endpoint receives the words with their times and two URLs, and returns
the URL of the video and the captions as text. It therefore needs no provider key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from pipelines.context import Context, ModelCall, ModelResult, OutputSpec, Progress
from pipelines.media.captions.files import offset_warnings, timed_words
from pipelines.media.captions.line_files import write_line_files
from pipelines.media.inspect.in_child import seconds_of
from pipelines.models.alignment import Timing, caption_spec
from pipelines.models.local_reel import FPS, line_files, render_cover
from pipelines.models.reel_scene import NOTHING_FURTHER, without_uris
from providers.base import unreadable_input
from schemas.errors import OutOfMemory, ProviderNotConfigured, ProviderResultInvalid, RenderKilled
from schemas.media import InputFile, LocalFile, MediaFacts, StoredArtifact
from schemas.reel import Reel

MODEL = "runpod-reel"
#: The texts that the endpoint returns, and their content types.
TEXTS = {"captions.srt": "application/x-subrip", "captions.vtt": "text/vtt", "words.json": "application/json"}

#: How much longer or shorter than the song a video may be: a few frames, and the padding of the audio codec.
_TOLERANCE_SECONDS = 0.25

_FILM = TypeAdapter(tuple[Reel, Timing])
#: Fields that the worker has already used. The endpoint takes the words from the timing.
_FIXED = {
    "image": "s3://input/image",
    "audio": "s3://input/audio",
    "lyrics": "-",
    "alignment_mode": "even",
    "renderer": "local",
    "timing": None,
}


def render_local_or_remote(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    timing: Timing,
    ctx: Context,
    render_locally: Callable[[], Sequence[StoredArtifact]],
    further: Mapping[str, InputFile] = NOTHING_FURTHER,
) -> Sequence[StoredArtifact]:
    """Render the reel on the side that ``data.renderer`` selects.

    ``auto`` renders on this worker: it takes seconds on two cores, less than an endpoint takes to start. A reel that
    needs more memory than the worker allows goes to the endpoint, if one is configured. One whose render was killed is
    retried on a worker instead, which costs nothing.

    Raises:
        ProviderError: The endpoint returned no result, or ``runpod`` is requested and no endpoint is configured.
        OutOfMemory: The worker has too little memory, and no endpoint is configured; or the render was killed.
    """
    if data.renderer == "runpod":
        return render_remotely(data, image, audio, timing, ctx, further)
    try:
        return render_locally()
    except OutOfMemory as error:
        paid_for = data.renderer == "auto" and not isinstance(error, RenderKilled)
        if not paid_for or not all(file.has_url for file in (image, audio, *further.values())):
            raise
        try:
            return render_remotely(data, image, audio, timing, ctx, further)
        except ProviderNotConfigured:
            raise error from None


def check_readable_by_url(*files: InputFile) -> None:
    """Check that the endpoint can read the inputs, before anything is paid for.

    Raises:
        ProviderRefused: One of them is a file on this machine.
    """
    for file in files:
        if not file.has_url:
            raise unreadable_input(file.name, "runpod")


def render_remotely(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    timing: Timing,
    ctx: Context,
    further: Mapping[str, InputFile] = NOTHING_FURTHER,
) -> Sequence[StoredArtifact]:
    """Render ``video.mp4`` and the captions on the endpoint. The call is paid for at most once.

    Raises:
        ProviderError: The endpoint returned no result, or a video of another size or length.
    """
    call = ModelCall(
        [MODEL],
        {"film": write_film(data, timing)},
        {"image": image, "audio": audio, **further},
        OutputSpec("video.mp4", ("mp4",)),
    )
    made = ctx.call("render-remote", call)
    facts = MediaFacts() if made.artifact is None else made.artifact.facts
    song = _song_seconds(facts, audio, ctx)
    _check_video(facts, data, song)
    texts = _texts(made, timing)
    # Counted in WebVTT, where the text of a caption cannot contain the arrow.
    shown = texts["captions.vtt"].count("-->")
    whole = data.start == 0 and data.end is None
    if whole and (warnings := offset_warnings(timing.lyrics, data.words_per_group, data.timing_offset, shown)):
        ctx.annotate(warnings=warnings)
    lines = None if song is None else (data, timing, song)

    def write(folder: Path, _: Progress) -> Sequence[LocalFile]:
        cover = _cover(data, image, audio, folder, timing, further, ctx)
        return [*_write(texts, facts.duration_seconds, lines, folder), *cover]

    captions = ctx.step("captions", write)
    assert made.artifact is not None
    return [made.artifact, *captions]


def write_film(data: Reel, timing: Timing) -> str:
    """Return the endpoint's parameter ``film``: all options, the words and their times, but no URLs of the inputs."""
    return _FILM.dump_json((data.model_copy(update=_FIXED | without_uris(data)), timing)).decode()


def read_film(film: str) -> tuple[Reel, Timing]:
    """Parse the parameter ``film``: the inverse of ``write_film``.

    Raises:
        ValueError: It is not valid; ``pydantic.ValidationError`` is a subclass.
    """
    return _FILM.validate_json(film)


def _song_seconds(video: MediaFacts, audio: InputFile, ctx: Context) -> float | None:
    """Return the length of the song; that of the video if the song has been deleted since the call."""
    if audio.seconds is None and video.duration_seconds is not None and audio.path.exists():
        return seconds_of(audio, ctx.bounds)
    return audio.seconds or video.duration_seconds


def _check_video(facts: MediaFacts, data: Reel, seconds: float | None) -> None:
    """Check that the video is the one that was requested. It is paid for, and no other one is ordered.

    Raises:
        ProviderResultInvalid: Its size, frame rate or length is another.
    """
    if seconds is not None and seconds != facts.duration_seconds:  # equal if the song's length is not known
        seconds = min(seconds, data.end or seconds) - data.start
    for name, got, wanted, tolerance in (
        ("width", facts.width, data.width, 0.0),
        ("height", facts.height, data.height, 0.0),
        ("frame rate", facts.fps, FPS, 0.1),
        ("length in seconds", facts.duration_seconds, seconds, _TOLERANCE_SECONDS),
    ):
        if got is not None and wanted is not None and abs(got - wanted) > tolerance:
            raise ProviderResultInvalid(
                f"the endpoint's video is not the requested reel: its {name} is {got:g} instead of {wanted:g}; "
                "see whether the endpoint runs this version of the handler",
                step="render-remote",
            )


def _texts(made: ModelResult, timing: Timing) -> dict[str, str]:
    names = [name for name in TEXTS if name != "words.json" or timing.source != "even"]
    value: Mapping[str, object] = made.value if isinstance(made.value, Mapping) else {}
    texts = {name: text for name in names if isinstance(text := value.get(name), str)}
    if len(texts) < len(names):
        missing = ", ".join(name for name in names if name not in texts)
        raise ProviderResultInvalid(
            f"the endpoint's result lacks {missing}: it runs another version of the handler", step="render-remote"
        )
    return texts


def _cover(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    folder: Path,
    timing: Timing,
    further: Mapping[str, InputFile],
    ctx: Context,
) -> list[LocalFile]:
    """Draw ``cover.jpg`` here: an endpoint returns texts only. Without the inputs or the memory, there is none."""
    if not all(file.path.exists() for file in (image, audio, *further.values())):
        return []
    try:
        return [render_cover(data, image, audio, folder, timing, further, ctx.bounds)]
    except OutOfMemory:
        return []


def _write(
    texts: Mapping[str, str], seconds: float | None, lines: tuple[Reel, Timing, float] | None, folder: Path
) -> list[LocalFile]:
    """Write the endpoint's texts, and the files that the worker can make, so that the endpoint may be an older one."""
    files, made = [], list[LocalFile]()
    if lines is not None:
        data, timing, song = lines
        words, size = timed_words(caption_spec(data, timing), song), (data.width, data.height)
        part, offset = min(song, data.end or song) - data.start, data.timing_offset - data.start
        write_line_files(folder, timing.lyrics, words, seconds=part, offset=offset, size=size)
        made = line_files(folder, MediaFacts(duration_seconds=seconds))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        facts = MediaFacts() if name == "words.json" else MediaFacts(duration_seconds=seconds)
        files.append(LocalFile(name=name, content_type=TEXTS[name], facts=facts, path=folder / name))
    return [*files[:2], *made, *files[2:]]
