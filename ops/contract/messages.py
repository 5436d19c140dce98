"""Messages, message traits and schemas of the AsyncAPI document."""

from __future__ import annotations

from typing import Any

from ops.contract import descriptions
from ops.contract.draft_07 import to_draft_07
from ops.contract.events import EVENTS, event_model
from ops.contract.examples import CALLBACKS, S3_EVENT
from ops.contract.game import EXAMPLES, GAME, SCHEMA
from ops.contract.json_schemas import allow_new_fields, control_model, model_schema, request_model
from schemas.job_types import JOB_TYPES
from schemas.parse import CANCEL

_S3_EVENT = "s3-event"
_ATTRIBUTES = ("id", "source", "specversion", "type")
_EXTENSIONS = {
    "time": "An RFC 3339 time with its zone; kept in the timeline.",
    "subject": "Kept in the timeline.",
    "callback": "A URL, or the object of a request as JSON.",
    "deadline": "Seconds from receipt, or an RFC 3339 time with its zone.",
    "notbefore": "The job does not start earlier: seconds from receipt, or an RFC 3339 time with its zone.",
    "metadata": "An object as JSON, at most 4 KiB.",
    "output": "s3://bucket/prefix/",
    "planonly": "true or false.",
    "priority": "high, normal or low.",
    "tenant": "The tenant that the job belongs to.",
    "traceparent": "W3C trace context.",
    "tracestate": "W3C trace context.",
}


def request_messages() -> list[str]:
    """Return the names of all messages that a request queue may carry."""
    return [f"{name}{mode}" for name in sorted(JOB_TYPES) for mode in ("", ".structured", ".binary")] + [
        CANCEL,
        _S3_EVENT,
    ]


def messages() -> dict[str, Any]:
    """Return all messages: requests in their three forms, the control message, S3 events and callbacks."""
    made: dict[str, Any] = {}
    for name in sorted(JOB_TYPES):
        made |= _requests(name)
    made[CANCEL] = {
        "title": "Cancel a job",
        "contentType": "application/json",
        "tags": [{"name": "requests"}],
        "payload": _ref(CANCEL),
        "examples": [{"name": "cancel", "payload": {"type": CANCEL, "data": {"id": "order-1042"}}}],
    }
    made[_S3_EVENT] = {
        "title": "An object was uploaded",
        "description": descriptions.S3_EVENT,
        "contentType": "application/json",
        "tags": [{"name": "events"}],
        "payload": _ref("s3-event"),
        "examples": [{"name": "s3ToSqs", "payload": S3_EVENT}],
    }
    made |= {name: _callback(name) for name in EVENTS}
    made[GAME] = {
        "title": "A callback in the format of the G.A.M.E. API",
        "contentType": "application/json",
        "tags": [{"name": "callbacks"}],
        "payload": _ref(GAME),
        "examples": [{"name": name, "payload": payload} for name, payload in EXAMPLES.items()],
    }
    return made


def traits() -> dict[str, Any]:
    """Return the traits that several messages share."""
    attributes = {f"cloudEvents:{name}": {"type": "string", "minLength": 1} for name in _ATTRIBUTES}
    attributes["cloudEvents:specversion"] = {"type": "string", "const": "1.0"}
    extensions = {
        f"cloudEvents:{name}": {"type": ["string", "number", "boolean"], "description": text}
        for name, text in _EXTENSIONS.items()
    }
    return {
        "cloudEventStructured": {
            "contentType": "application/cloudevents+json",
            "description": descriptions.STRUCTURED,
            "externalDocs": {"url": "https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md"},
        },
        "cloudEventBinary": {
            "contentType": "application/json",
            "description": descriptions.BINARY,
            "externalDocs": {"url": "https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md"},
            "headers": {
                "type": "object",
                "required": [f"cloudEvents:{name}" for name in _ATTRIBUTES],
                "properties": attributes | extensions,
            },
        },
        "standardWebhook": _webhook_trait(),
    }


def _webhook_trait() -> dict[str, Any]:
    return {
        "contentType": "application/json",
        "description": descriptions.SIGNATURE,
        "externalDocs": {
            "url": "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"
        },
        "headers": {
            "type": "object",
            "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
            "properties": {
                "webhook-id": {"type": "string", "description": "The same for every attempt."},
                "webhook-timestamp": {
                    "type": "string",
                    "pattern": "^[0-9]+$",
                    "description": "Unix seconds of this attempt.",
                },
                "webhook-signature": {"type": "string", "pattern": "^v1,[A-Za-z0-9+/=]+( v1,[A-Za-z0-9+/=]+)*$"},
            },
        },
    }


def schemas() -> dict[str, Any]:
    """Return the schemas of all payloads and of their nested models, by name.

    Raises:
        ValueError: If two different schemas have the same name.
    """
    made: dict[str, Any] = {}
    attributes = ["specversion", "source"]
    is_event = {"required": attributes, "properties": {name: {"type": "string"} for name in attributes}}
    for name in sorted(JOB_TYPES):
        _merge(made, to_draft_07(name, model_schema(request_model(name))))
        made[f"{name}.structured"] = {"allOf": [_ref(name), is_event]}
    _merge(made, to_draft_07(CANCEL, model_schema(control_model())))
    made["s3-event"] = {
        "type": "object",
        "anyOf": [
            {"required": ["Records"], "description": "S3, MinIO or Ceph; raw SNS delivery."},
            {"required": ["Type", "Message"], "description": "Wrapped by SNS: `Message` holds the event as text."},
            {"required": ["detail-type", "detail"], "description": "EventBridge."},
            {"required": ["Event"], "description": "`s3:TestEvent`."},
        ],
    }
    made[GAME] = SCHEMA
    for name in EVENTS:
        _merge(made, to_draft_07(name, allow_new_fields(model_schema(event_model(name)))))
    return dict(sorted(made.items()))


def _merge(made: dict[str, Any], more: dict[str, Any]) -> None:
    for name, schema in more.items():
        if made.setdefault(name, schema) != schema:
            raise ValueError(f"two different schemas have the name {name}")


def _requests(name: str) -> dict[str, Any]:
    shared: dict[str, Any] = {"tags": [{"name": "requests"}]}
    plain: dict[str, Any] = {"title": f"Request: {name}", "contentType": "application/json", "payload": _ref(name)}
    structured: dict[str, Any] = {
        "title": f"Request: {name}, as a structured CloudEvent",
        "payload": _ref(f"{name}.structured"),
        "traits": [{"$ref": "#/components/messageTraits/cloudEventStructured"}],
    }
    binary: dict[str, Any] = {
        "title": f"Request: {name}, as a binary CloudEvent",
        "payload": _ref(JOB_TYPES[name].__name__),
        "traits": [{"$ref": "#/components/messageTraits/cloudEventBinary"}],
    }
    if (data := _example(name)) is not None:
        body = {"id": "order-1042", "type": name, "data": data}
        event = {"specversion": "1.0", "source": "/shop"}
        headers = {f"cloudEvents:{key}": text for key, text in {**event, "id": body["id"], "type": name}.items()}
        plain["examples"] = [{"name": "plain", "payload": body}]
        structured["examples"] = [{"name": "structured", "payload": event | body}]
        binary["examples"] = [{"name": "binary", "headers": headers, "payload": data}]
    return {
        name: plain | shared,
        f"{name}.structured": structured | shared,
        f"{name}.binary": binary | shared,
    }


def _example(name: str) -> dict[str, Any] | None:
    """Return the first example of the job type's model, if it has one."""
    examples = model_schema(JOB_TYPES[name]).get("examples")
    return dict(examples[0]) if examples else None


def _callback(name: str) -> dict[str, Any]:
    return {
        "title": name,
        "summary": event_model(name).__doc__,
        "tags": [{"name": "callbacks"}],
        "payload": _ref(name),
        "traits": [{"$ref": "#/components/messageTraits/standardWebhook"}],
        "examples": [{"name": "standard", "payload": CALLBACKS[name]}],
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
