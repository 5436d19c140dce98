"""The calls of the Cococlip gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest

from consumer.ledger.records import Job
from ops.cli.models import v1_list
from ops.edge.access import Caller
from ops.edge.core import Edge, FileRule, check_file, main_output
from ops.edge.dependencies import TheCaller, TheEdge
from ops.edge.forms import read_form, read_object
from ops.edge.openapi import form_body, json_body, schema_of
from schemas.audio_to_video import AudioToVideo
from schemas.image_to_video import ImageToVideo
from schemas.text_to_video import TextToVideo

router = APIRouter(prefix="/v1", tags=["Cococlip gateway"])

_BYTES = 50 * 1024 * 1024
_IMAGE = FileRule(_BYTES, ("jpeg", "png", "webp"))
_AUDIO = FileRule(_BYTES, ("mp3", "wav"))
_TEXT_FIELDS = ("model", "prompt", "duration", "resolution", "aspect_ratio")
_IMAGE_FIELDS = ("model", "prompt", "resolution", "duration")
_AUDIO_FIELDS = ("prompt", "resolution", "audio_duration")
_IMAGINE_FIELDS = ("prompt", "aspect_ratio", "duration", "resolution", "style_id", "is_enhance")
_IMAGINE = "imagine-text-to-video"


@router.get("/models")
async def models(edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """List the models of the catalogue."""
    return dict(json.loads(v1_list(list(edge.runtime.catalogue))))


@router.post(
    "/text-to-video/generations", openapi_extra=json_body(schema_of(TextToVideo, _TEXT_FIELDS, ["model", "prompt"]))
)
async def text_to_video(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Make a video from a text, and return it when it is finished."""
    return await _answer(request, edge, await _from_json(request, edge, caller, _TEXT_FIELDS), "COMPLETED")


@router.post(
    "/imagine-text-to-video/generations", openapi_extra=json_body(schema_of(TextToVideo, _IMAGINE_FIELDS, ["prompt"]))
)
async def imagine(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Make a video from a text with Imagine.art."""
    sent = await _from_json(request, edge, caller, _IMAGINE_FIELDS, model=_IMAGINE)
    job = await edge.finished(request, sent)
    details = (await run_sync(edge.manifest, job)).get("details", {})
    return {
        "id": _task(job, details),
        "status": "COMPLETED",
        "video_url": edge.url_of(request, job, main_output(job)),
        "batch_id": details.get("batch_id"),
    }


@router.post(
    "/image-to-video/generations",
    openapi_extra=form_body(ImageToVideo, _IMAGE_FIELDS, ("image",), ("image", "model", "prompt")),
)
async def image_to_video(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Make a video from an image and a text."""
    rules = {"image": _IMAGE}
    sent = await _from_form(request, edge, caller, "image-to-video", _IMAGE_FIELDS, rules)
    return await _answer(request, edge, sent, "completed")


@router.post(
    "/audio-to-video/generations",
    openapi_extra=form_body(AudioToVideo, _AUDIO_FIELDS, ("image", "audio"), ("image", "audio")),
)
async def audio_to_video(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Make a portrait speak."""
    rules = {"image": _IMAGE, "audio": _AUDIO}
    sent = await _from_form(request, edge, caller, "audio-to-video", _AUDIO_FIELDS, rules)
    answer, job, details = await _finished(request, edge, sent, "COMPLETED")
    spent = details.get("inference_time")
    if spent is None:  # the provider does not report it
        spent = round(((job.finished_at or 0.0) - (job.started_at or 0.0)) * 1000)
    return answer | {"inference_time": spent}


async def _from_json(request: HttpRequest, edge: Edge, caller: Caller, names: tuple[str, ...], **given: str) -> Job:
    body = await read_object(request, edge.settings.max_message_bytes, edge.settings.edge_body_timeout_seconds)
    data = {name: body[name] for name in names if body.get(name) not in (None, "")} | given
    return await edge.send({"id": edge.job_id(request, caller), "type": "text-to-video", "data": data}, caller)


async def _from_form(
    request: HttpRequest,
    edge: Edge,
    caller: Caller,
    type_: str,
    names: tuple[str, ...],
    rules: Mapping[str, FileRule],
) -> Job:
    with edge.scratch() as folder:
        limits = {name: rule.limit_bytes for name, rule in rules.items()}
        form = await read_form(request, folder, limits, edge.settings.edge_body_timeout_seconds)
        uploads = {name: check_file(form.files.get(name), name, rule) for name, rule in rules.items()}
        data = {name: form.fields[name] for name in names if name in form.fields}
        return await edge.send({"id": edge.job_id(request, caller), "type": type_, "data": data}, caller, uploads)


async def _answer(request: HttpRequest, edge: Edge, sent: Job, status: str) -> dict[str, Any]:
    return (await _finished(request, edge, sent, status))[0]


async def _finished(
    request: HttpRequest, edge: Edge, sent: Job, status: str
) -> tuple[dict[str, Any], Job, Mapping[str, Any]]:
    """Wait for the job, and return what all answers have, the job, and the details of its manifest."""
    job = await edge.finished(request, sent)
    details = (await run_sync(edge.manifest, job)).get("details", {})
    known = {"url": edge.url_of(request, job, main_output(job)), "status": status, "task_id": _task(job, details)}
    return known, job, details


def _task(job: Job, details: Mapping[str, Any]) -> str:
    """Return the provider's id of the task; the job's if no provider made the video."""
    calls = details.get("calls") or [{}]
    return str(calls[-1].get("task") or job.id)
