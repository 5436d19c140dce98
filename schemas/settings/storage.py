"""Settings of the object store and of downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from schemas.envelope import normalize_output
from schemas.settings.comma_separated import CommaSeparated
from schemas.settings.part import SettingsPart


class StorageSettings(SettingsPart):
    """Where inputs come from and results go to."""

    # Storage
    storage: Literal["folder", "s3"] | None = Field(
        None, description="Object store. Default: folder in embedded mode, else s3."
    )
    output: str = Field("s3://results/", description="Default location of results.")
    s3_endpoint_url: str | None = Field(None, description="S3-compatible server. Default: AWS.")
    s3_region: str | None = Field(None, description="AWS region. Default: from the AWS chain.")
    s3_path_style: bool = Field(
        True, description="Put the bucket into the path instead of the host name; only with an endpoint URL."
    )
    s3_bucket_owners: dict[str, str] = Field(
        {},
        examples=[{"inbox": "123456789012"}],
        description="Bucket to AWS account id, sent as ExpectedBucketOwner.",
    )
    result_url_seconds: int = Field(604_800, ge=60, le=604_800, description="Lifetime of presigned URLs in callbacks.")
    allowed_input_folders: CommaSeparated[Path] = Field(
        [],
        description="Folders that file:// inputs may be in, besides <home>/media; embedded mode only; comma-separated.",
    )

    # Network
    allowed_private_hosts: CommaSeparated[str] = Field(
        [], description="Hosts, as host or host:port, that may be private or use plain http; comma-separated."
    )
    fetch_timeout_seconds: float = Field(300.0, gt=0, description="Time limit for the download of one input.")

    @field_validator("output")
    @classmethod
    def _normalize_output(cls, value: str) -> str:
        return normalize_output(value)
