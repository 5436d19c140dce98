"""Settings of the HTTP edge."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from schemas.envelope import TenantName
from schemas.settings.comma_separated import CommaSeparated
from schemas.settings.part import SettingsPart

Port = Annotated[int, Field(ge=0, le=65535)]


class EdgeSettings(SettingsPart):
    """``telecine edge``: who may call it, and how much it accepts."""

    # HTTP edge
    edge_host: str = Field("127.0.0.1", description="Address of the HTTP edge. Another one than loopback needs tokens.")
    edge_port: int = Field(8000, ge=0, le=65535, description="Port of the HTTP edge; 0: any free port.")
    edge_more_ports: CommaSeparated[Port] = Field(
        [], description="More ports to listen on, comma-separated, for clients of several source systems: 8002,8003."
    )
    edge_tokens: dict[TenantName, list[SecretStr]] = Field(
        {},
        examples=[{"acme": ["a-long-random-text"]}],
        description="Tokens by tenant. Default: none, which is accepted on a loopback address only.",
    )
    edge_origins: CommaSeparated[str] = Field(
        [],
        description="Origins of web pages that may call it, comma-separated; * for all. "
        "Default: all with tokens, else pages from this machine.",
    )
    edge_max_upload_bytes: int = Field(1 << 30, ge=1, description="Size limit of a file sent to /v1/uploads.")
    edge_body_timeout_seconds: float = Field(60.0, gt=0, description="Longest pause of a client that sends a body.")
    edge_wait_seconds: float = Field(
        1800.0, gt=0, description="Longest wait of a call that answers with the result, or with ?wait=."
    )
    edge_calls_per_minute: int | None = Field(
        None,
        ge=1,
        description="Most POST, PUT and DELETE calls of one tenant in a minute, in one process. Default: no limit.",
    )
    edge_max_open_calls: int = Field(1000, ge=1, description="Most calls that wait at the same time, in one process.")
    edge_download_once: bool = Field(
        False, description="Delete a reel's files after it was downloaded from /jobs/{job_id}/download."
    )
    edge_uploads_ttl_hours: float = Field(
        168.0, gt=0, description="Age after which uploads are deleted whose request was never received."
    )

    @property
    def edge_ports(self) -> list[int]:
        """All ports to listen on."""
        return [self.edge_port, *self.edge_more_ports]

    @field_validator("edge_tokens")
    @classmethod
    def _check_tokens(cls, value: dict[str, list[SecretStr]]) -> dict[str, list[SecretStr]]:
        tokens = [token.get_secret_value() for of_tenant in value.values() for token in of_tenant]
        if any(len(token) < 16 or not token.isascii() for token in tokens):
            raise ValueError("a token needs at least 16 ASCII characters")
        if len(set(tokens)) < len(tokens):
            raise ValueError("the same token belongs to two tenants")
        return value
