"""How the channels of audio become two."""

from __future__ import annotations

import re
from pathlib import Path

import av

from pipelines.media.inspect.open_media import open_media

#: Most channels of audio that is accepted, the limit of FFmpeg's filters.
MAX_CHANNELS = 64
#: Names of the layouts whose channels FFmpeg mixes by their positions. It drops or refuses channels of other layouts.
_KNOWN_LAYOUT = re.compile(
    r"mono|stereo|downmix|quad(\(side\))?|hexagonal|[2-7]\.[01](\((back|front|side|wide|wide-side)\))?"
)
#: A layout without positions: FFmpeg takes one or two channels for mono or stereo.
_NO_LAYOUT = re.compile(r"\d+ channels?")
#: The filters that take channels with other positions for mono and stereo.
_KEPT = {1: "channelmap=map=0-FC:channel_layout=mono", 2: "channelmap=map=0-FL|1-FR:channel_layout=stereo"}


def stereo_filter(path: Path, kind: str) -> str | None:
    """Return FFmpeg's filter that mixes the first audio stream of ``path`` to stereo; ``None`` for its own mix.

    Channels without known positions are mixed evenly, one or two are kept. A file that cannot be read gives ``None``.
    """
    try:
        with open_media(path, kind) as container:
            layout = container.streams.audio[0].codec_context.layout
    except (av.FFmpegError, IndexError, AttributeError):
        return None
    count = layout.nb_channels
    if not 0 < count <= MAX_CHANNELS or _KNOWN_LAYOUT.fullmatch(layout.name):
        return None
    if count <= 2:
        return None if _NO_LAYOUT.fullmatch(layout.name) else _KEPT[count]
    # Each channel has the same share of the power. What then exceeds full scale is turned down, not clipped.
    # Without the last filter, FFmpeg would raise the sample rate when it converts the limiter's sample format.
    even = "+".join(f"{count**-0.5:.6f}*c{channel}" for channel in range(count))
    limiter = "alimiter=limit=0.98:level=false:latency=true"
    return f"aformat=sample_fmts=fltp,pan=stereo|c0={even}|c1={even},{limiter},aformat=sample_fmts=fltp"
