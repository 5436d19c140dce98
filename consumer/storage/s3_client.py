"""The S3 client, created when first needed, once per process."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import boto3
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field

from consumer.storage.s3_credentials import rejections

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class S3Options(BaseModel):
    """How to reach S3 or a compatible server. Credentials come from the usual AWS chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: ``None`` for AWS itself.
    endpoint_url: str | None = None
    region: str | None = None
    #: ``http://host/bucket/key`` instead of ``http://bucket.host/key``.
    path_style: bool = False
    #: Have the server check a SHA-256. Off for endpoints that refuse it; MD5 is always sent.
    checksums: bool = True
    #: Tag objects with ``telecine=1``. Off for endpoints without tagging; S3 triggers then rely on metadata alone.
    tags: bool = True
    #: Expected account numbers by bucket: a bucket that belongs to another account is refused.
    bucket_owners: Mapping[str, str] = {}
    #: The folders that results go to by default. If they cannot be written, no request is to blame.
    outputs: Sequence[str] = ()
    connect_timeout_seconds: Annotated[float, Field(gt=0)] = 5.0
    read_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    #: Attempts within one call; after that the job is retried later.
    attempts: Annotated[int, Field(ge=1, le=10)] = 3


#: Held during a fork, so that no child inherits it locked by a thread that it does not have.
_creating = threading.Lock()
os.register_at_fork(before=_creating.acquire, after_in_parent=_creating.release, after_in_child=_creating.release)


class S3Connection:
    """One client per process: sockets must not be shared over a fork."""

    def __init__(self, options: S3Options) -> None:
        """Prepare the connection; the client is created on first use."""
        self._options = options
        #: The client, and the process and the number of rejected credentials at the time of its creation.
        self._created: tuple[tuple[int, int], S3Client] | None = None

    def client(self) -> S3Client:
        """Return the client of this process. Any thread may use it.

        After rejected credentials it is a new one: a client keeps the keys that it read, which may have been rotated.
        """
        with _creating:
            state = (os.getpid(), rejections.count)
            if self._created is None or self._created[0] != state:
                self._created = (state, _create_client(self._options))
            return self._created[1]


def _create_client(options: S3Options) -> S3Client:
    """Return a client with bounded time and number of attempts."""
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
