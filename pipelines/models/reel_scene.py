"""The inputs of a reel besides image and audio, and what is behind its captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pipelines.context import Context
from pipelines.media.inspect.sniff import PICTURE_KINDS
from schemas.media import InputFile
from schemas.reel import Reel

MAX_IMAGE_BYTES = 100 * 1024 * 1024
NOTHING_FURTHER: Mapping[str, InputFile] = MappingProxyType({})


def further_inputs(data: Reel) -> dict[str, tuple[str, Sequence[str]]]:
    """Return the inputs besides image and audio by their names in the request: URI and accepted kinds."""
    return {f"images.{index}.image": (item.image, PICTURE_KINDS) for index, item in enumerate(data.images)}


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
    return {"images": tuple(images)}


def scene_record(data: Reel, further: Mapping[str, InputFile], fps: int) -> dict[str, Any]:
    """Return what is behind the captions for the child process; ``further`` has the inputs."""
    images = []
    for index, item in enumerate(data.images):
        file = further[f"images.{index}.image"]
        images.append({"path": str(file.path.resolve()), "kind": file.kind, "first": max(1, round(item.at * fps))})
    return {
        "kenburns": data.motion == "kenburns",
        "images": images,
        "crossfade": round(data.crossfade * fps),
    }
