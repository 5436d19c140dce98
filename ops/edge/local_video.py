"""The calls of the Local Video Generation Service. Its ``POST /generate`` is routed in ``images``."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from consumer.ledger.records import Job
from ops.edge.access import Caller
from ops.edge.content import content_response
from ops.edge.core import Edge, FileRule, check_file, main_output
from ops.edge.dependencies import TheCaller, TheEdge
from ops.edge.forms import Form, read_form
from ops.edge.machine import machine_report
from ops.edge.openapi import form_body
from schemas.errors import InvalidField, JobNotFound
from schemas.text_to_video import TextToVideo

router = APIRouter(tags=["Local Video Generation"])

_FIELDS = (
    "prompt",
    "fps",
    "num_frames",
    "width",
    "height",
    "seed",
    "prefer_backend",
    "low_vram",
    "lawful_use_consent",
)
_IMAGE = FileRule(50 * 1024 * 1024, ("jpeg", "png"))
_SHORTEST_PROMPT = 3
_SYSTEM_KEYS = (
    "cuda_available",
    "device_name",
    "total_vram_gb",
    "free_vram_gb",
    "used_vram_gb",
    "cpu_percent",
    "ram_available_gb",
    "ram_total_gb",
    "backend",
)
BODY = form_body(TextToVideo, _FIELDS, ("image",), ("prompt", "lawful_use_consent"), plain=True)


async def generate(request: HttpRequest, edge: Edge, caller: Caller) -> Response:
    """Make a video from a text, and an image if there is one."""
    with edge.scratch() as folder:
        form = await read_form(request, folder, {"image": _IMAGE.limit_bytes}, edge.settings.edge_body_timeout_seconds)
        fields = {"id": edge.job_id(request, caller), "type": "text-to-video", "data": _data(form)}
        uploads = {}
        if "image" in form.files:
            fields["type"] = "image-to-video"
            uploads = {"image": check_file(form.files["image"], "image", _IMAGE)}
        job = await edge.send(fields, caller, uploads)
    job = await edge.finished(request, job)
    return JSONResponse(await run_sync(_result, edge, job))


@router.get("/outputs/{filename}", response_class=Response)
@router.head("/outputs/{filename}", include_in_schema=False)
async def output(request: HttpRequest, filename: str, edge: TheEdge, caller: TheCaller) -> Response:
    """Return a video by the name in `video_url`."""
    job_id, dot, ending = filename.rpartition(".")
    if not dot or ending != "mp4":
        raise JobNotFound(f"there is no video {filename[:128]!r}")
    job = await run_sync(edge.find, job_id, caller)
    return await content_response(request, edge.runtime.storage, main_output(job))


@router.get("/system-info")
async def system_info(edge: TheEdge, caller: TheCaller) -> dict[str, Any]:
    """Return the resources of this machine."""
    report = await run_sync(machine_report, edge.runtime)
    return {name: report.get(name) for name in _SYSTEM_KEYS}


def _data(form: Form) -> dict[str, Any]:
    data = {name: form.fields[name] for name in _FIELDS if name in form.fields}
    if len(data.get("prompt", "").strip()) in range(1, _SHORTEST_PROMPT):
        raise InvalidField(f"data.prompt: must have at least {_SHORTEST_PROMPT} characters", field="data.prompt")
    return {"model": "auto", **data}


def _result(edge: Edge, job: Job) -> dict[str, Any]:
    output, manifest = main_output(job), edge.manifest(job)
    return {
        "success": True,
        "video_url": f"/outputs/{job.id}.mp4",
        "mp4_path": output["uri"],
        "frames": output.get("frames"),
        "fps": round(output.get("fps") or 0),
        "width": output.get("width"),
        "height": output.get("height"),
        "seed": manifest.get("seed"),
        "backend": manifest.get("model"),
        "elapsed_time": round((job.finished_at or 0.0) - (job.started_at or 0.0), 2),
        "error": None,
    }
