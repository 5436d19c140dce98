"""The inputs of a reel besides image and audio, and what is behind its captions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pipelines.context import Context
from pipelines.media.inspect.sniff import PICTURE_KINDS
from schemas.media import InputFile
from schemas.reel import Reel

MAX_IMAGE_BYTES = 100 * 1024 * 1024
NOTHING_FURTHER: Mapping[str, InputFile] = MappingProxyType({})


def further_inputs(data: Reel) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the inputs besides image and audio by their names in the request: URI and accepted kinds."""
    named = {f"images.{index}.image": item.image for index, item in enumerate(data.images)}
    named |= {"watermark": data.watermark} if data.watermark else {}
    return {name: (uri, PICTURE_KINDS) for name, uri in named.items()}


def fetch_further(data: Reel, ctx: Context) -> dict[str, InputFile]:
    """Fetch the inputs besides image and audio.

    Raises:
        InputError: One is missing, forbidden, too large or of another kind.
    """
    return {
        name: ctx.input(name, uri, kinds=kinds, limit_bytes=MAX_IMAGE_BYTES)
        for name, (uri, kinds) in further_inputs(data).items()
    }


def without_uris(data: Reel) -> dict[str, Any]:
    """Return the fields that name further inputs, for a request whose inputs are sent apart."""
    images = [item.model_copy(update={"image": f"s3://input/{index}"}) for index, item in enumerate(data.images)]
    return {"images": tuple(images)} | ({"watermark": "s3://input/watermark"} if data.watermark else {})


def scene_record(data: Reel, further: Mapping[str, InputFile], fps: int) -> dict[str, Any]:
    """Return what is behind the captions for the child process; ``further`` has the inputs."""
    images = []
    for index, item in enumerate(data.images):
        file = further[f"images.{index}.image"]
        images.append({"path": str(file.path.resolve()), "kind": file.kind, "first": max(1, round(item.at * fps))})
    mark = further["watermark"] if data.watermark else None
    return {
        "kenburns": data.motion == "kenburns",
        "images": images,
        "crossfade": round(data.crossfade * fps),
        "waveform": data.waveform,
        "title": " ".join(data.title.split()),
        "artist": " ".join(data.artist.split()),
        "watermark": mark and {"path": str(mark.path.resolve()), "kind": mark.kind, "corner": data.watermark_position},
    }
