"""Return the facts of a finished video or picture after decoding all of it. Runs in the child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from pipelines.media.inspect.open_media import open_media
from pipelines.media.inspect.picture import load_picture, open_picture
from schemas.errors import InvalidImage, ProviderResultInvalid

_VIDEOS = ("mp4", "mov", "webm", "mkv")
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
_PICTURES = ("jpeg", "png", "webp")
_MAX_PIXELS = 100_000_000
_MAX_FRAMES = 4 * 3600 * 60
#: Tolerated difference between the frames in the index and those decoded: frames before the start of an edit list.
_MISSING_FRAMES, _MISSING_SHARE = 2, 0.02


def facts_of(path: Path, kind: str) -> dict[str, Any]:
    """Return the fields of ``MediaFacts`` that apply to the file at ``path``, which is of ``kind``.

    Raises:
        ProviderResultInvalid: The file cannot be decoded to its end, contains no picture, or exceeds a limit.
    """
    try:
        if kind in _PICTURES:
            return _picture(path, kind)
        if kind in _VIDEOS:
            return _video(path, kind)
    except av.FFmpegError as error:
        raise ProviderResultInvalid(f"the video cannot be decoded: {error.strerror or 'damaged data'}") from None
    raise ProviderResultInvalid(f"the result is neither a video nor a picture: {kind}")


def _picture(path: Path, kind: str) -> dict[str, Any]:
    try:
        with open_picture(path, kind) as image:
            load_picture(image)
            return {"width": image.width, "height": image.height}
    except InvalidImage as error:
        raise ProviderResultInvalid(f"the picture cannot be decoded: {error.message}") from None


def _video(path: Path, kind: str) -> dict[str, Any]:
    with open_media(path, kind, formats=_FORMATS) as container:
        if not container.streams.video:
            raise ProviderResultInvalid("the result contains no video")
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        audio = container.streams.audio[0] if container.streams.audio else None
        frames, width, height, first, last = 0, 0, 0, 0.0, 0.0
        for frame in container.decode(video):
            if frame.width * frame.height > _MAX_PIXELS or frames >= _MAX_FRAMES:
                raise ProviderResultInvalid(
                    f"the video exceeds the limit of {_MAX_PIXELS:,} pixels or {_MAX_FRAMES:,} frames"
                )
            width, height = width or frame.width, height or frame.height
            at = frame.time or 0.0
            first, last = (at, at) if frames == 0 else (min(first, at), max(last, at))
            frames += 1
        if frames == 0:
            raise ProviderResultInvalid("the video contains no frames")
        if frames + max(_MISSING_FRAMES, video.frames * _MISSING_SHARE) < video.frames:
            raise ProviderResultInvalid(f"the video ends early: {frames:,} of {video.frames:,} frames are present")
        # The last frame is assumed to be visible for the average time of the others.
        rate = (frames - 1) / (last - first) if last > first else float(video.average_rate or 0)
        seconds = max(last - first + (1 / rate if rate else 0.0), _length(audio))
        return {
            "width": width,
            "height": height,
            "duration_seconds": round(seconds, 3),
            "fps": round(rate, 3) or None,
            "frames": frames,
            "video_codec": video.codec_context.name,
            "audio_codec": None if audio is None else audio.codec_context.name,
        }


def _length(stream: Any) -> float:
    """Return the length of a stream in seconds as its container states it; 0.0 if it does not."""
    if stream is None or stream.duration is None:
        return 0.0
    return float(stream.duration * stream.time_base)
