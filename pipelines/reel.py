"""``reel``: one image and one song become a video with the lyrics as captions."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.context import Context, Progress
from pipelines.media.inspect.sniff import PICTURE_KINDS, SOUND_KINDS
from pipelines.media.inspect.sound_headers import MAX_AUDIO_BYTES
from pipelines.media.sandbox.process import Task, run_child
from pipelines.models.alignment import align, planned_timing, untimed
from pipelines.models.estimates import Estimate, alignment_estimate, helper_estimate
from pipelines.models.given_timing import given_timing
from pipelines.models.local_reel import FPS, film_task, render_reel
from pipelines.models.reel_scene import MAX_IMAGE_BYTES, fetch_further
from pipelines.models.remote_reel import MODEL, check_readable_by_url, render_local_or_remote
from schemas.media import InputFile, LocalFile, Plan, StoredArtifact
from schemas.reel import Reel

#: Greatest width and height of a picture in a preview, in pixels.
_TILE = (216, 384)


def reel(data: Reel, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``video.mp4``, the captions as SRT, VTT, LRC and ASS, and ``cover.jpg``; ``words.json`` unless ``even``.

    A crash before the render is stored repeats it. Only files in the job's folder are written until then.
    """
    image, audio, further = _fetch(data, ctx)
    timing = given_timing(data, audio, ctx) or align(data.alignment_mode, data.lyrics, data.language, audio, ctx)

    def render(folder: Path, progress: Progress) -> Sequence[LocalFile]:
        return render_reel(data, image, audio, folder, progress, timing=timing, further=further, bounds=ctx.bounds)

    def render_locally() -> Sequence[StoredArtifact]:
        files = ctx.step("render", render)
        ctx.annotate(**files[0].details)
        return files

    return render_local_or_remote(data, image, audio, timing, ctx, render_locally, further)


def plan(data: Reel, ctx: Context) -> Plan:
    """Return the plan of a ``reel`` job. Both inputs are fetched and read completely; the video is not rendered.

    A plan calls no model: unless the mode is ``even``, the captions are counted as if the lyrics were spread over the
    voice. They are not counted if the request has no lyrics.
    """
    image, audio, further = _fetch(data, ctx)
    given = given_timing(data, audio, ctx)
    timing = given or planned_timing(data.alignment_mode, data.lyrics, audio, ctx)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = film_task(data, image, audio, folder, timing, further=further)
        facts = run_child(Task.PLAN, film, folder, ctx.bounds)
    song_seconds = facts["song_seconds"]
    expected = alignment_estimate("even" if given else data.alignment_mode, data.lyrics, song_seconds, ctx.catalogue)
    if data.renderer == "runpod":
        expected += helper_estimate([MODEL], "reel", song_seconds, ctx.catalogue)
    else:
        expected += Estimate(_render_seconds(data, facts))
    return Plan(
        frames=facts["frames"],
        duration_seconds=facts["duration_seconds"],
        fps=FPS,
        width=data.width,
        height=data.height,
        estimated_seconds=expected.seconds,
        cost=expected.cost,
        details=_details(facts) if timing.lyrics.strip() else {},
    )


def preview(data: Reel, ctx: Context, target: Path) -> dict[str, Any]:
    """Write a contact sheet of the captions to ``target``; return the number of captions and of those shown.

    Unless the times are given, the captions have equal shares of the time.
    """
    image, audio, further = _fetch(data, ctx)
    timing = given_timing(data, audio, ctx) or untimed(data.alignment_mode, data.lyrics)
    scale = min(1.0, _TILE[0] / data.width, _TILE[1] / data.height)
    size = {"width": max(2, round(data.width * scale / 2) * 2), "height": max(2, round(data.height * scale / 2) * 2)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = film_task(data.model_copy(update=size), image, audio, folder, timing, further=further)
        facts = run_child(Task.PREVIEW, film, folder, ctx.bounds)
        shutil.copyfile(folder / "preview.png", target)
    return facts


def _details(facts: dict[str, Any]) -> dict[str, Any]:
    details = {"captions": facts["captions"], "pictures": facts["pictures"]}
    return details | ({"warnings": facts["warnings"]} if facts["warnings"] else {})


def _fetch(data: Reel, ctx: Context) -> tuple[InputFile, InputFile, dict[str, InputFile]]:
    image = ctx.input("image", data.image, kinds=PICTURE_KINDS, limit_bytes=MAX_IMAGE_BYTES)
    audio = ctx.input("audio", data.audio, kinds=SOUND_KINDS, limit_bytes=MAX_AUDIO_BYTES)
    further = fetch_further(data, ctx)
    if data.renderer == "runpod":
        check_readable_by_url(image, audio, *further.values())
    return image, audio, further


def _render_seconds(data: Reel, facts: dict[str, Any]) -> float:
    """Return the expected seconds on two cores, measured at 1080 x 1920: start, audio, and images by their size."""
    size = data.width * data.height / (1080 * 1920)
    each = 0.018 if data.scene_moves else 0.011
    return float(round(0.6 + 0.011 * facts["duration_seconds"] + each * size * facts["pictures"], 1))
