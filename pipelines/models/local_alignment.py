"""Lyrics aligned on this worker, in a media child process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipelines.context import Context, Progress
from pipelines.media.captions.word_groups import words_of
from pipelines.media.sandbox.process import Task, run_child
from schemas.errors import InvalidWeights, ModelNotInstalled, RenderError, Verdict
from schemas.media import InputFile, LocalFile
from schemas.words import AlignedLyrics

_STEP = "align-locally"


def align_on_worker(
    lyrics: str, language: str | None, audio: InputFile, ctx: Context, *, required: bool
) -> AlignedLyrics:
    """Align the lyrics with the audio, in a step of its own: a job that runs again does not align again.

    The result is in the artifact's details, so a job that runs again reads it from the ledger.

    If the child process fails, takes too long or needs too much memory, the result has no times and says why. If the
    operator's own model cannot be used, that is so too unless ``required``.

    Raises:
        InputError: The audio cannot be decoded.
        ModelNotInstalled, InvalidWeights: The operator's own model cannot be used, and ``required``.
        RenderInterrupted: The child process was ended from outside.
    """

    def make(folder: Path, progress: Progress) -> Sequence[LocalFile]:
        arguments = {
            "audio": str(audio.path.resolve()),
            "audio_kind": audio.kind,
            "lines": [words for line in lyrics.split("\n") if (words := words_of(line))],
            "language": language,
            "separate": ctx.aligner.separation == "auto",
            "model": None if ctx.aligner.model is None else str(ctx.aligner.model.absolute()),
        }
        try:
            found = run_child(Task.ALIGN, arguments, folder, ctx.bounds, lambda _: progress(0))
        except RenderError as error:
            if error.verdict is Verdict.LATER or (required and isinstance(error, ModelNotInstalled | InvalidWeights)):
                raise
            # Captions that are spread are better than none.
            found = AlignedLyrics(None, why=f"it failed: {error.message}").as_json()
        path = folder / "alignment.json"
        path.write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
        return [LocalFile(name=path.name, content_type="application/json", path=path, details=found)]

    return AlignedLyrics.from_json(ctx.step(_STEP, make)[0].details)
