"""How a request names a file: ``s3://bucket/key``, ``https://…`` or ``file:///…``."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

_SCHEMES = ("s3", "https", "http", "file")


def _check(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("is not a URI; use s3://bucket/key or https://…") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError("must start with s3://, https:// or, in embedded mode, file:///")
    if parts.scheme == "s3":
        split_s3(value)
    elif parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or len(parts.path) < 2:
            raise ValueError("a file URI has three slashes: file:///absolute/path")
    elif not parts.hostname or parts.username is not None:
        raise ValueError("must name a host and carry no user name or password")
    return value


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``. The key is taken literally: nothing in it is decoded.

    Raises:
        ValueError: there is no bucket, no key, or the bucket is not a bucket's name.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket or not slash or not key:
        raise ValueError("must be s3://bucket/key")
    if not 3 <= len(bucket) <= 63 or not all(c.isascii() and (c.isalnum() or c in ".-_") for c in bucket):
        raise ValueError("the bucket's name must be 3-63 letters, digits, dots or hyphens (no ARN, no access point)")
    if len(key.encode()) > 1024:
        raise ValueError("the key is longer than 1,024 bytes")
    return bucket, key


MediaReference = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_check)]
