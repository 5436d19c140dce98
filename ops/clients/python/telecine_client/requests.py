"""Requests and control messages.

Written by ops/clients/generate.py from docs/contract. Change the models, then run it.
"""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from telecine_client.data import (
    AudioToCaptions,
    AudioToVideo,
    CallbackSpec,
    Cancel,
    ImageToPrompt,
    ImageToVideo,
    Reel,
    StoryToVideo,
    TextToImage,
    TextToVideo,
)


class Envelope(TypedDict):
    """What requests of all types have in common."""

    id: str
    output: NotRequired[str | None]
    callback: NotRequired[CallbackSpec | None]
    priority: NotRequired[Literal["high", "normal", "low"] | None]
    """Default "normal"."""
    deadline: NotRequired[float | str | None]
    """Seconds from receipt, or an RFC 3339 time with its zone. More than 0, at most 31536000."""
    not_before: NotRequired[float | str | None]
    """The job does not start earlier. Seconds from receipt, or an RFC 3339 time with its zone. More than 0, at most
    31536000.
    """
    tenant: NotRequired[str | None]
    plan_only: NotRequired[bool | None]
    """Default false."""
    metadata: NotRequired[dict[str, Any] | None]
    traceparent: NotRequired[str | None]
    tracestate: NotRequired[str | None]
    specversion: NotRequired[Literal["1.0"] | None]
    source: NotRequired[str | None]
    subject: NotRequired[str | None]
    time: NotRequired[str | None]
    datacontenttype: NotRequired[str | None]
    dataschema: NotRequired[str | None]


class AudioToCaptionsRequest(Envelope):
    """One request of type audio-to-captions, as sent to the queue."""

    type: Literal["audio-to-captions"]
    data: AudioToCaptions


class AudioToVideoRequest(Envelope):
    """One request of type audio-to-video, as sent to the queue."""

    type: Literal["audio-to-video"]
    data: AudioToVideo


class ImageToPromptRequest(Envelope):
    """One request of type image-to-prompt, as sent to the queue."""

    type: Literal["image-to-prompt"]
    data: ImageToPrompt


class ImageToVideoRequest(Envelope):
    """One request of type image-to-video, as sent to the queue."""

    type: Literal["image-to-video"]
    data: ImageToVideo


class ReelRequest(Envelope):
    """One request of type reel, as sent to the queue."""

    type: Literal["reel"]
    data: Reel


class StoryToVideoRequest(Envelope):
    """One request of type story-to-video, as sent to the queue."""

    type: Literal["story-to-video"]
    data: StoryToVideo


class TextToImageRequest(Envelope):
    """One request of type text-to-image, as sent to the queue."""

    type: Literal["text-to-image"]
    data: TextToImage


class TextToVideoRequest(Envelope):
    """One request of type text-to-video, as sent to the queue."""

    type: Literal["text-to-video"]
    data: TextToVideo


class JobCancel(TypedDict):
    """A control message: cancels the job with this id."""

    type: Literal["job.cancel"]
    data: Cancel


Request: TypeAlias = (
    AudioToCaptionsRequest
    | AudioToVideoRequest
    | ImageToPromptRequest
    | ImageToVideoRequest
    | ReelRequest
    | StoryToVideoRequest
    | TextToImageRequest
    | TextToVideoRequest
)
