"""The calls of the Image and Video Generation API. ``/generate`` belongs to the local video service as well."""

from __future__ import annotations

import base64
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from consumer.ledger.records import Job
from ops.edge import local_video
from ops.edge.access import Caller
from ops.edge.content import content_response
from ops.edge.core import Edge, main_output
from ops.edge.dependencies import TheCaller, TheEdge
from ops.edge.forms import JSON, content_type, read_object
from ops.edge.openapi import json_body, schema_of
from ops.edge.prefixes import IMAGES, LOCAL_VIDEO, system_of
from ops.planning import PlanContext
from schemas.story_to_video import StoryToVideo
from schemas.text_to_image import TextToImage

router = APIRouter(tags=["Image and Video Generation"])

_IMAGE_FIELDS = ("prompt", "num_inference_steps", "return_base64")
_STORY_FIELDS = (
    "hero_description",
    "scenes",
    "num_inference_steps",
    "duration_per_scene",
    "fps",
    "width",
    "height",
    "transition_frames",
)
#: The source's own default.
_STEPS = 25
_IMAGE_BODY = json_body(schema_of(TextToImage, _IMAGE_FIELDS, ["prompt"]))
_STORY_BODY = json_body(schema_of(StoryToVideo, _STORY_FIELDS, ["scenes"]))
_GENERATE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **_IMAGE_BODY["requestBody"]["content"],
            **local_video.BODY["requestBody"]["content"],
        },
    }
}


@router.post("/generate", response_class=Response, openapi_extra=_GENERATE_BODY)
async def generate(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> Response:
    """Return an image for a JSON body, or make a video from a form, as the local video service does."""
    if for_local_video(request):
        return await local_video.generate(request, edge, caller)
    job = await edge.finished(request, await _send(request, edge, caller, "text-to-image", _IMAGE_FIELDS))
    asked, output = job.parsed().data, main_output(job)
    assert isinstance(asked, TextToImage)
    if not asked.return_base64:
        return await content_response(request, edge.runtime.storage, output, file_name="image.png")
    content = await run_sync(lambda: b"".join(edge.runtime.storage.read(output["uri"], 0, output["bytes"])))
    return JSONResponse(
        {
            "success": True,
            "prompt": asked.prompt,
            "steps": asked.num_inference_steps or _STEPS,
            "image_base64": base64.b64encode(content).decode(),
            "format": "png",
        }
    )


def for_local_video(request: HttpRequest) -> bool:
    """Return whether a call of ``/generate`` is for the local video service: by its prefix, or else by its body."""
    system = system_of(request)
    return system == LOCAL_VIDEO or (system != IMAGES and content_type(request) != JSON)


@router.post("/generate-video", response_class=Response, openapi_extra=_STORY_BODY)
async def generate_video(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> Response:
    """Return a film of several scenes."""
    job = await edge.finished(request, await _send(request, edge, caller, "story-to-video", _STORY_FIELDS))
    story, output = job.parsed().data, main_output(job)
    assert isinstance(story, StoryToVideo)
    headers = {
        "x-video-scenes": str(len(story.scenes)),
        "x-video-duration": str(story.frames / story.fps),
        "x-video-fps": str(story.fps),
    }
    return await content_response(request, edge.runtime.storage, output, file_name="video.mp4", headers=headers)


@router.post("/generate-video/info", openapi_extra=_STORY_BODY)
async def video_info(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Return what the film would be, without making it."""
    fields = await _fields(request, edge, caller, "story-to-video", _STORY_FIELDS)
    return await run_sync(_plan, edge, fields, caller)


def _plan(edge: Edge, fields: dict[str, Any], caller: Caller) -> dict[str, Any]:
    asked, _ = edge.check(fields, caller)
    with TemporaryDirectory(prefix="telecine-plan-") as folder:
        context = PlanContext(edge.runtime, Path(folder), tenant=asked.tenant)
        details = edge.runtime.pipelines[asked.type].plan(asked.data, context).details
    names = ("scenes_count", "frames_per_scene", "transition_frames", "total_frames", "total_duration_seconds")
    return {name: details[name] for name in (*names, "fps", "resolution", "estimated_generation_time_seconds")}


async def _send(request: HttpRequest, edge: Edge, caller: Caller, type_: str, names: tuple[str, ...]) -> Job:
    return await edge.send(await _fields(request, edge, caller, type_, names), caller)


async def _fields(
    request: HttpRequest, edge: Edge, caller: Caller, type_: str, names: tuple[str, ...]
) -> dict[str, Any]:
    """Return the request for a body of the source. Like the source, it ignores fields that it does not know."""
    body = await read_object(request, edge.settings.max_message_bytes, edge.settings.edge_body_timeout_seconds)
    data = {name: body[name] for name in names if body.get(name) is not None}
    return {"id": edge.job_id(request, caller), "type": type_, "data": data}
