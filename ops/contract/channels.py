"""Channels and operations of the AsyncAPI document."""

from __future__ import annotations

from typing import Any

from consumer.doors.amqp import request_queue
from consumer.wakeups.queues import dead_queue
from ops.contract import descriptions
from ops.contract.events import EVENTS
from ops.contract.game import GAME
from ops.contract.messages import request_messages
from schemas.settings import Settings

_AMQP = "amqpRequests"
_SQS = "sqsRequests"
_CALLBACKS = "callbacks"
_GAME = "gameCallbacks"


def channels() -> dict[str, Any]:
    """Return the queues and webhooks, each with the messages that it may carry."""
    return {
        _AMQP: _amqp_channel(),
        _SQS: {
            "address": "telecine-requests",
            "title": "Requests on SQS",
            "description": descriptions.SQS_CHANNEL,
            "servers": [{"$ref": "#/servers/sqs"}],
            "messages": _refs(request_messages()),
            "bindings": {"sqs": _sqs_binding("telecine-requests", "telecine-requests-dead")},
        },
        _CALLBACKS: {
            "address": None,
            "title": "Callbacks",
            "description": descriptions.CALLBACK_CHANNEL,
            "servers": [{"$ref": "#/servers/receiver"}],
            "messages": _refs(list(EVENTS)),
        },
        _GAME: {
            "address": "/{id}/callback",
            "title": "Callbacks in the format of the G.A.M.E. API",
            "description": descriptions.GAME_CHANNEL,
            "servers": [{"$ref": "#/servers/gameApi"}],
            "parameters": {"id": {"description": "The job's id."}},
            "messages": _refs([GAME]),
        },
    }


def _amqp_channel() -> dict[str, Any]:
    queue, limit = _amqp_defaults()
    arguments = {"name": queue, "durable": True, "exclusive": False, "autoDelete": False, "vhost": "/"}
    return {
        "address": queue,
        "title": "Requests on RabbitMQ",
        "description": descriptions.AMQP_CHANNEL,
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": _refs(request_messages()),
        "bindings": {"amqp": {"is": "queue", "queue": arguments, "bindingVersion": "0.3.0"}},
        "x-queue-arguments": request_queue(queue, delivery_limit=limit).queue_arguments,
        "x-dead-letter-queue": dead_queue(queue),
    }


def operations() -> dict[str, Any]:
    """Return the operations of Telecine on each channel."""
    return _receive_operations() | _send_operations()


def _receive_operations() -> dict[str, Any]:
    return {
        "receiveAmqpRequest": {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{_AMQP}"},
            "title": "Receive a request from RabbitMQ",
            "summary": "Acknowledged after the ledger has committed; a known id with the same content is absorbed.",
            "tags": [{"name": "requests"}],
            "messages": _channel_refs(_AMQP, request_messages()),
            "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "ack": True, "bindingVersion": "0.3.0"}},
        },
        "receiveSqsRequest": {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{_SQS}"},
            "title": "Receive a request from SQS",
            "summary": "Deleted after the ledger has committed; a known id with the same content is absorbed.",
            "tags": [{"name": "requests"}],
            "messages": _channel_refs(_SQS, request_messages()),
        },
    }


def _send_operations() -> dict[str, Any]:
    return {
        "sendCallback": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{_CALLBACKS}"},
            "title": "Notify a receiver about a job",
            "summary": "Sent from a durable outbox, at least once, until the receiver answers 2xx.",
            "tags": [{"name": "callbacks"}],
            "security": [{"$ref": "#/components/securitySchemes/webhookSignature"}],
            "messages": _channel_refs(_CALLBACKS, list(EVENTS)),
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        },
        "sendGameCallback": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{_GAME}"},
            "title": "Notify the G.A.M.E. API that a job ended",
            "summary": "For requests whose `callback.format` is `game`; 409 counts as delivered.",
            "tags": [{"name": "callbacks"}],
            "security": [{"$ref": "#/components/securitySchemes/gameKey"}],
            "messages": _channel_refs(_GAME, [GAME]),
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        },
    }


def _amqp_defaults() -> tuple[str, int]:
    fields = Settings.model_fields
    return str(fields["amqp_queues"].default[0]), int(fields["amqp_delivery_limit"].default)


def _sqs_binding(name: str, dead: str) -> dict[str, Any]:
    return {
        "queue": {
            "name": name,
            "fifoQueue": False,
            "receiveMessageWaitTime": 20,
            "redrivePolicy": {"deadLetterQueue": {"name": dead}, "maxReceiveCount": 5},
        },
        "deadLetterQueue": {"name": dead, "fifoQueue": False, "messageRetentionPeriod": 1_209_600},
        "bindingVersion": "0.2.0",
    }


def _refs(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _channel_refs(channel: str, names: list[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
