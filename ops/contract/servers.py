"""Servers and security schemes of the AsyncAPI document."""

from __future__ import annotations

from typing import Any

from ops.contract import descriptions


def servers() -> dict[str, Any]:
    """Return the servers that requests and callbacks are sent to."""
    return _request_servers() | _callback_servers()


def _request_servers() -> dict[str, Any]:
    return {
        "rabbitmq": {
            "host": "{host}:{port}",
            "pathname": "/{vhost}",
            "protocol": "amqp",
            "protocolVersion": "0.9.1",
            "title": "RabbitMQ",
            "description": "RabbitMQ 3.10 or newer, `TELECINE_BROKER_URL`; `amqps` with TLS.",
            "variables": {
                "host": {"default": "127.0.0.1", "description": "The broker's host."},
                "port": {"default": "5672", "description": "5671 with TLS."},
                "vhost": {"default": "%2F", "description": "The virtual host, percent-encoded."},
            },
            "security": [{"$ref": "#/components/securitySchemes/amqpPassword"}],
        },
        "sqs": {
            "host": "sqs.{region}.amazonaws.com",
            "protocol": "sqs",
            "title": "Amazon SQS",
            "description": "SQS, or a compatible server.",
            "variables": {"region": {"default": "us-east-1", "description": "The queue's region."}},
            "security": [{"$ref": "#/components/securitySchemes/awsSignature"}],
        },
    }


def _callback_servers() -> dict[str, Any]:
    return {
        "receiver": {
            "host": "{host}",
            "protocol": "https",
            "title": "A receiver of callbacks",
            "description": "The host of `callback.url`; plain http only if the operator allows the host.",
            "variables": {"host": {"default": "shop.example", "description": "The receiver's host."}},
            "security": [{"$ref": "#/components/securitySchemes/webhookSignature"}],
        },
        "gameApi": {
            "host": "game-api.virtuals.io",
            "pathname": "/requests",
            "protocol": "https",
            "title": "The G.A.M.E. API",
            "description": "The default; `CALLBACK_API_URL` sets another one.",
            "security": [{"$ref": "#/components/securitySchemes/gameKey"}],
        },
    }


def security_schemes() -> dict[str, Any]:
    """Return how each side authenticates the other."""
    return {
        "amqpPassword": {"type": "userPassword", "description": "User and password of RabbitMQ."},
        "awsSignature": {
            "type": "http",
            "scheme": "AWS4-HMAC-SHA256",
            "description": "Credentials from the usual AWS chain; SDKs and the CLI sign with them.",
        },
        "webhookSignature": {
            "type": "httpApiKey",
            "name": "webhook-signature",
            "in": "header",
            "description": descriptions.SIGNATURE,
        },
        "gameKey": {
            "type": "httpApiKey",
            "name": "x-api-key",
            "in": "header",
            "description": "The operator's key, `GAME_API_KEY`.",
        },
    }
