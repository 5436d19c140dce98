"""The S3 client: made when it is first needed, once in each process."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import boto3
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class S3Options(BaseModel):
    """How to reach S3 or what speaks like it. Credentials come from the ordinary AWS chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: ``None`` for AWS itself.
    endpoint_url: str | None = None
    region: str | None = None
    #: ``http://host/bucket/key`` instead of ``http://bucket.host/key``.
    path_style: bool = False
    #: SHA-256 checked by the server. Off for endpoints that refuse it; MD5 is always sent.
    checksums: bool = True
    #: The tag ``telecine=1``. Off for endpoints without tagging; S3 triggers then go by metadata alone.
    tags: bool = True
    #: Account numbers by bucket: a bucket that changed hands is refused.
    bucket_owners: Mapping[str, str] = {}
    connect_timeout_seconds: Annotated[float, Field(gt=0)] = 5.0
    read_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    #: Within one call; what fails after that is tried again much later by the engine.
    attempts: Annotated[int, Field(ge=1, le=10)] = 3


#: Held over a fork, so that no child inherits it locked by a thread that it does not have.
_making = threading.Lock()
os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


class S3Connection:
    """One client for each process: sockets must not be shared over a fork."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._made: tuple[int, S3Client] | None = None

    def client(self) -> S3Client:
        """The client of this process. Any thread may use it."""
        with _making:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), make_client(self._options))
            return self._made[1]


def make_client(options: S3Options) -> S3Client:
    """A client that gives up after bounded time and tries."""
    checksums: Literal["when_supported", "when_required"] = "when_supported" if options.checksums else "when_required"
    config = Config(
        connect_timeout=options.connect_timeout_seconds,
        read_timeout=options.read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": options.attempts},
        s3={"addressing_style": "path" if options.path_style else "auto"},
        signature_version="s3v4",
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        max_pool_connections=32,
    )
    session = boto3.session.Session()
    return session.client("s3", endpoint_url=options.endpoint_url, region_name=options.region, config=config)
