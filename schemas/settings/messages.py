"""Settings of the installation as a whole, and of how requests reach it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from schemas.envelope import Priority
from schemas.settings.comma_separated import CommaSeparated
from schemas.settings.part import SettingsPart
from schemas.tenants import Tenant, check_tenants
from schemas.triggers import Trigger

#: pyamqp is kombu's name for amqp.
_BROKER_SCHEMES = ("amqp", "amqps", "pyamqp", "sqs")


class MessageSettings(SettingsPart):
    """Queues and the inbox folder, and the tenants and trigger rules that apply to requests."""

    # Start
    home: Path = Field(Path("telecine-data"), description="Folder for embedded mode: ledger, inbox, storage, scratch.")
    extensions: CommaSeparated[str] = Field(
        [], description="Python modules to import at start that register job types or providers; comma-separated."
    )

    # Messages
    broker_url: SecretStr | None = Field(
        None, description="RabbitMQ, amqp://…, or Celery on SQS, sqs://. Default: embedded mode, without a server."
    )
    amqp_queues: CommaSeparated[str] = Field(
        ["telecine.requests"], description="RabbitMQ queues with requests; comma-separated."
    )
    amqp_delivery_limit: int = Field(
        20, ge=1, description="Delivery attempts of one message before the broker dead-letters it."
    )
    sqs_queues: CommaSeparated[str] = Field(
        [], description="SQS queues with requests, as names or URLs, the most urgent first; comma-separated."
    )
    sqs_endpoint_url: str | None = Field(None, description="SQS-compatible server. Default: AWS.")
    sqs_region: str | None = Field(None, description="Region of queues given by name. Default: from the AWS chain.")
    sqs_wait_seconds: int = Field(20, ge=1, le=20, description="Wait time of an SQS long poll.")
    sqs_visibility_seconds: int = Field(
        30, ge=3, le=43_200, description="Visibility timeout of received messages; extended while they are processed."
    )
    door_batch_messages: int = Field(200, ge=1, le=2000, description="Most messages admitted in one commit.")
    door_batch_seconds: float = Field(0.01, ge=0, le=5, description="Longest wait to fill a batch; none after a pause.")
    inbox: Path | None = Field(
        None, description="Folder used as a queue, one JSON file per request. Default, in embedded mode: <home>/inbox."
    )
    inbox_poll_seconds: float = Field(0.1, gt=0, description="Interval between polls of the inbox folder.")
    max_message_bytes: int = Field(256 * 1024, ge=1024, description="Size limit of a request, checked before parsing.")
    queue_priorities: dict[str, Priority] = Field(
        {},
        examples=[{"telecine.urgent": "high"}],
        description='Default priority of requests by queue: {"telecine.urgent": "high"}.',
    )

    # Tenants
    tenants: dict[str, Tenant] = Field(
        {},
        examples=[{"acme": {"read": ["s3://inbox/acme/"], "write": ["s3://results/acme/"]}}],
        description="Locations that each tenant may use: [tenants.NAME] tables; see tenants.md. Default: no limits.",
    )

    # Triggers
    triggers: list[Trigger] = Field(
        [],
        examples=[[{"bucket": "inbox", "suffix": ".request.json", "manifest": True}]],
        description="Rules that turn uploaded objects into requests: [[triggers]] tables; see triggers.md.",
    )

    @field_validator("tenants")
    @classmethod
    def _check_tenants(cls, value: dict[str, Tenant]) -> dict[str, Tenant]:
        check_tenants(value)
        return value

    @field_validator("broker_url")
    @classmethod
    def _check_broker_url(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            valid = value is None or urlsplit(value.get_secret_value()).port != 0
        except ValueError:  # not chained: its text contains a part of the password
            valid = False
        if not valid:
            raise ValueError(
                "is not a valid URL; write / ? # and @ in its user name and password as %2F %3F %23 and %40"
            )
        scheme, separator, _ = ("amqp", ":", "") if value is None else value.get_secret_value().partition(":")
        if not separator or scheme.lower() not in _BROKER_SCHEMES:
            named = f"{scheme}:// is not a broker of Telecine" if separator else "is not a valid URL"
            raise ValueError(f"{named}; use amqp:// or amqps:// (RabbitMQ), or sqs://")
        return value
