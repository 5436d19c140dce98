"""The body of a callback in the format ``game``, which another system defines, so that it has no model here."""

from __future__ import annotations

from typing import Any

GAME = "callback.game"

_OUTPUT: dict[str, Any] = {
    "type": "object",
    "required": ["title", "type", "category", "url"],
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "type": {"const": "MEDIA", "type": "string"},
        "category": {"const": "MARKETING_VIDEO", "type": "string"},
        "url": {"type": "string", "description": "Presigned URL; keep it secret until it expires."},
    },
}

SCHEMA: dict[str, Any] = {
    "description": "One POST to `{url}/{id}/callback` with the header `x-api-key`. It is not signed.",
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "object",
            "required": ["addToInventory", "status", "output"],
            "properties": {
                "addToInventory": {"type": "boolean", "description": "Whether there is an output."},
                "status": {"enum": ["COMPLETED", "FAILED"], "type": "string"},
                "output": {"anyOf": [_OUTPUT, {"type": "null"}]},
            },
        }
    },
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "completed": {
        "data": {
            "addToInventory": True,
            "status": "COMPLETED",
            "output": {
                "title": "Generated Video",
                "type": "MEDIA",
                "category": "MARKETING_VIDEO",
                "url": "https://results.s3.amazonaws.com/order-1042/video.mp4?X-Amz-Signature=…",
            },
        }
    },
    "failed": {"data": {"addToInventory": False, "status": "FAILED", "output": None}},
}
