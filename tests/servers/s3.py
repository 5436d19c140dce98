"""An S3 endpoint, independent of the server behind it."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Protocol

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class S3Server(Protocol):
    """A test server with an S3 API."""

    access_key: str
    secret_key: str
    region: str

    @property
    def url(self) -> str:
        """The endpoint."""
        ...


@dataclasses.dataclass(frozen=True)
class S3:
    """An endpoint and its credentials."""

    #: ``ministack`` or ``radosgw``.
    name: str
    url: str
    access_key: str
    secret_key: str
    region: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the AWS credential chain, in this process or a worker's."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self) -> S3Client:
        """Return a plain client, with which tests act as other users of the bucket."""
        return _client(self)


@functools.cache
def _client(of: S3) -> S3Client:
    # Cached, because creating a client takes boto3 longer than most tests run.
    return boto3.session.Session(of.access_key, of.secret_key, region_name=of.region).client(
        "s3", endpoint_url=of.url, config=Config(s3={"addressing_style": "path"}, signature_version="s3v4")
    )


def endpoint(name: str, server: S3Server) -> S3:
    """Return the endpoint of a running server."""
    return S3(name, server.url, server.access_key, server.secret_key, server.region)
