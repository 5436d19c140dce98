"""How the channels of audio become two."""

from __future__ import annotations

import re
from pathlib import Path

import av

from pipelines.media.inspect.open_media import open_media

#: Most channels of audio that is accepted, the limit of FFmpeg's filters.
MAX_CHANNELS = 64
#: Names of the layouts whose channels FFmpeg mixes by their positions. It drops or refuses channels of other layouts.
_KNOWN_LAYOUT = re.compile(r"downmix|quad(\(side\))?|hexagonal|[2-7]\.[01](\((back|front|side|wide|wide-side)\))?")
#: A layout without positions: FFmpeg takes one or two channels for mono or stereo.
_NO_LAYOUT = re.compile(r"\d+ channels?")
#: The filters that take channels with other positions for mono and stereo.
_KEPT = {1: "channelmap=map=0-FC:channel_layout=mono", 2: "channelmap=map=0-FL|1-FR:channel_layout=stereo"}
#: FFmpeg's mix by positions.
_BY_POSITION = "aformat=sample_fmts=fltp:channel_layouts=stereo"
#: What is mixed is turned down where it exceeds -1 dBFS, not clipped. Without the last filter, FFmpeg would raise
#: the sample rate when it converts the limiter's sample format.
_LIMITER = "alimiter=limit=0.89:level=false:latency=true,aformat=sample_fmts=fltp"


def stereo_filter(path: Path, kind: str) -> str:
    """Return FFmpeg's filter that mixes the first audio stream of ``path`` to stereo.

    One channel is played on both sides at its own level, and two are kept. More are mixed by their positions, or evenly
    if FFmpeg does not know these. A file that cannot be read gives FFmpeg's own mix.
    """
    try:
        with open_media(path, kind) as container:
            layout = container.streams.audio[0].codec_context.layout
    except (av.FFmpegError, IndexError, AttributeError):
        return _BY_POSITION
    count = layout.nb_channels
    if count in _KEPT and layout.name != "downmix":
        named = layout.name in ("mono", "stereo") or _NO_LAYOUT.fullmatch(layout.name)
        return f"{'' if named else _KEPT[count] + ','}pan=stereo|c0=c0|c1=c{count - 1}"
    if not 0 < count <= MAX_CHANNELS or _KNOWN_LAYOUT.fullmatch(layout.name):
        return f"{_BY_POSITION},{_LIMITER}"
    # Each channel has the same share of the power.
    even = "+".join(f"{count**-0.5:.6f}*c{channel}" for channel in range(count))
    return f"aformat=sample_fmts=fltp,pan=stereo|c0={even}|c1={even},{_LIMITER}"
