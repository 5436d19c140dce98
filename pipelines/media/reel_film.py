"""Plan or render one reel, inside the child process: measure, place captions, draw, encode, write."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
from av.codec.codec import UnknownCodecError
from PIL.Image import Image

from pipelines.media.captions.files import (
    write_subtitles,
    write_words,
)
from pipelines.media.captions.line_files import write_line_files
from pipelines.media.encode.aac import AacEncoder, AacFormat, frames_for, read_format, read_frames
from pipelines.media.encode.chunk_encoder import NVENC, X264, ChunkEncoder
from pipelines.media.encode.frame_runs import GOP_SECONDS, chunks, expand, plan_frame_runs
from pipelines.media.encode.h264 import UnexpectedStream
from pipelines.media.encode.moving_film import drawn_ahead, write_moving_mp4
from pipelines.media.encode.mp4 import write_mp4
from pipelines.media.encode.parallel_encoder import ParallelEncoder
from pipelines.media.encode.sound_edit import UNCHANGED
from pipelines.media.encode.strip_encoder import StripEncoder
from pipelines.media.film import FPS, Film, Timeline, timeline_of
from pipelines.media.film_sound import SONG_NAME, start_song
from pipelines.media.inspect.picture import fit_picture, open_picture, upright_size
from pipelines.media.inspect.sound import Sound, measure
from pipelines.media.layout import line_height, safe_box
from pipelines.media.scene.arrangement import Cards, arrange_all
from pipelines.media.scene.images import check_further_images, further_sizes
from pipelines.media.scene.labels import labels_of, rows_of
from pipelines.media.scene.moving import Fixed
from pipelines.media.scene.stage import Stage, cover_of, moving_names, pictures_of, save_cover, stage_of, waveform_of
from pipelines.media.text.canvas import Canvas
from pipelines.media.text.caption_renderer import CaptionRenderer, upper
from pipelines.media.text.fitting import caption_height, most_lines
from pipelines.media.text.fonts import Fonts
from pipelines.media.text.painting import Style
from pipelines.media.text.shaping import Shaper
from schemas.errors import RenderFailed

Progress = Callable[[float], None]
#: The encoder to try after one that is not available or whose stream cannot be used, and the errors that show it.
_FALLBACK = {"nvenc": "strips", "strips": "skip", "skip": "plain"}
_FALLBACK_ON: dict[str, tuple[type[Exception], ...]] = {
    "nvenc": (UnexpectedStream, av.FFmpegError, UnknownCodecError),
    "strips": (UnexpectedStream,),
    "skip": (UnexpectedStream,),
    "plain": (),
}
#: Encoder threads at most, and pictures per chunk. One of whole pictures takes about 60 MB for 1080 x 1920.
_THREADS, _STRIP_THREADS = 4, 8
_STRIP_PICTURES = 24
#: The shares of the progress that encoding frames and sound count for; the rest is writing the file.
#: Both are encoded at the same time; for a long reel the sound takes longer.
_FRAMES_SHARE, _SOUND_SHARE = 0.65, 0.25
#: Time between two progress reports while ffmpeg encodes the sound, in seconds.
_REPORT_SECONDS = 0.2
#: Compared with ``medium``, a few per cent larger in half the time. The number of threads is fixed, so that every
#: machine writes the same bytes.
_MOVING_X264 = {"preset": "veryfast", "crf": "20", "threads": "2"}


def plan_film(film: Film) -> dict[str, Any]:
    """Return the sizes and counts of the reel that ``film`` describes. Both inputs are decoded completely.

    Without lyrics the captions are not known yet, and none are counted.

    Raises:
        InputError: An input cannot be used.
        LyricsTooLong: A caption would be visible for less than one frame.
    """
    fit_picture(open_picture(film.image, film.image_kind), film.width, film.height)
    check_further_images(film)
    labels_of(film, set())
    timeline = timeline_of(film, with_captions=bool(film.caption_spec.lyrics.strip()))
    return {
        "frames": timeline.frames,
        "duration_seconds": timeline.sound.seconds,
        "song_seconds": timeline.song_seconds,
        "captions": len(timeline.captions),
        "warnings": timeline.warnings,
        "pictures": timeline.frames
        if film.scene.moves
        else len(plan_frame_runs(pictures_of(film, timeline), timeline.frames, GOP_SECONDS * FPS)),
    }


def render_film(film: Film, progress: Progress, aac_process: AacEncoder | None) -> dict[str, Any]:
    """Write ``video.mp4``, ``cover.jpg`` and the caption files into ``film.folder``; return the video's facts.

    ``progress`` is called with shares from 0 to 1. ``aac_process`` is what ``start_unchanged_song`` returned.

    Raises:
        InputError: An input cannot be used.
        LyricsTooLong: A caption would be visible for less than one frame.
        RenderFailed: The sound could not be encoded.
        FfmpegDied: A signal ended ffmpeg.
        MemoryError, OSError: This machine has no memory, or its disk cannot be written.
    """
    song = None
    try:
        # Only the header is read first, so that a picture with too many pixels fails before the sound is decoded.
        image = open_picture(film.image, film.image_kind)
        if film.sound_edit != UNCHANGED:
            song = measure(film.audio, film.audio_kind)
            aac_process = _start_song(film, song)
        timeline = timeline_of(film, song)
        if aac_process is None and timeline.sound.is_damaged:
            aac_process = _start_song(film, timeline.sound)
        stage, renderer = stage_for(film, image, timeline)
        encoder = _encode(film, stage, timeline, aac_process, progress)
    finally:
        if aac_process is not None:
            aac_process.kill()
    write_subtitles(film.folder, timeline.captions, FPS)
    spec, size = film.caption_spec, (film.width, film.height)
    offset = spec.timing_offset - film.sound_edit.start
    seconds = timeline.sound.seconds
    write_line_files(film.folder, spec.lyrics, timeline.words, seconds=seconds, offset=offset, size=size)
    if spec.source != "even":
        write_words(film.folder, spec, timeline.words, seconds, film.sound_edit.start)
    (film.folder / SONG_NAME).unlink(missing_ok=True)
    return {
        "frames": timeline.frames,
        "duration_seconds": timeline.sound.seconds,
        "captions": len(timeline.captions),
        "warnings": timeline.warnings,
        "encoder": encoder,
        "missing_characters": "".join(sorted(renderer.shaper.missing)),
    }


def _start_song(film: Film, song: Sound) -> AacEncoder | None:
    return start_song(film.audio, film.audio_kind, film.folder, film.ffmpeg, film.sound_edit, song)


def caption_renderer(
    film: Film, pictures: Sequence[tuple[int, int]], timeline: Timeline
) -> tuple[CaptionRenderer, Cards]:
    """Return the renderer of the captions, and the cards of upright pictures of those sizes."""
    look, language = film.style, film.caption_spec.language
    size = look.font_size * min(film.width, film.height) / 1080
    fonts = Fonts(language, film.caption_spec.lyrics, look.weight, look.font)
    shaper = Shaper(fonts, language)
    texts = [upper(caption.text, language) if look.upper_case else caption.text for caption in timeline.captions]
    widest = safe_box(film.width, film.height, film.safe_area).width / size - 2 * look.reach
    lines = max(2, most_lines(texts, shaper, widest))
    line = line_height(min(film.width, film.height)) if look.progress_line else 0
    rows = rows_of(film)
    cards, area = arrange_all(
        pictures,
        film.width,
        film.height,
        fit=film.fit,
        position=film.position,
        safe_area=film.safe_area,
        caption_height=caption_height(lines, look.reach, next_line=look.next_line) * size + line,
        above=rows.above,
        below=rows.below,
    )
    if look.progress_line:
        area = area.with_line(min((card.width for card in cards if card), default=film.width))
    style = Style(size, film.color[:3], film.color[3], look)
    renderer = CaptionRenderer(area, style, fonts, language, shaper=shaper, pictures=timeline.pictures)
    return renderer, cards


def stage_for(film: Film, image: Image, timeline: Timeline) -> tuple[Stage, CaptionRenderer]:
    """Return what draws the frames of the reel, with ``image`` as its first image, and what draws its captions."""
    renderer, cards = caption_renderer(film, [upright_size(image), *further_sizes(film)], timeline)
    labels = labels_of(film, renderer.shaper.missing)
    waveform = waveform_of(film, timeline.frames, FPS) if film.scene.waveform else None
    return stage_of(film, image, cards, Fixed(labels, waveform), renderer, FPS), renderer


def _encode(film: Film, stage: Stage, timeline: Timeline, aac_process: AacEncoder | None, progress: Progress) -> str:
    """Write the video with the requested encoder or the first fallback that works; return the encoder's name."""
    encoder, frames_written = film.encoder, None
    if film.scene.moves:
        frames_written = _write_moving(film, stage, timeline, aac_process, progress)
    while frames_written is None:
        try:
            frames_written = _write_video(film, stage, timeline, aac_process, encoder, progress)
        except _FALLBACK_ON[encoder]:
            encoder = _FALLBACK[encoder]
    if frames_written != timeline.frames:
        raise RenderFailed(f"{frames_written:,} frames were written where {timeline.frames:,} were planned")
    return encoder


def _write_video(
    film: Film,
    stage: Stage,
    timeline: Timeline,
    aac_process: AacEncoder | None,
    encoder: str,
    progress: Progress,
) -> int:
    """Encode and write the video; return its number of frames."""
    runs = plan_frame_runs(pictures_of(film, timeline), timeline.frames, GOP_SECONDS * FPS)
    if encoder == "plain":
        runs = expand(runs)
    size = (film.width, film.height, FPS)
    codec = NVENC if encoder == "nvenc" else X264
    chunk_encoder = ChunkEncoder(*size, skip=encoder != "plain", codec=codec)
    cover = cover_of(film, stage, timeline, FPS)
    # Strips need one background for the whole film.
    if encoder == "strips" and isinstance(stage, Canvas):
        strips = StripEncoder(chunk_encoder, stage, [run.text for run in runs])
        parallel = ParallelEncoder(strips.encode, chunks(runs, _STRIP_PICTURES), film.folder, _STRIP_THREADS)
    else:
        encode = functools.partial(chunk_encoder.encode, draw=stage.draw)
        parallel = ParallelEncoder(encode, chunks(runs), film.folder, _THREADS)

    def report(frames_written: int) -> None:
        # Encoding is nearly all of the work, and continues in its threads while frames are written.
        done = _FRAMES_SHARE * parallel.encoded + (1 - _FRAMES_SHARE - _SOUND_SHARE) * frames_written
        progress(done / timeline.frames + _SOUND_SHARE * encoded_share)

    encoded_share = 0.0
    try:
        save_cover(film, cover)
        while aac_process is not None and aac_process.wait(_REPORT_SECONDS) is None:
            encoded_share = aac_process.share(timeline.sound.seconds)
            report(0)
        if aac_process is not None:
            aac_process.check("the audio could not be encoded")
        encoded_share = 1.0
        return write_mp4(
            film.folder / "video.mp4",
            parallel.units(),
            size=size,
            extradata=chunk_encoder.extradata,
            codec=codec,
            audio=_read_audio(film, timeline),
            on_frame=report,
        )
    finally:
        parallel.close()


def _write_moving(
    film: Film, stage: Stage, timeline: Timeline, aac_process: AacEncoder | None, progress: Progress
) -> int:
    """Encode and write a video of which every frame is another picture; return its number of frames."""
    save_cover(film, cover_of(film, stage, timeline, FPS))
    while aac_process is not None and aac_process.wait(_REPORT_SECONDS) is None:
        progress(0.0)
    if aac_process is not None:
        aac_process.check("the audio could not be encoded")
    return write_moving_mp4(
        film.folder / "video.mp4",
        drawn_ahead(stage.draw, moving_names(timeline)),
        size=(film.width, film.height, FPS),
        x264=_MOVING_X264,
        audio=_read_audio(film, timeline),
        on_frame=lambda count: progress(count / timeline.frames),
    )


def _read_audio(film: Film, timeline: Timeline) -> tuple[AacFormat, Iterator[bytes]]:
    """Return the format of the encoded sound and its frames, cut to the length of the video."""
    path = film.folder / SONG_NAME
    audio_format = read_format(path)
    samples = round(timeline.sound.samples * audio_format.rate / timeline.sound.rate)
    return audio_format, read_frames(path, frames_for(samples, timeline.frames / FPS, audio_format.rate))
