"""The calls of the I2V API."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse

from consumer.callbacks.game import REQUEST_ID
from ops.edge.core import Edge
from ops.edge.dependencies import TheCaller, TheEdge
from ops.edge.forms import read_object
from ops.edge.openapi import json_body
from providers.http.guard import check_url
from schemas.errors import AddressForbidden

router = APIRouter(tags=["I2V"])

_MESSAGE = "Video generation pipeline initialized | ETA: 5-7 minutes"
_BODY = json_body({"type": "object", "properties": {"image_id": {"type": "string"}}, "required": ["image_id"]})
_HEADER = {
    "parameters": [{"name": REQUEST_ID, "in": "header", "required": True, "schema": {"type": "string"}}],
}


@router.post("/api/v1/i2v", openapi_extra=_BODY | _HEADER, response_model=None)
async def image_to_video(request: HttpRequest, edge: TheEdge, caller: TheCaller) -> JSONResponse | dict[str, Any]:
    """Animate an image in the background. The result goes to the callback API."""
    chosen = request.headers.get(REQUEST_ID, "")
    if not chosen:
        problem = {"type": "missing", "loc": ["header", REQUEST_ID], "msg": "Field required", "input": None}
        return JSONResponse({"detail": [problem]}, 422)
    body = await read_object(request, edge.settings.max_message_bytes, edge.settings.edge_body_timeout_seconds)
    fields: dict[str, Any] = {
        "id": edge.job_id(request, caller, chosen),
        "type": "image-to-video",
        "data": {"image_id": _secure(body.get("image_id"), edge)},
    }
    if edge.settings.game_api_key is not None:
        fields |= {"callback": {"format": "game"}, "metadata": {REQUEST_ID: chosen}}
    await edge.send(fields, caller)
    return {"message": _MESSAGE, "request_id": chosen}


def _secure(image: Any, edge: Edge) -> Any:
    """Return an ``http://`` address as ``https://``, unless the settings allow it as it is."""
    if not isinstance(image, str) or not image.lower().startswith("http://"):
        return image
    try:
        check_url(image, edge.runtime.policy)
    except AddressForbidden:
        return urlsplit(image)._replace(scheme="https").geturl()
    return image
